"""Everything that exists between `configure` and `cleanup`, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Lock

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Empty, Trigger

from reloc_ros.localization.decision import Cause
from reloc_ros.node.camera_source import CameraSource
from reloc_ros.node.debug_image import DebugImage
from reloc_ros.node.frame_intake import Arrival, FrameIntake
from reloc_ros.node.frame_path import FramePath
from reloc_ros.node.latest_slot import LatestSlot
from reloc_ros.node.model import Load, Model
from reloc_ros.node.navigation import Navigation
from reloc_ros.node.relocalize_requests import RelocalizeRequests
from reloc_ros.node.rig_images import RigImages, RigSource
from reloc_ros.node.scene_hints import SceneHints
from reloc_ros.node.sequence_path import SequencePath
from reloc_ros.node.settings import Settings
from reloc_ros.node.statistics import Statistics
from reloc_ros.node.transforms import Transforms
from reloc_ros.node.trust import create_trust
from reloc_ros.node.worker import Worker
from reloc_ros.types import Reason

_log = logging.getLogger(__name__)

# Best effort receives from reliable publishers as well, and never makes a camera driver wait for us.
LATEST = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_LATEST = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)

_TICK_S = 0.2

_STOP_S = 0.5
"""How long a transition waits for the frame at hand, so that it answers within a second."""


class Relocalizer:
    """Subscriptions, worker and publishers of a configured node.

    Args:
        node: owner of all of them.
        settings: returns the current parameters.
        load: loads the model, in the worker's thread.
        statistics: counts frames.
        requests: who waits for a pose.

    Raises:
        ConfigError: parameters contradict each other.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: Callable[[], Settings],
        *,
        load: Load,
        statistics: Statistics,
        requests: RelocalizeRequests,
    ) -> None:
        trust = create_trust(settings())
        self.model: Model | None = None
        self._node = node
        self._settings = settings
        self._load = load
        self._statistics = statistics
        self._active = False
        self._is_closed = False
        self._publishing = Lock()
        self._timers: list[Timer] = []
        self._slot: LatestSlot[Arrival] = LatestSlot()
        self._transforms = Transforms(node, settings)
        self._requests = requests
        self.navigation = Navigation(node, settings, trust=trust, transforms=self._transforms, requests=self._requests)
        self._debug_image = DebugImage(node, settings)
        self._scene_hints = SceneHints(statistics)
        self._intake = FrameIntake(
            self._slot,
            statistics,
            now_ns=lambda: int(node.get_clock().now().nanoseconds),
            on_restart=lambda: self.reset(Cause.CLOCK_BACKWARD, "images began anew"),
        )
        self._cameras = CameraSource(node.resolve_topic_name("camera_info"))
        # Volatile: receives from every reliable publisher, transient local or not.
        self._subscriptions = [node.create_subscription(String, "scene_hint", self._scene_hints.take, RELIABLE_LATEST)]
        # An initializer leaves both names to navigation's own localization.
        is_authority = settings().role == "authority"
        if is_authority:
            self._subscriptions.append(
                node.create_subscription(
                    PoseWithCovarianceStamped, "initialpose", self._on_initialpose, RELIABLE_LATEST
                )
            )
        reinitialize = "reinitialize_global_localization"
        self._reinitialize = node.create_service(
            Empty, reinitialize if is_authority else f"~/{reinitialize}", self._on_reinitialize
        )
        self._reset_sequence = node.create_service(Trigger, "~/reset_sequence", self._on_reset_sequence)
        image_qos = RELIABLE_LATEST if settings().image_reliability == "reliable" else LATEST
        self._rig: RigSource | None = None
        if settings().rig_cameras:
            self._rig = RigSource(
                node,
                settings,
                transforms=self._transforms,
                take=self._on_image,
                incomplete=self._on_incomplete,
                reliability=image_qos.reliability,
            )
        else:
            info = node.create_subscription(CameraInfo, "camera_info", self._cameras.update, LATEST)
            self._subscriptions.append(info)
            for kind, topic in _image_topics(node, settings().image_transport):
                self._subscriptions.append(node.create_subscription(kind, topic, self._on_image, image_qos))
        self.worker = Worker(self._slot, prepare=self._prepare, handle=self._handle, on_fault=self._on_fault)
        self.worker.start()

    def activate(self) -> None:
        """Begin to use images."""
        settings = self._settings()
        with self._publishing:
            self.navigation.activate()
            self._active = True
        self._requests.open(self._on_request)
        # Steady: also in a paused simulation, time-outs end and saved poses are written.
        self._timers.append(self._node.create_timer(_TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)))
        if settings.broadcasts == "map_to_odom":
            rebroadcast = self.navigation.broadcast.rebroadcast
            self._timers.append(self._node.create_timer(1.0 / settings.transform_rate_hz, rebroadcast))

    def deactivate(self) -> None:
        """Stop using images; nothing is published or broadcast after this."""
        with self._publishing:
            self._active = False
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers.clear()
        self._requests.close("the node was deactivated")
        self.reset(Cause.RESET, "not active")

    def reset(self, cause: Cause, detail: str) -> None:
        """Forget everything that is tied to time."""
        with self._publishing:
            self._intake.reset()
            self._transforms.reset()
            if self._rig is not None:
                self._rig.reset()
            if self.model is not None and self.model.sequence is not None:
                self.model.sequence.sequence.reset(f"first frame after: {detail}")
            self.navigation.reset(cause, detail)

    def close(self) -> None:
        """Stop the worker and remove subscriptions and publishers."""
        self.deactivate()
        stopped = self.worker.stop(_STOP_S)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        if self._rig is not None:
            self._rig.close()
        self._node.destroy_service(self._reinitialize)
        self._node.destroy_service(self._reset_sequence)
        self._transforms.close()
        with self._publishing:
            self._is_closed = True
            self.navigation.close()
        self._debug_image.close()
        # A model that is still at work is freed with its thread.
        if stopped and self.model is not None:
            self.model.close()

    def _prepare(self) -> None:
        model = self._load()
        self._path = self._create_path(model)
        with self._publishing:
            if self._is_closed:
                # Cleaned up while it loaded: there is nobody left to serve.
                model.close()
                return
            self._scene_hints.serve(model.localizer)
            self.navigation.serve(model)
            self.model = model
        backend = model.backend
        _log.info("%s is ready on %s (%s, %s)", model.method, backend.name, backend.device, backend.precision)

    def _create_path(self, model: Model) -> FramePath:
        create = FramePath if model.sequence is None else partial(SequencePath, model.sequence, self._rig)
        return create(
            model=model,
            cameras=self._cameras,
            transforms=self._transforms,
            navigation=self.navigation,
            debug_image=self._debug_image,
            statistics=self._statistics,
            publishing=self._publishing,
            is_current=lambda arrival: self._active and arrival.epoch == self._intake.epoch,
        )

    def _handle(self, arrival: Arrival) -> None:
        self._path.handle(arrival)

    def _on_fault(self, _: Arrival, error: Exception) -> None:
        self._statistics.rejected(Reason.OUTPUT_FAILED, f"{type(error).__name__}: {error}")

    def _step(self, step: Callable[[], None]) -> None:
        """Let navigation take a step while the node is active; a fault in it must not end the process."""
        with self._publishing:
            if not self._active:
                return
            try:
                step()
            except Exception as error:
                _log.exception("what was believed is forgotten")
                self.navigation.reset(Cause.RESET, f"a fault: {type(error).__name__}: {error}")

    def _tick(self) -> None:
        self._step(self.navigation.tick)

    def _on_request(self) -> None:
        self._step(self.navigation.want_pose)

    def _on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        self._step(lambda: self.navigation.on_initialpose(message))

    def _on_reinitialize(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        self._step(lambda: self.navigation.lose("global localization was asked for"))
        return response

    def _on_reset_sequence(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Make the next image the origin, and tell whether that means anything here."""
        if self.model is None or not self._active:
            response.message = "the node is not active, or its model not loaded yet; try again"
        elif self.model.sequence is None:
            response.message = f"{self.model.method} localizes single images: there is no sequence to reset"
        else:
            self.reset(Cause.RESET, "asked for by ~/reset_sequence")
            response.success, response.message = True, "the next image is the origin of a new sequence"
        return response

    def _on_incomplete(self, detail: str) -> None:
        if self._active:
            self._statistics.rejected(Reason.INCOMPLETE_RIG, detail)
            _log.warning("%s: %s", Reason.INCOMPLETE_RIG.value, detail)

    def _on_image(self, message: Image | CompressedImage | RigImages) -> None:
        if self._active:
            self._intake.offer(message)


def _image_topics(node: LifecycleNode, transport: str) -> list[tuple[type, str]]:
    topics: list[tuple[type, str]] = []
    if transport in ("raw", "both"):
        topics.append((Image, "image"))
    if transport in ("compressed", "both"):
        topics.append((CompressedImage, _compressed_topic(node)))
    return topics


def _compressed_topic(node: LifecycleNode) -> str:
    """Return where compressed images are: `image/compressed` as remapped, else below the remapped `image`.

    That a remapping of `image` takes the compressed topic along is the convention of image_transport.
    """
    remapped = node.resolve_topic_name("image/compressed")
    if remapped != node.resolve_topic_name("image/compressed", only_expand=True):
        return str(remapped)
    return f"{node.resolve_topic_name('image')}/compressed"
