"""A localizer over a whole data set, frame by frame, with the truth beside each answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from reloc_ros.datasets.posed_images import PosedImage
from reloc_ros.evaluation.pose_error import FALSE_FIX_DEG, FALSE_FIX_M, rotation_error_deg, translation_error_m
from reloc_ros.types import Array, Estimate, Frame, Localization


class FrameLocalizer(Protocol):
    """What is judged: a learned localizer or a classical one."""

    stage_seconds: dict[str, float]
    """Duration of each stage that ran in the last call, seconds."""

    def localize(self, frame: Frame) -> Localization:
        """Return the pose of the frame's camera in the map, or why there is none. Never raises."""


@dataclass(frozen=True, kw_only=True)
class FrameResult:
    """What became of one frame.

    Args:
        name: image, as its data set names it.
        sequence: sequence the image belongs to.
        stamp_ns: time of the image.
        T_map_camera: (4, 4) true pose.
        localization: what the localizer said.
        seconds: the whole call, without reading the image from disk.
        stage_seconds: each stage that ran.
        scene: that the image is from; empty where there is but one.
        brightness: mean grey level of the image, 0 to 1.
    """

    name: str
    sequence: str
    stamp_ns: int
    T_map_camera: Array
    localization: Localization
    seconds: float
    stage_seconds: dict[str, float]
    scene: str = ""
    brightness: float = math.nan

    @property
    def pose(self) -> Estimate | None:
        """The estimate, if it lies in the true scene: figures in two maps do not compare."""
        if isinstance(self.localization, Estimate) and self.scene in ("", self.localization.scene):
            return self.localization
        return None

    @property
    def translation_error_m(self) -> float:
        """Distance to the true position, metres; infinite for a rejected frame and for a pose in another scene."""
        return math.inf if self.pose is None else translation_error_m(self.pose.T_map_camera, self.T_map_camera)

    @property
    def rotation_error_deg(self) -> float:
        """Angle to the true orientation, degrees; infinite where the other error is."""
        return math.inf if self.pose is None else rotation_error_deg(self.pose.T_map_camera, self.T_map_camera)

    @property
    def is_false_fix(self) -> bool:
        """Whether there is an estimate, and it misleads."""
        far = self.translation_error_m > FALSE_FIX_M or self.rotation_error_deg > FALSE_FIX_DEG
        return far and isinstance(self.localization, Estimate)

    @property
    def is_right_fix(self) -> bool:
        """Whether there is a pose that does not mislead."""
        return self.pose is not None and not self.is_false_fix


def replay(
    localizer: FrameLocalizer,
    images: Iterable[PosedImage],
    on_frame: Callable[[FrameResult], None] | None = None,
    *,
    scene: str = "",
) -> list[FrameResult]:
    """Localize each image on its own and return the results in the same order.

    Args:
        localizer: what is judged.
        images: with their true poses.
        on_frame: called after each frame, for progress.
        scene: that the images are from, where the localizer knows several.

    Raises:
        DatasetError: an image cannot be read; the message names the file.
    """
    results: list[FrameResult] = []
    for image in images:
        frame = image.frame()
        if not results:
            localizer.localize(frame)  # the first call allocates and fills caches: it is not what a robot sees
        start = perf_counter()
        localization = localizer.localize(frame)
        seconds = perf_counter() - start
        result = FrameResult(
            name=image.name,
            sequence=image.sequence,
            stamp_ns=image.stamp_ns,
            T_map_camera=image.T_map_camera,
            localization=localization,
            seconds=seconds,
            stage_seconds=dict(localizer.stage_seconds),
            scene=scene,
            brightness=float(np.mean(frame.image)) / 255,
        )
        results.append(result)
        if on_frame is not None:
            on_frame(result)
    return results
