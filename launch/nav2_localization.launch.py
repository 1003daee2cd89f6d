"""nav2's localization with the relocalizer in the place of AMCL: map_server and ours under nav2's lifecycle manager.

Takes what `localization_launch.py` of nav2_bringup takes, so that one may stand for the other in a bringup; nodes always
run in processes of their own. With `role:=initializer` AMCL is started too and owns map to odom. Needs nav2.

Example:
    ros2 launch reloc_ros nav2_localization.launch.py map:=MAP.yaml bundle:=BUNDLE image:=/camera/image_raw
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue
from nav2_common.launch import RewrittenYaml

# Found from here, so that the file also works from a source checkout; installed, both lie in share/reloc_ros.
PARAMETER_FILE = Path(__file__).resolve().parents[1] / "config" / "nav2_localization.yaml"

ARGUMENTS = (
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the nodes."),
    DeclareLaunchArgument("map", default_value="", description="YAML file of the map; empty takes params_file's."),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="Take the time from /clock."),
    DeclareLaunchArgument(
        "params_file", default_value=str(PARAMETER_FILE), description="File with the parameters of all nodes."
    ),
    DeclareLaunchArgument("autostart", default_value="true", description="Configure and activate the nodes."),
    DeclareLaunchArgument("use_respawn", default_value="False", description="Start a node that died again."),
    DeclareLaunchArgument("log_level", default_value="info", description="Severity from which messages are logged."),
    DeclareLaunchArgument(
        "role",
        default_value="authority",
        choices=["authority", "initializer"],
        description="Who owns map to odom: the relocalizer, or AMCL, which the relocalizer then initializes.",
    ),
    DeclareLaunchArgument("bundle", default_value="", description="Relocalizer bundle; empty takes params_file's."),
    DeclareLaunchArgument(
        "image", default_value="image", description="Image topic; compressed images are taken from <image>/compressed."
    ),
    DeclareLaunchArgument("camera_info", default_value="camera_info", description="Topic of the camera's calibration."),
)
# So that each namespace has a TF tree of its own, as all over nav2.
TF_REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static")]
RESPAWN_DELAY_S = 2.0
# How long nav2's manager waits for a heartbeat.
BOND_TIMEOUT_S = 4.0


def generate_launch_description() -> LaunchDescription:
    """Return what `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes and their manager; map and bundle that were not given leave the parameter file its say."""
    given = {name: value for name in ("map", "bundle") if (value := LaunchConfiguration(name).perform(context))}
    role = LaunchConfiguration("role").perform(context)
    relocalizer = {
        "role": role,
        # Here too: a value in the file that names the node would have more to say than one for all nodes.
        "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
        **({"bundle": ParameterValue(given["bundle"], value_type=str)} if "bundle" in given else {}),
    }
    topics = [(name, LaunchConfiguration(name)) for name in ("image", "camera_info")]
    nodes = [
        node("nav2_map_server", "map_server", {"yaml_filename": given["map"]} if "map" in given else {}),
        # Before the relocalizer: it has to listen when that publishes the first `initialpose`.
        *([node("nav2_amcl", "amcl", {})] if role == "initializer" else []),
        node("reloc_ros", "relocalizer_node", relocalizer, topics),
    ]
    names = [name for name in ("map_server", "amcl", "relocalizer_node") if name != "amcl" or role == "initializer"]
    use_sim_time = SetParameter("use_sim_time", LaunchConfiguration("use_sim_time"))
    return [GroupAction([*namespace(context), use_sim_time, *nodes, manager(names)])]


def namespace(context: LaunchContext) -> list[PushRosNamespace]:
    """Return what puts the nodes into their namespace, unless a bringup that includes this file has done so."""
    asked = LaunchConfiguration("namespace").perform(context).strip("/")
    there = context.launch_configurations.get("ros_namespace", "").strip("/")
    return [] if asked == there else [PushRosNamespace(asked)]


def node(
    package: str, name: str, given: dict[str, Any], topics: list[tuple[str, LaunchConfiguration]] | None = None
) -> Node:
    """Return one of the managed nodes; its executable is called like it."""
    parameters = RewrittenYaml(
        source_file=LaunchConfiguration("params_file"),
        root_key=LaunchConfiguration("namespace"),
        param_rewrites={},
        convert_types=True,
    )
    return Node(
        package=package,
        executable=name,
        name=name,
        # Said aloud, so that what is given here is addressed to this node and outweighs the file.
        namespace="",
        output="screen",
        respawn=LaunchConfiguration("use_respawn"),
        respawn_delay=RESPAWN_DELAY_S,
        parameters=[parameters, given] if given else [parameters],
        remappings=[*TF_REMAPPINGS, *(topics or [])],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
    )


def manager(names: list[str]) -> Node:
    """Return nav2's manager for the nodes, in the order in which they are activated."""
    return Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_localization",
        namespace="",
        output="screen",
        parameters=[
            {
                "autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool),
                "node_names": names,
                # A manager that waits for bonds gives up nodes that have none, as ours without bondpy.
                "bond_timeout": 0.0 if find_spec("bondpy") is None else BOND_TIMEOUT_S,
            }
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
    )
