"""Names of ROS's `cv_bridge`, for machines where only the ROS wheels of PyPI are installed."""

from __future__ import annotations

from cv_bridge.core import CvBridge
from cv_bridge.encodings import CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
