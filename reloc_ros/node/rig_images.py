"""A calibrated rig of cameras: their topics, images that belong together, and the one frame made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rclpy.exceptions import InvalidTopicNameException
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.rig import RigCamera
from reloc_ros.errors import ConfigError, ImageError
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.camera_source import CameraSource
from reloc_ros.node.conversions import image_to_rgb, stamp_to_ns
from reloc_ros.node.rig_sync import ApproximateSync
from reloc_ros.node.settings import Settings
from reloc_ros.node.transforms import Transforms
from reloc_ros.types import Array, Frame, Reason
from reloc_ros.types import Image as Pixels

_PINHOLE = "pinhole"
_MODELS = (_PINHOLE, "equirectangular")
_QUEUED = 5
_COMPLAIN_AFTER_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class RigImages:
    """Messages of one moment.

    Args:
        header: stamp of the first camera's, frame of the rig.
        images: by topic.
    """

    header: Header
    images: dict[str, Image]


class RigSource:
    """Subscribes to a rig's cameras.

    Args:
        node: owner of the subscriptions.
        settings: returns the current parameters.
        transforms: knows where the cameras are.
        take: given the images of each moment.
        incomplete: told of images that came without those of the other cameras, at most once a second.
        reliability: of the image subscriptions.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: Callable[[], Settings],
        *,
        transforms: Transforms,
        take: Callable[[RigImages], None],
        incomplete: Callable[[str], None],
        reliability: ReliabilityPolicy,
    ) -> None:
        self._node = node
        self._transforms = transforms
        self._take = take
        self._incomplete = incomplete
        self._frame = settings().rig_frame
        self._tolerance_s = settings().rig_tolerance_s
        self._models = rig_topics(settings().rig_cameras)
        self._topics = tuple(self._models)
        self._sync: ApproximateSync[Image] = ApproximateSync(self._topics, round(self._tolerance_s * 1e9))
        self._complete_ns: int | None = None
        self._newest_ns: dict[str, int] = {}
        self._cameras: dict[str, CameraSource] = {}
        self._subscriptions = []
        # One camera's next image may come before another's last.
        qos = QoSProfile(depth=_QUEUED, reliability=reliability)
        info_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic in self._topics:
            info = f"{topic.rpartition('/')[0]}/camera_info"
            source = CameraSource(node.resolve_topic_name(info))
            self._cameras[topic] = source
            self._subscriptions.append(node.create_subscription(CameraInfo, info, source.update, info_qos))
            self._subscriptions.append(node.create_subscription(Image, topic, partial(self._on_image, topic), qos))

    def close(self) -> None:
        """Remove the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def reset(self) -> None:
        """Forget images that wait: time begins anew."""
        self._sync.clear()
        self._complete_ns = None
        self._newest_ns.clear()

    def frame(self, moment: RigImages) -> Frame | Failure:
        """Return the frame of the whole rig, or which camera keeps it from being made."""
        cameras: list[Camera] = []
        pixels: list[Pixels] = []
        poses: list[Array] = []
        for topic, message in moment.images.items():
            try:
                image = image_to_rgb(message)
            except ImageError as error:
                return Failure(reason=Reason.BAD_IMAGE, detail=f"{topic}: {error}")
            height, width = image.shape[:2]
            camera = self._cameras[topic].camera(self._models[topic], width, height)
            if isinstance(camera, Failure):
                return Failure(reason=camera.reason, detail=f"{topic}: {camera.detail}")
            T_rig_camera = self._transforms.mount(self._frame, message.header.frame_id.lstrip("/"))
            if isinstance(T_rig_camera, Failure):
                return Failure(reason=T_rig_camera.reason, detail=f"{topic}: {T_rig_camera.detail}")
            cameras.append(camera)
            pixels.append(image)
            poses.append(T_rig_camera)
        rig = RigCamera(tuple(cameras), tuple(poses))
        stamp_ns = stamp_to_ns(moment.header.stamp)
        return Frame(image=rig.join(pixels), camera=rig, stamp_ns=stamp_ns, frame_id=self._frame)

    def _on_image(self, topic: str, message: Image) -> None:
        stamp_ns = self._newest_ns[topic] = stamp_to_ns(message.header.stamp)
        found = self._sync.add(topic, stamp_ns, message)
        if found is not None:
            self._complete_ns = stamp_ns
            header = Header(stamp=found[self._topics[0]].header.stamp, frame_id=self._frame)
            self._take(RigImages(header=header, images=found))
            return
        if self._complete_ns is None:
            self._complete_ns = stamp_ns
        if abs(stamp_ns - self._complete_ns) > _COMPLAIN_AFTER_NS:
            self._complete_ns = stamp_ns
            self._incomplete(self._why_incomplete(topic, stamp_ns))

    def _why_incomplete(self, topic: str, stamp_ns: int) -> str:
        silent = [
            each
            for each in self._topics
            if each not in self._newest_ns or stamp_ns - self._newest_ns[each] > _COMPLAIN_AFTER_NS
        ]
        if silent:
            return f"{topic} has images, {', '.join(silent)} has none; check the topics of rig_cameras"
        return f"the cameras' stamps are more than {self._tolerance_s:g} s apart; synchronise them or raise rig_tolerance_s"


def rig_topics(names: str) -> dict[str, str]:
    """Return the image topics that the parameter `rig_cameras` names, and the model of each camera.

    Raises:
        ConfigError: there are less than two, one is named twice or is no name, or a model is unknown.
    """
    named = [name.strip().partition(":") for name in names.split(",") if name.strip()]
    models = {topic: model or _PINHOLE for topic, _, model in named}
    unknown = [model for model in models.values() if model not in _MODELS]
    if unknown:
        raise ConfigError(f"rig_cameras names a camera model {unknown[0]!r}, expected one of {', '.join(_MODELS)}")
    if len(models) < 2 or len(models) < len(named):
        raise ConfigError(
            f"rig_cameras is {names!r}, expected the image topics of two cameras or more, each once, between commas"
        )
    for topic in models:
        try:
            validate_topic_name(topic)
        except InvalidTopicNameException as error:
            raise ConfigError(f"rig_cameras names {topic!r}, which is no topic: {error}") from error
    return models
