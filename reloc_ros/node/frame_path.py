"""The worker side of a frame's way: message -> frame -> estimate -> placed -> judged, or a named rejection.

After it, when somebody looks: a picture of all that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter
from typing import TypeVar

import numpy as np

from reloc_ros.errors import ImageError
from reloc_ros.localization.picture import Caption, annotate, verdict
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.camera_source import CameraSource
from reloc_ros.node.conversions import NS_PER_S, image_to_rgb
from reloc_ros.node.debug_image import DebugImage
from reloc_ros.node.frame_intake import Arrival
from reloc_ros.node.model import Model
from reloc_ros.node.navigation import Navigation
from reloc_ros.node.statistics import SCENE_PROBABILITY, Statistics
from reloc_ros.node.transforms import Placed, Transforms
from reloc_ros.node.trust import Judgement
from reloc_ros.types import Array, Estimate, Frame, Image, Localization, Reason, Rejected

_log = logging.getLogger(__name__)

T = TypeVar("T")

_LINES = 5
"""Of a caption: verdict, scene, state, latency, and one for what is long."""

# Stands for an image that does not decode.
NO_IMAGE = np.zeros((240, 320, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Judged:
    """An estimate in its place, and what is believed with it."""

    placed: Placed
    judgement: Judgement


class FramePath:
    """Takes one arrived image to its pose on the wire.

    Args:
        model: the relocalizer.
        cameras: knows the camera of an image.
        transforms: knows the robot's transform tree.
        navigation: judges and publishes poses.
        debug_image: publishes pictures.
        statistics: counts what became of each frame.
        publishing: held while a frame is judged and published, so that nothing follows a deactivation or a reset.
        is_current: whether a frame still counts (the node is active and time has not jumped back since it arrived).
    """

    def __init__(
        self,
        model: Model,
        *,
        cameras: CameraSource,
        transforms: Transforms,
        navigation: Navigation,
        debug_image: DebugImage,
        statistics: Statistics,
        publishing: Lock,
        is_current: Callable[[Arrival], bool],
    ) -> None:
        self._model = model
        self._cameras = cameras
        self._transforms = transforms
        self._navigation = navigation
        self._debug_image = debug_image
        self._statistics = statistics
        self._publishing = publishing
        self._is_current = is_current
        self._last_reason: Reason | None = None

    def handle(self, arrival: Arrival) -> None:
        """Localize one image and publish its pose, or count why there is none. Never raises."""
        frame = self._run(Reason.BAD_IMAGE, self._to_frame, arrival)
        localized = self._run(Reason.INFERENCE_FAILED, self._localize, frame)
        placed = self._run(Reason.NO_TRANSFORM, lambda estimate: self._place(estimate, arrival), localized)
        # Before the lock: odometry may still be on its way, through a callback that wants the lock.
        T_odom_body = self._odometry(placed, arrival)
        with self._publishing:
            if not self._is_current(arrival):
                self._statistics.count("dropped")
                return
            judged = self._run(Reason.OUTPUT_FAILED, lambda ready: self._judge(ready, arrival), placed)
            if isinstance(placed, Failure) and arrival.stamp_ns > 0:
                detail = f"{placed.reason.value}: {placed.detail}"
                self._navigation.on_rejected(arrival.stamp_ns, arrival.received_ns, T_odom_body, detail)
        latency_s = perf_counter() - arrival.received_s
        if isinstance(frame, Frame):
            self._statistics.timed(latency_s=latency_s, stage_seconds=self._model.localizer.stage_seconds)
        if isinstance(judged, Failure):
            self._reject(judged)
        else:
            self._last_reason = None
            if judged.judgement.decision.publish is None:
                self._statistics.withheld()
            else:
                self._statistics.accepted(judged.placed.estimate)
        self._show(arrival, frame, judged, latency_s)

    def _to_frame(self, arrival: Arrival) -> Frame | Failure:
        try:
            image = image_to_rgb(arrival.message)
        except ImageError as error:
            return Failure(reason=Reason.BAD_IMAGE, detail=str(error))
        if arrival.stamp_ns <= 0:
            return undated(arrival.stamp_ns)
        height, width = image.shape[:2]
        camera = self._cameras.camera(self._model.camera_model, width, height)
        if isinstance(camera, Failure):
            return camera
        frame_id = arrival.message.header.frame_id
        return Frame(image=image, camera=camera, stamp_ns=arrival.stamp_ns, frame_id=frame_id)

    def _localize(self, frame: Frame) -> Estimate | Failure:
        localization: Localization = self._model.localizer.localize(frame)
        if isinstance(localization, Rejected):
            return Failure(reason=localization.reason, detail=localization.detail)
        return localization

    def _place(self, estimate: Estimate, arrival: Arrival) -> Placed | Failure:
        return self._transforms.place(estimate, arrival.message.header.frame_id)

    def _judge(self, placed: Placed, arrival: Arrival) -> Judged:
        return Judged(placed, self._navigation.on_placed(placed, arrival.received_ns))

    def _odometry(self, placed: Placed | Failure, arrival: Arrival) -> Array | None:
        """Return T_odom_body at the stamp of an image without a pose; a failed look-up is not waited for twice."""
        if not isinstance(placed, Failure) or placed.reason is Reason.NO_TRANSFORM or arrival.stamp_ns <= 0:
            return None
        return self._transforms.odometry(arrival.stamp_ns, wait=True)

    def _reject(self, failure: Failure) -> None:
        self._statistics.rejected(failure.reason, failure.detail)
        # One line for each run of rejections of one kind: a camera without camera_info must not flood the log.
        if failure.reason is not self._last_reason:
            _log.warning("frame rejected: %s: %s", failure.reason.value, failure.detail)
        self._last_reason = failure.reason

    def _show(self, arrival: Arrival, frame: Frame | Failure, outcome: Judged | Failure, latency_s: float) -> None:
        """Draw and publish a picture of the frame if one is wanted; a fault in this leaves the frame what it was."""
        try:
            if not self._debug_image.take_turn():
                return
            picture = self._picture(arrival, frame, outcome, latency_s)
        except Exception:
            _log.exception("no debug image")
            return
        with self._publishing:
            if self._is_current(arrival):
                self._debug_image.publish(picture, arrival.message.header)

    def _picture(self, arrival: Arrival, frame: Frame | Failure, outcome: Judged | Failure, latency_s: float) -> Image:
        latency = f"latency {latency_s * 1e3:.0f} ms"
        state = self._navigation.state_line
        image = self._seen(arrival, frame)
        if isinstance(outcome, Failure):
            rejected = Rejected(reason=outcome.reason, detail=outcome.detail, stamp_ns=arrival.stamp_ns)
            return annotate(
                image, Caption(verdict=verdict(rejected), is_pose=False, notes=(state, latency)), lines=_LINES
            )
        estimate, decision = outcome.placed.estimate, outcome.judgement.decision
        probability = estimate.evidence.get(SCENE_PROBABILITY)
        scene = f"scene {estimate.scene}" + ("" if probability is None else f" {probability:.0%}")
        seen = verdict(replace(estimate, map_frame=outcome.placed.map_frame))
        if decision.publish is None:
            seen = f"withheld: {seen}"
        caption = Caption(verdict=seen, is_pose=decision.publish is not None, notes=(scene, state, latency))
        return annotate(image, caption, estimate.cell_weights, lines=_LINES)

    def _seen(self, arrival: Arrival, frame: Frame | Failure) -> Image:
        """Return what the network saw of the frame; else the camera's image; else none."""
        if isinstance(frame, Frame):
            seen = self._model.localizer.network_view(frame)
            return frame.image if seen is None else seen
        try:
            return image_to_rgb(arrival.message)
        except ImageError:
            return NO_IMAGE

    def _run(self, fault: Reason, step: Callable[..., T | Failure], noun: object) -> T | Failure:
        """Return what a step makes of its noun; a Failure passes by, an exception becomes the step's Failure."""
        if isinstance(noun, Failure):
            return noun
        try:
            return step(noun)
        except Exception as error:  # one frame's fault is named in diagnostics; the next frame is a new chance
            _log.exception("%s", fault.value)
            return Failure(reason=fault, detail=f"{type(error).__name__}: {error}")


def undated(stamp_ns: int) -> Failure:
    """Return what to say of an image whose stamp is no time."""
    detail = f"the image's stamp is {stamp_ns / NS_PER_S:g} s, expected its time of exposure; correct the camera driver"
    return Failure(reason=Reason.BAD_IMAGE, detail=detail)
