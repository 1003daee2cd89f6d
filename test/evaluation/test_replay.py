"""Frames keep their order, their truth and their stamps; a broken image stops the evaluation by name."""

from __future__ import annotations

import numpy as np
import pytest
from fake_bundles import CAMERA

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.replay import replay
from reloc_ros.geometry import se3
from reloc_ros.types import Estimate, Frame, Localization, Reason, Rejected


class EchoLocalizer:
    """Answers x = the grey value, and rejects the value 3."""

    def __init__(self) -> None:
        self.stage_seconds: dict[str, float] = {}
        self.seen: list[int] = []

    def localize(self, frame: Frame) -> Localization:
        value = int(frame.image[0, 0, 0])
        self.seen.append(value)
        self.stage_seconds = {"infer": 0.001 * value}
        if value == 3:
            return Rejected(reason=Reason.DEGENERATE, detail="planted", stamp_ns=frame.stamp_ns)
        T_map_camera = se3.from_rotation_translation(np.eye(3), np.array([float(value), 0.0, 0.0]))
        return Estimate(
            T_map_camera=T_map_camera, covariance=np.eye(6), map_frame="map", stamp_ns=frame.stamp_ns, evidence={}
        )


def posed(value: int, camera_x: float) -> PosedImage:
    return PosedImage(
        name=f"{value}.png",
        stamp_ns=1000 + value,
        T_map_camera=se3.from_rotation_translation(np.eye(3), np.array([camera_x, 0.0, 0.0])),
        camera=CAMERA,
        load=lambda: np.full((CAMERA.height, CAMERA.width, 3), value, dtype=np.uint8),
        sequence="drive",
    )


def test_each_frame_meets_its_own_truth() -> None:
    localizer = EchoLocalizer()
    heard: list[str] = []
    images = [posed(5, 5.25), posed(3, 3.0), posed(4, 3.0)]
    results = replay(localizer, images, lambda result: heard.append(result.name))
    assert [result.translation_error_m for result in results] == [0.25, np.inf, 1.0]
    assert [result.rotation_error_deg for result in results] == [0.0, np.inf, 0.0]
    assert [result.stamp_ns for result in results] == [1005, 1003, 1004]
    assert [result.stage_seconds for result in results] == [{"infer": 0.005}, {"infer": 0.003}, {"infer": 0.004}]
    assert heard == ["5.png", "3.png", "4.png"]
    assert localizer.seen == [5, 5, 3, 4], "one warm-up call before the first frame is timed"


def test_an_image_of_the_wrong_size_is_named() -> None:
    wrong = PosedImage(
        name="drive/7.png",
        stamp_ns=0,
        T_map_camera=np.eye(4),
        camera=CAMERA,
        load=lambda: np.zeros((5, 4, 3), dtype=np.uint8),
        sequence="drive",
    )
    with pytest.raises(DatasetError, match=r"drive/7\.png"):
        replay(EchoLocalizer(), [wrong])
