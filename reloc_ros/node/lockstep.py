"""Plays a drive into a relocalizer process, image by image: the next comes when the one before is dealt with.

Time is that of the images, so a drive takes as long as its images need and is the same on a busy machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import ProcessError
from reloc_ros.node.lifecycle_client import PATIENCE_S, LifecycleClient, NodeProcess
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node
from reloc_ros.node.staged_robot import StagedRobot
from reloc_ros.types import Array, Image

PARAMETERS: dict[str, Any] = {
    # Of `/clock`, which stands still until the next image: however long that takes to make, no time passes.
    "use_sim_time": True,
    # The highest there is: each image waits for the diagnostics that count it.
    "diagnostics_rate_hz": 50.0,
    "transform_wait_s": 2.0,
    "image_reliability": "reliable",
    "initialize_at_saved_pose": False,
    "save_pose_rate": 0.0,
}

_START_NS = 1_700_000_000_000_000_000
_LOOK_AFTER_S = 1.0
_KEPT = 200
_OUTCOMES = ("accepted", "withheld", "rejected", "dropped", "repeated")


@dataclass(frozen=True, kw_only=True)
class Look:
    """One image of a drive, and where odometry is when it is taken."""

    time_s: float
    T_odom_base: Array
    image: Image


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the node made of an image.

    Args:
        state: of trust.
        cause: of that state.
        T_map_camera: published for this image; None: silent.
        T_map_odom: broadcast last; None: nothing is trusted.
        rejection: why the image gave no fix, of the node's reasons; empty where it gave one.
    """

    state: str
    cause: str
    T_map_camera: Array | None
    T_map_odom: Array | None
    rejection: str


def play(
    looks: Iterable[Look],
    camera: Camera,
    T_base_camera: Array,
    parameters: Mapping[str, Any],
    *,
    module: str = "reloc_ros.node.relocalizer_node",
    on_answer: Callable[[Answer], None] = lambda _: None,
) -> list[Answer]:
    """Return what a node in its own process makes of a drive.

    Args:
        looks: the images in order.
        camera: that takes them.
        T_base_camera: where the robot believes it to be.
        parameters: of the node, `bundle` at least.
        module: the node.
        on_answer: told each answer, for a progress bar.

    Raises:
        ProcessError: the node ended, or did not answer.
    """
    try:
        with (
            spinning_node("reloc_lockstep") as node,
            NodeProcess({**PARAMETERS, **parameters}, module=module) as process,
        ):
            player = Player(
                Recorder(node, transforms=True, keep=_KEPT), StagedRobot(node, camera, T_base_camera), process
            )
            LifecycleClient(node, process=process).bring_up()
            player.meet()
            answers = []
            for look in looks:
                answers.append(player.show(look))
                on_answer(answers[-1])
            return answers
    except (RuntimeError, TimeoutError) as error:
        raise ProcessError(f"the drive stopped: {error}") from error


class Player:
    """Shows images and hears what becomes of them.

    Args:
        recorder: of what the node says.
        robot: that sends.
        process: of the node.
        broadcasts: whether the node broadcasts map to odom; in the role `initializer` it does not.
    """

    def __init__(
        self, recorder: Recorder, robot: StagedRobot, process: NodeProcess, *, broadcasts: bool = True
    ) -> None:
        self._recorder, self._robot, self._process, self._broadcasts = recorder, robot, process, broadcasts
        self._accepted = 0

    def meet(self) -> None:
        """Wait until everybody has found everybody."""
        self._wait(lambda: self._said("model") == "ready")
        self._wait(lambda: self._robot.is_heard and self._recorder.publisher_count > 0)

    def show(self, look: Look) -> Answer:
        """Show an image and return what became of it."""
        stamp_ns = _START_NS + round(1e9 * look.time_s)
        handled, rejected = self._handled, int(self._said("frames_rejected") or 0)
        self._robot.send_clock(stamp_ns)
        self._robot.send_odometry(look.T_odom_base, stamp_ns)
        self._robot.send_image(look.image, stamp_ns)
        self._wait(lambda: self._handled > handled)
        values = self._recorder.latest_diagnostics
        was_rejected = int(values["frames_rejected"]) > rejected
        if not was_rejected and int(values["frames_accepted"]) > self._accepted:
            self._wait(lambda: self._recorder.pose_at(stamp_ns) is not None)
        self._accepted = int(values["frames_accepted"])
        return Answer(
            state=values["trust_state"],
            cause=values["trust_cause"],
            T_map_camera=self._recorder.pose_at(stamp_ns),
            T_map_odom=self._trusted(values["trust_state"]),
            rejection=values["last_rejection"].split(":")[0] if was_rejected else "",
        )

    def _trusted(self, state: str) -> Array | None:
        if not self._broadcasts or state not in ("tracking", "degraded"):
            return None
        self._wait(lambda: self._recorder.latest_transform("map", "odom") is not None)
        return self._recorder.latest_transform("map", "odom")

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds, for as long as there is a node that may see to it."""
        deadline = monotonic() + PATIENCE_S
        while True:
            self._process.check()
            try:
                self._recorder.wait(condition, timeout_s=_LOOK_AFTER_S)
            except TimeoutError:
                if monotonic() > deadline:
                    raise
            else:
                return

    def _said(self, key: str) -> str:
        return str(self._recorder.latest_diagnostics.get(key, ""))

    @property
    def _handled(self) -> int:
        return sum(int(self._said(f"frames_{outcome}") or 0) for outcome in _OUTCOMES)
