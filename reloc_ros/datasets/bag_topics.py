"""Which topics of a bag hold the image, its camera and its pose: as asked for, or found where that is unambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reloc_ros.datasets.bag_file import COMPRESSED_IMAGE, RAW_IMAGE
from reloc_ros.errors import DatasetError

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POSE = "geometry_msgs/msg/PoseStamped"
POSE_WITH_COVARIANCE = "geometry_msgs/msg/PoseWithCovarianceStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")

_COMPRESSED_SUFFIX = "/compressed"
_POSE_TYPES = (POSE, POSE_WITH_COVARIANCE, ODOMETRY, *TRANSFORMS)


@dataclass(frozen=True, kw_only=True)
class BagTopics:
    """The chosen topics; `camera_info` is None when a file describes the camera, `pose` when one holds the poses."""

    image: str
    camera_info: str | None
    pose: str | None

    @classmethod
    def choose(cls, types: Mapping[str, str], options: Mapping[str, str]) -> BagTopics:
        """Return the topics named in `options`, else the only candidates among `types` (topic: message type).

        Of a raw image and the same image compressed the raw one counts. The camera info next to the image (same
        namespace) comes before others. A pose topic comes before odometry, which drifts, and that before /tf.

        Raises:
            DatasetError: a topic is absent, of a wrong type, or not determined; the message lists what there is.
        """
        image = _named(types, options, "image", (RAW_IMAGE, COMPRESSED_IMAGE)) or _only(
            types, "image", [_without_compressed_copies(types)]
        )
        pose = None if "poses" in options else _pose_topic(types, options)
        if "poses" in options and "pose" in options:
            raise DatasetError("options poses (a file) and pose (a topic) exclude each other; give one")
        if "camera" in options:
            if "camera_info" in options:
                raise DatasetError("options camera (a file) and camera_info (a topic) exclude each other; give one")
            return cls(image=image, camera_info=None, pose=pose)
        infos = _of(types, CAMERA_INFO)
        beside = image.removesuffix(_COMPRESSED_SUFFIX).rpartition("/")[0] + "/camera_info"
        camera_info = _named(types, options, "camera_info", (CAMERA_INFO,)) or _only(
            types, "camera_info", [[topic for topic in infos if topic == beside], infos]
        )
        return cls(image=image, camera_info=camera_info, pose=pose)


def _pose_topic(types: Mapping[str, str], options: Mapping[str, str]) -> str:
    return _named(types, options, "pose", _POSE_TYPES) or _only(
        types,
        "pose",
        [
            _of(types, POSE, POSE_WITH_COVARIANCE),
            _of(types, ODOMETRY),
            [name for name in ("/tf",) if name in types],
        ],
    )


def _named(types: Mapping[str, str], options: Mapping[str, str], role: str, allowed: tuple[str, ...]) -> str | None:
    topic = options.get(role)
    if topic is not None and types.get(topic) not in allowed:
        raise DatasetError(
            f"{role}={topic} is {types.get(topic, 'not in the bag')}, expected one of {', '.join(allowed)}; "
            f"{_listing(types)}"
        )
    return topic


def _only(types: Mapping[str, str], role: str, preferences: list[list[str]]) -> str:
    """Return the one topic of the first non-empty list of candidates."""
    candidates = next((topics for topics in preferences if topics), [])
    if len(candidates) != 1:
        raise DatasetError(
            f"{len(candidates)} topics could be the {role} ({', '.join(candidates) or 'none'}); "
            f"choose with ?{role}=TOPIC (reloc map: --{role.replace('_', '-')} TOPIC); {_listing(types)}"
        )
    return candidates[0]


def _of(types: Mapping[str, str], *wanted: str) -> list[str]:
    return [topic for topic, kind in types.items() if kind in wanted]


def _without_compressed_copies(types: Mapping[str, str]) -> list[str]:
    raw = _of(types, RAW_IMAGE)
    compressed = _of(types, COMPRESSED_IMAGE)
    return raw + [topic for topic in compressed if topic.removesuffix(_COMPRESSED_SUFFIX) not in raw]


def _listing(types: Mapping[str, str]) -> str:
    return "topics of the bag: " + (", ".join(f"{topic} [{kind}]" for topic, kind in sorted(types.items())) or "none")
