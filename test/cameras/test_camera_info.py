from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reloc_ros.cameras.camera_info import CameraInfoFields
from reloc_ros.errors import CameraError

K = np.array([[400.0, 0.0, 310.0], [0.0, 500.0, 250.0], [0.0, 0.0, 1.0]])
BASE = {"width": 640, "height": 480, "K": K, "distortion_model": "plumb_bob", "distortion": (0.1, 0.0, 0.0, 0.0, 0.0)}


def test_the_full_image() -> None:
    camera = CameraInfoFields(**BASE).camera()
    assert (camera.width, camera.height, camera.distortion) == (640, 480, BASE["distortion"])
    assert_allclose(camera.K, K)


def test_no_model_means_no_distortion() -> None:
    camera = CameraInfoFields(**{**BASE, "distortion_model": "", "distortion": ()}).camera()
    assert (camera.distortion_model, camera.distortion) == ("plumb_bob", ())


def test_roi_comes_before_binning() -> None:
    camera = CameraInfoFields(**BASE, roi=(100, 40, 400, 200), binning=(2, 4)).camera()
    assert (camera.width, camera.height) == (200, 50)
    assert_allclose(camera.K[:2, 2], [(310 - 100 + 0.5) / 2 - 0.5, (250 - 40 + 0.5) / 4 - 0.5])
    assert_allclose(np.diagonal(camera.K), [200.0, 125.0, 1.0])


def test_roi_that_leaves_the_image_is_refused() -> None:
    with pytest.raises(CameraError, match="leaves the image of 640 x 480"):
        CameraInfoFields(**BASE, roi=(300, 0, 400, 200)).camera()


def test_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(CameraError, match="uncalibrated"):
        CameraInfoFields(**{**BASE, "K": np.zeros((3, 3))}).camera()
