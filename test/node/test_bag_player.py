"""Bags of every kind come out of DDS as they went in, at the pace asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from bag_files import KINDS, START_NS, BagBuilder, second
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from reloc_ros.cli import main
from reloc_ros.errors import DatasetError, ProcessError
from reloc_ros.node.bag_messages import BagMessages
from reloc_ros.node.bag_player import CLOCK_NS, BagPlayer, Pacer
from reloc_ros.node.conversions import image_to_rgb, stamp_to_ns
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node

pytestmark = pytest.mark.usefixtures("ros_domain_id")

PICTURE = np.random.default_rng(5).integers(0, 255, (30, 40, 3), dtype=np.uint8)
LATE_NS = 50_000_000  # recording times lag stamps in these bags


def write_bag(folder: Path, kind: str) -> Path:
    with BagBuilder(folder, kind) as bag:
        bag.transform(second(0.0), "base_link", "camera_optical_frame", np.eye(4), topic="/tf_static")
        bag.camera_info(second(0.0))
        for step in range(3):
            bag.image(second(0.1 * step), np.roll(PICTURE, step))
        bag.image(second(0.3), PICTURE, topic="/other/image")
    return bag.path


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits_s: list[float] = []

    def now(self) -> float:
        return self.now_s

    def wait(self, duration_s: float) -> None:
        self.waits_s.append(duration_s)
        self.now_s += duration_s

    def pacer(self, rate: float) -> Pacer:
        return Pacer(rate, now_s=self.now, wait_s=self.wait)


def test_moments_are_due_at_the_rate_and_a_late_one_at_once() -> None:
    fake = FakeTime()
    pacer = fake.pacer(2.0)
    pacer.start(5_000_000_000)
    pacer.wait_until(6_000_000_000)
    fake.now_s += 2.0
    pacer.wait_until(7_000_000_000)
    pacer.wait_until(10_000_000_000)
    assert fake.waits_s == pytest.approx([0.5])
    pacer.wait_until(11_000_000_000)
    assert fake.waits_s == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("kind", KINDS)
def test_messages_arrive_as_recorded(tmp_path: Path, kind: str) -> None:
    path = write_bag(tmp_path, kind)
    fake = FakeTime()
    with BagMessages(path) as bag, spinning_node("player") as node:
        recorder = Recorder(node)
        received: dict[str, list[Any]] = {"image": [], "info": [], "static": [], "clock": []}

        def keep(topic: str) -> Any:
            def store(message: Any) -> None:
                with recorder.changed:
                    received[topic].append(message)
                    recorder.changed.notify_all()

            return store

        sensor = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(Image, "/renamed", keep("image"), 10)
        node.create_subscription(CameraInfo, "/camera/camera_info", keep("info"), sensor)
        node.create_subscription(Clock, "/clock", keep("clock"), 1000)
        player = BagPlayer(node, bag, fake.pacer(0.5), remaps={"/camera/image": "/renamed"}, clock=True)
        player.wait_for_subscribers(["/camera/image", "/camera/camera_info"], 20.0)
        recorder.wait(lambda: player._clock.get_subscription_count() > 0, timeout_s=20.0)
        progress: list[float] = []
        assert player.play(progress.append) == 6
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(TFMessage, "/tf_static", keep("static"), latched)
        recorder.wait(lambda: bool(received["static"]) and len(received["image"]) == 3, timeout_s=20.0)
        recorder.wait(lambda: bool(received["info"]) and bool(received["clock"]), timeout_s=20.0)
    assert [stamp_to_ns(image.header.stamp) for image in received["image"]] == [second(0.1 * k) for k in range(3)]
    for step, image in enumerate(received["image"]):
        assert np.array_equal(image_to_rgb(image), np.roll(PICTURE, step))
        assert image.header.frame_id == "camera_optical_frame"
    assert received["info"][0].k[4] == 36.0
    assert received["info"][0].distortion_model == "plumb_bob"
    assert received["static"][0].transforms[0].child_frame_id == "camera_optical_frame"
    # Published without any waiting, the clock outruns its queue; what arrives is in order and on the grid.
    ticks = [stamp_to_ns(message.clock) - START_NS - LATE_NS for message in received["clock"]]
    assert ticks == sorted(set(ticks))
    assert all(tick % CLOCK_NS == 0 and 0 <= tick <= 300_000_000 for tick in ticks)
    assert progress[-1] == pytest.approx(0.3)
    assert sum(fake.waits_s) == pytest.approx(0.6)


def test_what_cannot_be_played_is_named(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        BagMessages(tmp_path / "nothing")
    path = write_bag(tmp_path, "mcap")
    with pytest.raises(DatasetError, match=r"has no topic /nope; it holds /camera/camera_info, /camera/image"):
        BagMessages(path, ["/nope"])
    with BagMessages(path, ["/camera/image"]) as bag, spinning_node("player") as node:
        assert list(bag.topics) == ["/camera/image"]
        with pytest.raises(DatasetError, match="cannot remap /nope"):
            BagPlayer(node, bag, Pacer(1.0), remaps={"/nope": "/x"})
        with pytest.raises(ProcessError, match="nobody subscribed to /camera/image within 0 s"):
            BagPlayer(node, bag, Pacer(1.0)).wait_for_subscribers([], 0.0)
    with BagMessages(shared_data / "bags" / "malformed_sqlite3") as bag:
        assert all("is not installed" in reason for reason in bag.skipped.values())
        assert "/test/sensor_msgs/image" in bag.topics


def test_a_truncated_bag_is_named(tmp_path: Path) -> None:
    path = write_bag(tmp_path, "ros1")
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DatasetError, match="cannot be read"):
        BagMessages(path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bag(tmp_path, "sqlite3")
    assert (
        main.main(["play", str(path), "--rate", "50", "--topics", "/camera/image", "--remap", "/camera/image:=/a"]) == 0
    )
    assert "3 messages" in capsys.readouterr().out
    assert main.main(["play", str(path), "--remap", "/nope:=/a"]) == 2
    assert "cannot remap /nope" in capsys.readouterr().err
