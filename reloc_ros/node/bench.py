"""Measures the node in its own process over DDS: latency from arrival to publication, and its share of a CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import ProcessError
from reloc_ros.localization.stages import FAULT_OF_STAGE
from reloc_ros.node.bag_player import Pacer
from reloc_ros.node.conversions import ns_to_stamp, stamp_to_ns
from reloc_ros.node.lifecycle_client import PATIENCE_S, LifecycleClient, NodeProcess
from reloc_ros.node.process_usage import usage
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node
from reloc_ros.node.staged_robot import camera_info, image_message
from reloc_ros.node.trivial_node import CAMERAS
from reloc_ros.types import Image as RgbImage

RATE_HZ = 30.0
FRAMES = 300
"""Per run, so that the 99th percentile is not the slowest frame."""
AIM_MS = {(640, 480): 5.0, (1920, 960): 12.0}
"""Latency less inference on two cores, by image size."""

_TRIVIAL, _REAL = "reloc_ros.node.trivial_node", "reloc_ros.node.relocalizer_node"


@dataclass(frozen=True, kw_only=True)
class NodeFigures:
    """What one run measured.

    Args:
        width: of the images, pixels.
        height: of the images, pixels.
        backend: what ran the network.
        frames_sent: images published.
        frames_in: images that reached the node.
        frames_dropped: images replaced by a newer one.
        poses: poses received.
        latency_p50_ms: arrival in the node to publication.
        latency_p99_ms: the same.
        overhead_p50_ms: latency less the network's run.
        overhead_p99_ms: the same.
        stages_p50_ms: median of each stage of the localizer.
        aim_ms: what the median overhead should not exceed; None for other image sizes.
        round_trip_p50_ms: from publishing an image to receiving its pose, in this process; NaN without poses.
        round_trip_p99_ms: the same.
        cpu_share: CPU time of the node's process over wall time; 1 is one core.
        rate_hz: images a second.
    """

    width: int
    height: int
    backend: str
    frames_sent: int
    frames_in: int
    frames_dropped: int
    poses: int
    latency_p50_ms: float
    latency_p99_ms: float
    overhead_p50_ms: float
    overhead_p99_ms: float
    stages_p50_ms: dict[str, float]
    aim_ms: float | None
    round_trip_p50_ms: float
    round_trip_p99_ms: float
    cpu_share: float
    rate_hz: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers for a JSON file, NaN as None."""
        return {name: None if value != value else value for name, value in asdict(self).items()}  # noqa: PLR0124


def bench_trivial(kind: str, frames: int = FRAMES, **parameters: Any) -> NodeFigures:
    """Measure the node with a network that costs nothing, for `pinhole` (640x480) or `equirectangular` (1920x960).

    Args:
        kind: of the camera.
        frames: to send.
        parameters: of the node, besides those that the bench sets.
    """
    camera = CAMERAS[kind]
    pixels = np.random.default_rng(0).integers(0, 255, (camera.height, camera.width, 3), dtype=np.uint8)
    return _measure(_TRIVIAL, {"bundle": kind, **parameters}, camera, [pixels], frames)


def bench_bundle(
    bundle: Path, camera: Camera, images: list[RgbImage], *, backend: str, threads: int, frames: int = FRAMES
) -> NodeFigures:
    """Measure the node with a bundle on given images, sent in turn."""
    parameters = {"bundle": str(bundle.resolve()), "backend": backend, "threads": threads}
    return _measure(_REAL, parameters, camera, images, frames)


