"""`~/debug_image`: annotated images, drawn for those who look and only as often as they need."""

from __future__ import annotations

import array
from collections.abc import Callable
from time import perf_counter

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from reloc_ros.node.settings import Settings
from reloc_ros.types import Image as RgbImage

# A picture that is lost is not missed: the next one comes soon.
LOSSY = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


class DebugImage:
    """The publisher of annotated images, and when one is wanted.

    Args:
        node: owner of the publisher.
        settings: returns the current parameters.
        clock_s: seconds; the limit of the rate is about this computer's load and not about message time.
    """

    def __init__(
        self, node: LifecycleNode, settings: Callable[[], Settings], clock_s: Callable[[], float] = perf_counter
    ) -> None:
        self._node = node
        self._settings = settings
        self._clock_s = clock_s
        self._turn_s = float("-inf")
        self._publisher = node.create_lifecycle_publisher(Image, "~/debug_image", LOSSY)

    def take_turn(self) -> bool:
        """Return whether to draw now: somebody looks, and the latest turn is long enough ago."""
        now_s = self._clock_s()
        is_due = now_s - self._turn_s >= 1.0 / self._settings().debug_image_rate_hz
        # The end of the process ends the context first.
        if (
            not is_due
            or not self._node.context.ok()
            or not self._publisher.is_activated
            or self._publisher.get_subscription_count() == 0
        ):
            return False
        self._turn_s = now_s
        return True

    def publish(self, picture: RgbImage, header: Header) -> None:
        """Publish a picture with the stamp and frame of the image it is about."""
        height, width = picture.shape[:2]
        message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
        # Anything but an array of the right type is checked byte by byte.
        message.data = array.array("B", picture.tobytes())
        self._publisher.publish(message)

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_lifecycle_publisher(self._publisher)
