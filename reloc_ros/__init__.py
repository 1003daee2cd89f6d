"""Visual relocalization for ROS 2: a camera image in, a pose in the map out."""

__version__ = "0.1.0"
