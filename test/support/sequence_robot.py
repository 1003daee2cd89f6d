"""A robot that drives in a circle, seen by a relocalizer of sequences that knows the truth until told otherwise.

Each panorama carries the number of its pose. With `anchor_bundle` set, a scripted absolute localizer stands beside the
sequence; it sees the images that were not taken `blind`.
"""

from __future__ import annotations

import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from driving_robot import T_BASE_CAMERA, DrivingRobot, ScriptedModel
from fake_sequences import PANORAMA, TruthEncoder, TruthStep, panorama_pixels, sequence_manifest
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from reloc_ros.geometry import se3
from reloc_ros.localization.sequence import SequenceLocalizer
from reloc_ros.localization.sequence_tracker import SequenceLimits
from reloc_ros.node.conversions import ns_to_stamp, transform_to_matrix
from reloc_ros.node.model import Load, Model
from reloc_ros.node.sequence_frames import SequenceFrames
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array


class SequenceModel(ScriptedModel):
    """A model of a sequence on truth networks, with scripted fixes where the parameters ask for an `anchor_bundle`."""

    def __init__(self, **sequence: Any) -> None:
        super().__init__()
        self.step = TruthStep([])
        self.manifest = sequence_manifest(**sequence)
        self.frames: SequenceFrames | None = None

    def open(self, settings: Settings) -> Load:
        def load() -> Model:
            limits = SequenceLimits(max_gap_s=settings.sequence_max_gap_s)
            encoder = TruthEncoder()
            sequence = SequenceLocalizer(self.manifest, encoder, self.step, limits)
            fixes = self.localizer if settings.anchor_bundle else None
            self.frames = SequenceFrames(sequence, self.manifest.scenes[0].gate, fixes)
            return Model(
                localizer=self.frames,
                sequence=self.frames,
                method="truth",
                camera_model="equirectangular",
                backend=encoder,
            )

        return load


class SequenceRobot(DrivingRobot):
    """The node under test on a robot that drives."""

    model: SequenceModel

    def look(self, *, blind: bool = False) -> None:
        """Take a panorama and wait for what becomes of it."""
        T_map_camera = self.T_map_base @ T_BASE_CAMERA
        number = len(self.model.step.poses)
        self.model.step.poses.append(T_map_camera)
        self.truth[self.stamp_ns] = T_map_camera
        if not blind:
            self.model.localizer.T_map_camera[self.stamp_ns] = T_map_camera
        handled = self.handled
        self.images.publish(panorama_message(number, self.stamp_ns))
        self.spin_until(lambda: self.handled > handled)

    def heard(self) -> tuple[str, Array, Array]:
        """Return frame, pose and covariance of the newest image's pose, once it has come."""
        self.spin_until(lambda: any(self.stamp_ns == stamp for stamp in self.certain_stamps()))
        message = self.poses_with_covariance[-1]
        T = transform_to_matrix(_as_transform(message.pose.pose))
        return message.header.frame_id, T, np.array(message.pose.covariance).reshape(6, 6)

    def certain_stamps(self) -> list[int]:
        return [each.header.stamp.sec * 10**9 + each.header.stamp.nanosec for each in self.poses_with_covariance]

    def true_first_camera(self, first_ns: int) -> Array:
        """Return where the newest image was taken relative to that of another stamp."""
        return se3.inverse(self.truth[first_ns]) @ self.truth[self.stamp_ns]

    def reset_sequence(self) -> tuple[bool, str]:
        """Call the service and return its answer."""
        client = self.driver.create_client(Trigger, "relocalizer_node/reset_sequence")
        self.spin_until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        self.spin_until(answer.done)
        return answer.result().success, answer.result().message


def panorama_message(number: int, stamp_ns: int) -> Image:
    """Return the panorama of a number."""
    message = Image(width=PANORAMA.width, height=PANORAMA.height, encoding="rgb8", step=3 * PANORAMA.width)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), "camera_optical_frame"
    message.data = array.array("B", panorama_pixels(number).tobytes())
    return message


def _as_transform(pose: Any) -> Any:
    from geometry_msgs.msg import Transform, Vector3

    return Transform(
        translation=Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z), rotation=pose.orientation
    )


@contextmanager
def sequence_robot(
    model: SequenceModel | None = None, *, robot: type[SequenceRobot] | None = None, **parameters: Any
) -> Iterator[SequenceRobot]:
    """Give a robot in its own ROS context, ready to drive."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    defaults = {
        "bundle": "script",
        "diagnostics_rate_hz": 20.0,
        "transform_wait_s": 2.0,
        "initialize_at_saved_pose": False,
        "save_pose_rate": 0.0,
    }
    ours = (robot or SequenceRobot)(context, {**defaults, **parameters}, model or SequenceModel())
    try:
        ours.start()
        yield ours
    finally:
        ours.close()
        context.try_shutdown()
