from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_files import T_MAP_CAMERA, picture, write_picture

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.datasets import images
from reloc_ros.datasets.images import PosedImage, PosedImages, image_loader, read_image
from reloc_ros.errors import DatasetError


def posed(path: Path, name: str = "one") -> PosedImage:
    return PosedImage(
        name=name,
        stamp_ns=5,
        T_map_camera=T_MAP_CAMERA,
        camera=EquirectangularCamera(64, 32),
        load=image_loader(path),
        sequence="kitchen",
    )


@pytest.mark.parametrize("extension", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.95])
def test_truncated_images_are_refused_by_name(tmp_path: Path, extension: str, kept: float) -> None:
    path = tmp_path / f"noise.{extension}"
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    assert cv2.imwrite(str(path), noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DatasetError, match=rf"noise\.{extension}"):
        read_image(path)


def test_a_truncated_jpeg_is_refused_even_where_the_decoder_fills_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the OpenCV of older distributions does."""
    monkeypatch.setattr(images, "decode_compressed", lambda _: picture(64, 32))
    path = write_picture(tmp_path / "a.jpg", 64, 32)
    assert read_image(path).shape == (32, 64, 3)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"a\.jpg of \d+ bytes is truncated"):
        read_image(path)


def test_what_is_no_image_or_absent_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    for name in ("notes.png", "absent.png"):
        with pytest.raises(DatasetError, match=name):
            read_image(tmp_path / name)


def test_colours_are_rgb_and_grey_images_have_three_channels(tmp_path: Path) -> None:
    assert np.array_equal(read_image(write_picture(tmp_path / "colour.png", 64, 32, 9)), picture(64, 32, 9))
    assert cv2.imwrite(str(tmp_path / "grey.png"), np.full((32, 64), 77, np.uint8))
    assert read_image(tmp_path / "grey.png").shape == (32, 64, 3)


def test_a_frame_has_the_image_its_camera_and_its_stamp(tmp_path: Path) -> None:
    frame = posed(write_picture(tmp_path / "a.png", 64, 32)).frame()
    assert frame.image.shape == (32, 64, 3)
    assert (frame.camera, frame.stamp_ns) == (EquirectangularCamera(64, 32), 5)


def test_an_image_can_be_sent_to_another_process(tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(posed(write_picture(tmp_path / "a.png", 64, 32))))  # noqa: S301 (our own bytes)
    assert again.frame().image.shape == (32, 64, 3)


def test_a_pose_must_be_rigid(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"one: T_map_camera .* not a rigid"):
        PosedImage(
            name="one",
            stamp_ns=0,
            T_map_camera=np.full((4, 4), np.nan),
            camera=EquirectangularCamera(64, 32),
            load=image_loader(tmp_path),
            sequence="kitchen",
        )


def test_a_data_set_has_images_with_different_names(tmp_path: Path) -> None:
    fields = {"skipped": (), "ground_truth": "none", "name": "empty", "metric": True}
    with pytest.raises(DatasetError, match="empty: no image"):
        PosedImages(images=(), **fields)
    with pytest.raises(DatasetError, match="2 different names"):
        PosedImages(images=(posed(tmp_path), posed(tmp_path)), **fields)
    assert len(PosedImages(images=(posed(tmp_path), posed(tmp_path, "two")), **fields)) == 2
