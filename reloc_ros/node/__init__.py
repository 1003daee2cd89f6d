"""The robot's side: the only package that imports ROS."""
