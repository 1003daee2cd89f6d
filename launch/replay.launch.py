"""Play a bag into the relocalizer, on the bag's clock, and keep the poses that come out.

Example:
    ros2 launch reloc_ros replay.launch.py bag:=drive.mcap bundle:=BUNDLE image:=/camera/image record:=poses.npz
    reloc evaluate BUNDLE --bag drive.mcap --recorded poses.npz --report REPORT
"""

from __future__ import annotations

import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

RELOC_LAUNCH = Path(__file__).with_name("reloc.launch.py")
FROM_FILE = "empty takes the parameter file's"

ARGUMENTS = (
    DeclareLaunchArgument("bag", description="ROS 1 or ROS 2 bag to play."),
    DeclareLaunchArgument("bundle", default_value="", description=f"Folder of the relocalizer bundle; {FROM_FILE}."),
    DeclareLaunchArgument("image", default_value="/camera/image", description="Image topic of the bag."),
    DeclareLaunchArgument(
        "camera_info", default_value="/camera/camera_info", description="Topic of the camera's calibration in the bag."
    ),
    DeclareLaunchArgument("tf_mode", default_value="", description=f"map_to_odom, map_to_camera or off; {FROM_FILE}."),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(Path(__file__).resolve().parents[1] / "config" / "reloc.yaml"),
        description="File with the parameters.",
    ),
    DeclareLaunchArgument("rate", default_value="1.0", description="Times real time."),
    DeclareLaunchArgument("record", default_value="", description="File for the poses, .npz; empty keeps none."),
    DeclareLaunchArgument(
        "wait_for", default_value="", description="Topic of the bag whose subscriber is waited for; empty takes image."
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="Severity from which messages are logged."),
)
PASSED_ON = ("bundle", "image", "camera_info", "tf_mode", "params_file", "log_level")


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the relocalizer and the player; when the bag is over all is over."""
    passed_on = [(name, LaunchConfiguration(name)) for name in PASSED_ON]
    relocalizer = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(RELOC_LAUNCH)), launch_arguments=[*passed_on, ("use_sim_time", "true")]
    )
    player = ExecuteProcess(
        cmd=player_command(
            {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
        ),
        output="screen",
        on_exit=[Shutdown(reason="the bag is over")],
    )
    return [relocalizer, player]


def player_command(given: dict[str, str]) -> list[str]:
    """Return what plays the bag, in the interpreter that has our package."""
    command = [sys.executable, "-m", "reloc_ros", "play", given["bag"], "--clock", "--rate", given["rate"]]
    command += ["--wait-for-subscribers", given["wait_for"] or given["image"]]
    return [*command, "--record", given["record"]] if given["record"] else command
