"""A recorded bag, ROS 1 or ROS 2, as serialized ROS 2 messages in the order of recording."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.convert.converter import is_same_wireformat, migrate_bytes
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, ConnectionExtRosbag1, QosDurability
from rosbags.typesys import Stores, get_typestore

from reloc_ros.errors import DatasetError

_LATCHED_DEPTH = 1000
_DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class BagTopic:
    """A topic of a bag that can be published here.

    Args:
        name: as recorded.
        message_class: ROS 2 message class.
        qos: reliable, so that every subscriber matches; transient local when it was recorded so.
    """

    name: str
    message_class: type
    qos: QoSProfile


class BagMessages:
    """An open bag; use as a context manager.

    Args:
        path: .bag, .mcap or .db3 file, or rosbag2 folder.
        topics: names to read; empty reads all.

    Raises:
        DatasetError: the bag cannot be read, or has none of the topics.
    """

    def __init__(self, path: Path, topics: Collection[str] = ()) -> None:
        self._path = path
        self._store = get_typestore(Stores.LATEST)
        if not path.exists():
            raise DatasetError(f"bag {path} does not exist; give a .bag, .mcap or .db3 file or a rosbag2 folder")
        try:
            self._reader = AnyReader([path], default_typestore=self._store)
            self._reader.open()
        # A damaged bag surfaces as whatever the layer that stumbled raises: rosbags, a decompressor, SQLite, struct, ...
        except Exception as error:
            raise DatasetError(f"bag {path} cannot be read: {error!r}; it may be truncated, or not a bag") from error
        self.topics: dict[str, BagTopic] = {}
        self.skipped: dict[str, str] = {}
        self._convert: dict[int, Callable[[Any], Any]] = {}
        self._cache: dict[str, object] = {}
        for connection in self._reader.connections:
            if not topics or connection.topic in topics:
                self._add(connection)
        recorded = sorted({connection.topic for connection in self._reader.connections})
        missing = sorted(set(topics) - set(recorded))
        if missing or not self.topics:
            self._reader.close()
            what = f"has no topic {', '.join(missing)}" if missing else f"has nothing to play ({self.skipped})"
            raise DatasetError(f"bag {path} {what}; it holds {', '.join(recorded)}")

    def __enter__(self) -> BagMessages:
        """Return the open bag."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bag."""
        self._reader.close()

    @property
    def start_ns(self) -> int:
        """Time at which recording began."""
        return int(self._reader.start_time)

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return float(self._reader.duration) * 1e-9

    def messages(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, time of recording in nanoseconds, serialized ROS 2 message).

        Raises:
            DatasetError: the bag is damaged.
        """
        connections = [connection for connection in self._reader.connections if connection.id in self._convert]
        try:
            for connection, time_ns, raw in self._reader.messages(connections=connections):
                yield connection.topic, time_ns, bytes(self._convert[connection.id](raw))
        except GeneratorExit:
            raise
        except Exception as error:
            raise DatasetError(f"bag {self._path} cannot be read on: {error!r}; it may be truncated") from error

    def _add(self, connection: Connection) -> None:
        try:
            message_class, convert = _message_class(connection.msgtype), self._converter(connection)
        except DatasetError as error:
            self.skipped[connection.topic] = str(error)
            return
        self._convert[connection.id] = convert
        self.topics[connection.topic] = BagTopic(
            name=connection.topic, message_class=message_class, qos=_qos(connection)
        )

    def _converter(self, connection: Connection) -> Callable[[Any], Any]:
        """Return what makes a serialized ROS 2 message of a recorded one."""
        kind = connection.msgtype
        if self._reader.is2:
            return bytes
        source = self._reader.typestore
        if kind not in self._store.fielddefs:
            raise DatasetError(f"type {kind} has no ROS 2 counterpart")
        if is_same_wireformat(source, self._store, kind, kind):
            return partial(self._store.ros1_to_cdr, typename=kind)
        return partial(migrate_bytes, source, self._store, kind, kind, self._cache, src_is2=False, dst_is2=True)


def _message_class(kind: str) -> type:
    """Return the ROS 2 message class of a type such as `sensor_msgs/msg/Image`."""
    package, _, name = kind.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise DatasetError(f"type {kind} is not installed") from error


def _qos(connection: Connection) -> QoSProfile:
    if isinstance(connection.ext, ConnectionExtRosbag1):
        latched = bool(connection.ext.latching)
    else:
        latched = any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in connection.ext.offered_qos_profiles)
    if latched or connection.topic == "/tf_static":
        return QoSProfile(depth=_LATCHED_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return QoSProfile(depth=_DEPTH)