def _measure(
    module: str, parameters: dict[str, Any], camera: Camera, images: list[RgbImage], frames: int
) -> NodeFigures:
    parameters = {**parameters, "tf_mode": "off", "trust": "single", "diagnostics_rate_hz": 2.0}
    try:
        with spinning_node("reloc_bench") as node, NodeProcess(parameters, module=module) as process:
            recorder = Recorder(node)
            sender = _Sender(node, camera, images)
            LifecycleClient(node, process=process).bring_up()
            recorder.wait(
                lambda: recorder.publisher_count > 0 and recorder.latest_diagnostics.get("model") == "ready",
                timeout_s=PATIENCE_S,
            )
            recorder.wait(lambda: sender.connected, timeout_s=PATIENCE_S)
            cpu_s, wall_s = usage(process.pid).cpu_s, time.perf_counter()
            sent_s = sender.send(frames)
            cpu_s, wall_s = usage(process.pid).cpu_s - cpu_s, time.perf_counter() - wall_s
            seen = len(recorder.recording().diagnostics)
            recorder.wait(lambda: _has_counted(recorder.recording().diagnostics[seen:]), timeout_s=PATIENCE_S)
            return _figures(camera, recorder, sent_s, cpu_s / wall_s)
    except (RuntimeError, TimeoutError) as error:
        raise ProcessError(f"the bench stopped: {error}") from error


def _has_counted(diagnostics: Sequence[Mapping[str, str]]) -> bool:
    """Return whether images have arrived and no more of them do."""
    return len(diagnostics) > 1 and "0" != diagnostics[-1]["frames_in"] == diagnostics[-2]["frames_in"]


def _figures(camera: Camera, recorder: Recorder, sent_s: dict[int, float], cpu_share: float) -> NodeFigures:
    recording, values = recorder.recording(), recorder.latest_diagnostics
    if "latency_p50_ms" not in values:
        raise ProcessError(f"no frame reached the localizer; the node says {values}")
    trips_ms = [1e3 * (at_s - sent_s[stamp]) for stamp, at_s in zip(recording.stamps_ns.tolist(), recording.received_s)]
    p50, p99 = np.percentile(trips_ms, (50, 99)) if trips_ms else (np.nan, np.nan)
    return NodeFigures(
        width=camera.width,
        height=camera.height,
        backend=values["backend"],
        frames_sent=len(sent_s),
        frames_in=int(values["frames_in"]),
        frames_dropped=int(values["frames_dropped"]),
        poses=len(recording.stamps_ns),
        latency_p50_ms=float(values["latency_p50_ms"]),
        latency_p99_ms=float(values["latency_p99_ms"]),
        overhead_p50_ms=float(values["overhead_p50_ms"]),
        overhead_p99_ms=float(values["overhead_p99_ms"]),
        stages_p50_ms={stage: float(values[f"{stage}_p50_ms"]) for stage in FAULT_OF_STAGE},
        aim_ms=AIM_MS.get((camera.width, camera.height)),
        round_trip_p50_ms=float(p50),
        round_trip_p99_ms=float(p99),
        cpu_share=cpu_share,
        rate_hz=RATE_HZ,
    )


class _Sender:
    """Publishes images and their camera_info at the rate of a camera."""

    def __init__(self, node: Node, camera: Camera, images: list[RgbImage]) -> None:
        self._clock = node.get_clock()
        self._images = node.create_publisher(Image, "image", 1)
        self._infos = node.create_publisher(CameraInfo, "camera_info", 1)
        self._info = camera_info(camera)
        self._messages = [image_message(pixels) for pixels in images]

    @property
    def connected(self) -> bool:
        """Whether the node listens."""
        return all(publisher.get_subscription_count() > 0 for publisher in (self._images, self._infos))

    def send(self, frames: int) -> dict[int, float]:
        """Return when each stamp was sent, by `perf_counter`."""
        pacer, sent_s = Pacer(RATE_HZ * 1e-9), {}
        pacer.start(0)
        for number in range(frames):
            pacer.wait_until(number)
            message = self._messages[number % len(self._messages)]
            stamp = ns_to_stamp(int(self._clock.now().nanoseconds))
            message.header.stamp = self._info.header.stamp = stamp
            self._infos.publish(self._info)
            sent_s[stamp_to_ns(stamp)] = time.perf_counter()
            self._images.publish(message)
        return sent_s
