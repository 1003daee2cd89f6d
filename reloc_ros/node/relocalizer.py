"""Everything that exists between `configure` and `cleanup`, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from reloc_ros.node.camera_source import CameraSource
from reloc_ros.node.debug_image import DebugImage
from reloc_ros.node.frame_intake import Arrival, FrameIntake
from reloc_ros.node.frame_path import FramePath
from reloc_ros.node.latest_slot import LatestSlot
from reloc_ros.node.model import Load, Model
from reloc_ros.node.outputs import Outputs
from reloc_ros.node.parameters import Settings
from reloc_ros.node.scene_hints import SceneHints
from reloc_ros.node.statistics import Statistics
from reloc_ros.node.transforms import Transforms
from reloc_ros.node.worker import Worker
from reloc_ros.types import Reason

_log = logging.getLogger(__name__)

# Best effort receives from reliable publishers as well, and never makes a camera driver wait for us.
LATEST = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_LATEST = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)

_STOP_S = 2.0
"""How long a transition waits for the frame at hand; lifecycle managers give up after 5 s."""


class Relocalizer:
    """Subscriptions, worker and publishers of a configured node.

    Args:
        node: owner of all of them.
        settings: returns the current parameters.
        load: loads the model, in the worker's thread.
        statistics: counts frames.
    """

    def __init__(
        self, node: LifecycleNode, settings: Callable[[], Settings], load: Load, statistics: Statistics
    ) -> None:
        self.model: Model | None = None
        self._node = node
        self._settings = settings
        self._load = load
        self._statistics = statistics
        self._active = False
        self._publishing = Lock()
        self._timer: Timer | None = None
        self._slot: LatestSlot[Arrival] = LatestSlot()
        self._transforms = Transforms(node, settings)
        self._outputs = Outputs(node)
        self._debug_image = DebugImage(node, settings)
        self._scene_hints = SceneHints(statistics)
        self._intake = FrameIntake(
            self._slot, statistics, now_ns=lambda: int(node.get_clock().now().nanoseconds), on_restart=self.reset
        )
        self._cameras = CameraSource(node.resolve_topic_name("camera_info"))
        self._subscriptions = [node.create_subscription(CameraInfo, "camera_info", self._cameras.update, LATEST)]
        # Volatile: receives from every reliable publisher, transient local or not.
        self._subscriptions.append(
            node.create_subscription(String, "scene_hint", self._scene_hints.take, RELIABLE_LATEST)
        )
        image_qos = RELIABLE_LATEST if settings().image_reliability == "reliable" else LATEST
        for kind, topic in _image_topics(node, settings().image_transport):
            self._subscriptions.append(node.create_subscription(kind, topic, self._on_image, image_qos))
        self.worker = Worker(self._slot, prepare=self._prepare, handle=self._handle, on_fault=self._on_fault)
        self.worker.start()

    def activate(self) -> None:
        """Begin to use images."""
        if self._settings().tf_mode == "map_to_odom":
            period_s = 1.0 / self._settings().transform_rate_hz
            self._timer = self._node.create_timer(period_s, self._transforms.rebroadcast)
        self._active = True

    def deactivate(self) -> None:
        """Stop using images; nothing is published or broadcast after this."""
        with self._publishing:
            self._active = False
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self.reset()

    def reset(self) -> None:
        """Forget everything that is tied to time."""
        with self._publishing:
            self._intake.reset()
            self._transforms.reset()

    def close(self) -> None:
        """Stop the worker and remove subscriptions and publishers."""
        self.deactivate()
        stopped = self.worker.stop(_STOP_S)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._transforms.close()
        self._outputs.close()
        self._debug_image.close()
        # A model that is still at work is freed with its thread.
        if stopped and self.model is not None:
            self.model.close()

    def _prepare(self) -> None:
        model = self._load()
        self._path = FramePath(
            model,
            cameras=self._cameras,
            transforms=self._transforms,
            outputs=self._outputs,
            debug_image=self._debug_image,
            statistics=self._statistics,
            publishing=self._publishing,
            is_current=lambda arrival: self._active and arrival.epoch == self._intake.epoch,
        )
        self._scene_hints.serve(model.localizer)
        self.model = model
        _log.info("%s is ready on %s (%s, %s)", model.method, model.backend, model.device, model.precision)

    def _handle(self, arrival: Arrival) -> None:
        self._path.handle(arrival)

    def _on_fault(self, _: Arrival, error: Exception) -> None:
        self._statistics.rejected(Reason.OUTPUT_FAILED, f"{type(error).__name__}: {error}")

    def _on_image(self, message: Image | CompressedImage) -> None:
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
