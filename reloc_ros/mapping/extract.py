"""The kept frames as a data set of their own, which later stages read instead of the bag."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from reloc_ros.datasets.as_bag import only_camera
from reloc_ros.datasets.images import PosedImage
from reloc_ros.evaluation.tum import tum_line

JPEG_QUALITY = 95


def extract_frames(images: Sequence[PosedImage], folder: Path, on_image: Callable[[], None] = lambda: None) -> None:
    """Write images, poses and camera as a data set `panorama_sequences:FOLDER` with one sequence, `drive`.

    Args:
        images: of one camera, in order.
        folder: must not exist; a killed run leaves none.
        on_image: called after each image, for progress.

    Raises:
        DatasetError: the images are of several cameras, or one cannot be read.
    """
    camera = only_camera(images)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    frames = partial / "drive" / "frames"
    frames.mkdir(parents=True)
    for index, image in enumerate(images):
        picture = cv2.cvtColor(image.frame().image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        (frames / f"{index:06d}.jpg").write_bytes(encoded.tobytes())
        on_image()
    lines = [tum_line(image.stamp_ns, image.T_map_camera) for image in images]
    (partial / "drive" / "poses.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (partial / "drive" / "camera.json").write_text(json.dumps(camera.to_dict()), encoding="utf-8")
    partial.replace(folder)
