"""The stand-in for AMCL in a process of its own: odometry comes over /tf, and a scan with each of it.

Example:
    python test/support/amcl_process.py
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException
from tf2_msgs.msg import TFMessage

sys.path.insert(0, str(Path(__file__).resolve().parent))

from amcl_stand_in import AmclStandIn

from reloc_ros.node.conversions import stamp_to_ns, transform_to_matrix
from reloc_ros.types import Array

KEPT = 500


class ListeningAmcl(AmclStandIn):
    """Knows odometry from /tf as AMCL does."""

    def __init__(self) -> None:
        self._heard: OrderedDict[int, Array] = OrderedDict()
        super().__init__(lambda stamp_ns: self._heard[stamp_ns])
        self.create_subscription(TFMessage, "/tf", self._on_transforms, 100)

    def _on_transforms(self, message: TFMessage) -> None:
        for each in message.transforms:
            if (each.header.frame_id, each.child_frame_id) == ("odom", "base_link"):
                stamp_ns = stamp_to_ns(each.header.stamp)
                self._heard[stamp_ns] = transform_to_matrix(each.transform)
                while len(self._heard) > KEPT:
                    self._heard.popitem(last=False)
                self.scan(stamp_ns)


def main() -> None:
    rclpy.init()
    node = ListeningAmcl()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
