"""map_server, AMCL and the relocalizer under nav2's lifecycle manager: AMCL owns map to odom, ours initializes it.

On start-up, on request and when AMCL is lost the relocalizer publishes a verified `/initialpose`. The arguments are
those of `nav2_localization.launch.py`.

Example:
    ros2 launch reloc_ros amcl_initializer.launch.py map:=MAP.yaml bundle:=BUNDLE image:=/camera/image_raw
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

LOCALIZATION = Path(__file__).resolve().with_name("nav2_localization.launch.py")


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch` runs."""
    source = PythonLaunchDescriptionSource(str(LOCALIZATION))
    return LaunchDescription([IncludeLaunchDescription(source, launch_arguments=[("role", "initializer")])])
