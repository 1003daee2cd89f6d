"""Start the relocalizer, configure it and activate it.

Example:
    ros2 launch reloc_ros reloc.launch.py bundle:=/path/to/bundle image:=/camera/image_raw camera_info:=/camera/camera_info
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

# Found from here, so that the file also works from a source checkout; installed, both lie in share/reloc_ros.
PARAMETER_FILE = Path(__file__).resolve().parents[1] / "config" / "reloc.yaml"
FROM_FILE = "empty takes the parameter file's"

ARGUMENTS = (
    DeclareLaunchArgument("params_file", default_value=str(PARAMETER_FILE), description="File with the parameters."),
    DeclareLaunchArgument("bundle", default_value="", description=f"Folder of the relocalizer bundle; {FROM_FILE}."),
    DeclareLaunchArgument(
        "anchor_bundle",
        default_value="",
        description=f"Folder of a bundle that ties one of a sequence to the map; {FROM_FILE}.",
    ),
    DeclareLaunchArgument("tf_mode", default_value="", description=f"map_to_odom, map_to_camera or off; {FROM_FILE}."),
    DeclareLaunchArgument("role", default_value="", description=f"authority or initializer; {FROM_FILE}."),
    DeclareLaunchArgument("use_sim_time", default_value="", description=f"Take the time from /clock; {FROM_FILE}."),
    DeclareLaunchArgument(
        "image", default_value="image", description="Image topic; compressed images are taken from <image>/compressed."
    ),
    DeclareLaunchArgument("camera_info", default_value="camera_info", description="Topic of the camera's calibration."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("log_level", default_value="info", description="Severity from which messages are logged."),
)
# As text where it is text: YAML would read off as false.
OVERRIDES = {"bundle": str, "anchor_bundle": str, "role": str, "tf_mode": str, "use_sim_time": bool}


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node and its transitions; an argument that was not given leaves the parameter file its say."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in OVERRIDES.items()
        if LaunchConfiguration(name).perform(context)
    }
    node = LifecycleNode(
        package="reloc_ros",
        executable="relocalizer_node",
        name="relocalizer_node",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[LaunchConfiguration("params_file"), given],
        remappings=[("image", LaunchConfiguration("image")), ("camera_info", LaunchConfiguration("camera_info"))],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
    )
    activate_when_configured = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[transition(node, Transition.TRANSITION_ACTIVATE)],
        )
    )
    return [activate_when_configured, node, transition(node, Transition.TRANSITION_CONFIGURE)]


def transition(node: LifecycleNode, transition_id: int) -> EmitEvent:
    """Return the action that asks the node for a transition."""
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition_id))
