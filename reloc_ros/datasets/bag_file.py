"""Opening a recorded bag, ROS 1 or ROS 2, and loading its images one by one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from reloc_ros.cameras.image_encoding import decode_compressed, decode_raw
from reloc_ros.errors import DatasetError, ImageError, RelocError
from reloc_ros.types import Image

RAW_IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Yield an open reader of a .bag, .mcap or .db3 file or of a rosbag2 folder.

    Raises:
        DatasetError: the bag cannot be opened or read; raised inside the `with` block as well.
    """
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise DatasetError(
            f"bag {path} is a folder without the metadata file metadata.yaml; `ros2 bag reindex {path}` writes it, or give "
            "the .mcap or .db3 file itself"
        )
    try:
        # Bags of rosbag2 before Iron carry no message definitions; those of the standard messages have not changed.
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            yield reader
    except RelocError:
        raise
    # A damaged bag surfaces as whatever the layer that stumbled raises: rosbags, a decompressor, SQLite, struct, ...
    except Exception as error:
        said = str(error).rstrip(".") if isinstance(error, AnyReaderError) else repr(error)
        raise DatasetError(
            f"bag {path} cannot be read: {said}; it may be truncated (`ros2 bag reindex`, `rosbag reindex` and "
            "`mcap recover` repair what can be saved), or not a bag"
        ) from error


def stamp_ns(header: Any) -> int:
    """Return the stamp of a decoded std_msgs/Header."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


@dataclass
class BagImages:
    """Random access to the images of one topic; keeps the bag open, once in each process.

    A data loader may copy it into its workers by fork or by pickle: neither shares the open file.
    """

    path: Path
    topic: str
    _reader: AnyReader | None = field(default=None, init=False, repr=False)
    _owner_pid: int = field(default=0, init=False, repr=False)
    _lock: Any = field(default_factory=Lock, init=False, repr=False)

    def __getstate__(self) -> tuple[Path, str]:
        return self.path, self.topic

    def __setstate__(self, state: tuple[Path, str]) -> None:
        # dataclasses create no attributes for an instance that pickle builds.
        BagImages.__init__(self, *state)

    def load(self, bag_time_ns: int, image_stamp_ns: int) -> Image:
        """Return the (H, W, 3) uint8 RGB image recorded at a time with a stamp.

        Raises:
            DatasetError: the message is gone, or its image lies about its size or encoding.
        """
        where = f"bag {self.path}, topic {self.topic}, stamp {image_stamp_ns} ns"
        try:
            with self._lock:
                message = self._find(bag_time_ns, image_stamp_ns)
        except Exception as error:
            raise DatasetError(f"{where}: cannot be read: {error!r}; has the bag changed?") from error
        try:
            return decode_message(message)
        except ImageError as error:
            raise DatasetError(f"{where}: {error}") from error

    def _find(self, bag_time_ns: int, image_stamp_ns: int) -> Any:
        if self._reader is None or self._owner_pid != os.getpid():
            self._reader = AnyReader([self.path], default_typestore=get_typestore(Stores.LATEST))
            self._reader.open()
            self._owner_pid = os.getpid()
            weakref.finalize(self, self._reader.close)
        connections = [connection for connection in self._reader.connections if connection.topic == self.topic]
        for connection, _, data in self._reader.messages(connections, start=bag_time_ns, stop=bag_time_ns + 1):
            message: Any = self._reader.deserialize(data, connection.msgtype)
            if stamp_ns(message.header) == image_stamp_ns:
                return message
        raise LookupError(f"no image was recorded at {bag_time_ns} ns")


def decode_message(message: Any) -> Image:
    """Return the (H, W, 3) uint8 RGB image in a decoded sensor_msgs Image or CompressedImage.

    Raises:
        ImageError: it does not decode, or lies about its size.
    """
    if message.__msgtype__ == COMPRESSED_IMAGE:
        return decode_compressed(message.data)
    return decode_raw(
        message.data,
        encoding=message.encoding,
        width=int(message.width),
        height=int(message.height),
        step=int(message.step),
        is_bigendian=bool(message.is_bigendian),
    )
