"""Every parameter of the node, once: the fields of `Settings`; `parameters` makes everything else from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reloc_ros.inference.backend import AUTO, BACKENDS

Limits = tuple[float, float]

FROM_BUNDLE = "bundle"
"""Value of `camera_model` that leaves the choice to the bundle."""


def _parameter(
    default: Any, doc: str, *, limits: Limits | None = None, choices: Sequence[str] = (), fixed: bool = True
) -> Any:
    """Return the dataclass field of one parameter.

    Args:
        default: value when nobody sets it; its type is the parameter's type.
        doc: what it does, with its unit.
        limits: smallest and largest number allowed.
        choices: the only texts allowed.
        fixed: read when the node is configured; setting it later is refused.
    """
    return field(default=default, metadata={"doc": doc, "limits": limits, "choices": tuple(choices), "fixed": fixed})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The node's parameters, in the order of the pipeline."""

    bundle: str = _parameter("", "Folder of the relocalizer bundle (`reloc export` writes it). Required.")
    anchor_bundle: str = _parameter(
        "",
        "Folder of a bundle that finds poses in the map, beside a `bundle` of a sequence, which carries them between "
        "its fixes. Empty: `initialpose` ties the sequence to the map.",
    )
    backend: str = _parameter(
        AUTO,
        "What runs the network. `auto` starts on `onnxruntime` and goes over to the engine that `reloc build-engine` "
        "left, as soon as there is one.",
        choices=(AUTO, *BACKENDS),
    )
    engine_search_period_s: float = _parameter(10.0, "How often `auto` looks for an engine, s.", limits=(0.1, 3600.0))
    threads: int = _parameter(0, "CPU threads for the network; 0 lets the back end choose.", limits=(0, 64))
    image_transport: str = _parameter(
        "both",
        "Which image topics to subscribe to. With `both`, a frame that arrives twice is used once.",
        choices=("raw", "compressed", "both"),
    )
    image_reliability: str = _parameter(
        "best_effort",
        "QoS of the image subscriptions. `reliable` loses no large image on a busy computer, but receives nothing from "
        "a best-effort driver.",
        choices=("best_effort", "reliable"),
    )
    camera_model: str = _parameter(
        FROM_BUNDLE,
        "Projection of the images. Sequences take any: `bundle` means panoramas, which need no `camera_info`; `pinhole` "
        "needs it.",
        choices=(FROM_BUNDLE, "equirectangular", "pinhole"),
    )
    rig_cameras: str = _parameter(
        "",
        "Sequences: image topics of a rig of calibrated cameras, between commas, in place of `image`; each with its frame "
        "on /tf_static, and with `camera_info` beside it unless it is a panorama, `TOPIC:equirectangular`. The first is the "
        "one that an `anchor_bundle` localizes.",
    )
    rig_frame: str = _parameter("", "Frame of the rig, with optical axes (z forward, x right, y down); known to TF.")
    rig_tolerance_s: float = _parameter(
        0.02, "Largest difference of the stamps of a rig's images that belong together, s.", limits=(0.0, 1.0)
    )
    sequence_max_gap_s: float = _parameter(
        2.0,
        "Sequences: longest time between two images that are compared where no odometry tells of the motion; after "
        "it the sequence begins anew, s.",
        limits=(0.1, 60.0),
    )
    sequence_roll_check: bool = _parameter(
        False,
        "Sequences: ask the network about each full panorama again, turned by 45 deg, and doubt what differs. Costs "
        "twice the time.",
    )
    camera_frame: str = _parameter("", "Optical frame of the camera; empty takes `header.frame_id` of the image.")
    odom_frame: str = _parameter(
        "odom", "Odometry frame; empty: there is no odometry, only what `tf_mode: map_to_camera` or `off` can do."
    )
    base_frame: str = _parameter("base_link", "Robot frame that the odometry moves.")
    map_frame: str = _parameter(
        "",
        "Name to publish the map frame under; empty takes the bundle's. Refused where its scenes have several.",
    )
    pose_of: str = _parameter(
        "camera",
        "What the published poses describe: the camera's optical frame or `base_frame`.",
        choices=("camera", "base"),
    )
    tf_mode: str = _parameter(
        "map_to_odom",
        "Transform to broadcast: map to odom (needs odometry on /tf), map to camera (hand-held), or none.",
        choices=("map_to_odom", "map_to_camera", "off"),
    )
    transform_tolerance: float = _parameter(
        0.5,
        "Seconds by which map to odom is dated ahead, so that it is valid until the next.",
        limits=(0.0, 10.0),
        fixed=False,
    )
    transform_rate_hz: float = _parameter(
        40.0, "How often map to odom is broadcast between fixes, Hz.", limits=(1.0, 100.0)
    )
    transform_wait_s: float = _parameter(
        0.1,
        "Longest wait for odometry at the image stamp, s; then the frame is rejected.",
        limits=(0.0, 2.0),
        fixed=False,
    )
    trust: str = _parameter(
        "verified",
        "What is published: the pose that images agree on through odometry, or each `single` image's pose as it is.",
        choices=("verified", "single"),
    )
    role: str = _parameter(
        "authority",
        "`authority` owns map to odom. `initializer` leaves it to AMCL or a SLAM and gives that a verified "
        "`initialpose` on start-up, on request and on loss; it needs odometry and ignores `tf_mode`.",
        choices=("authority", "initializer"),
    )
    planar: bool = _parameter(
        False, "The robot stays on the floor z = 0 of the map: x, y and yaw only, and fixes off the floor are refused."
    )
    votes_to_accept: float = _parameter(
        6.0, "Views that must agree on a place nobody told of, a new one each 0.3 m or 25 deg.", limits=(1.0, 40.0)
    )
    votes_at_first: float = _parameter(
        12.0,
        "The same while the map has not shown that its places look different (two rooms alike); at least "
        "`votes_to_accept`. Not used without odometry.",
        limits=(1.0, 40.0),
    )
    trust_standing: bool = _parameter(
        False,
        "Trust 40 fixes in 20 s that agree though the robot never moved; a wrong fix that lasts is then believed.",
    )
    degraded_after_s: float = _parameter(
        2.0, "Without an agreeing fix for so long, poses stop while map to odom goes on, s.", limits=(0.1, 600.0)
    )
    lost_after_s: float = _parameter(
        30.0,
        "Without an agreeing fix for so long, map to odom stops too, s; at most 5 without odometry.",
        limits=(0.2, 3600.0),
    )
    lost_after_m: float = _parameter(
        15.0, "Without an agreeing fix over this distance, map to odom stops, m.", limits=(0.1, 1000.0)
    )
    smoothing_s: float = _parameter(
        0.3,
        "Time constant with which small corrections of map to odom are shown, s; 0 shows them at once.",
        limits=(0.0, 10.0),
        fixed=False,
    )
    relocalize_timeout_s: float = _parameter(
        30.0, "How long `~/relocalize` waits for a verified pose, s.", limits=(0.1, 600.0), fixed=False
    )
    initialize_at_saved_pose: bool = _parameter(
        True, "Begin with the pose saved last; two views must agree with it, instead of `votes_to_accept`."
    )
    save_pose_rate: float = _parameter(
        0.5, "How often a verified pose is saved in ROS_HOME, Hz; 0 never.", limits=(0.0, 10.0), fixed=False
    )
    handover_wait_s: float = _parameter(
        3.0,
        "Initializer: how long navigation may take to follow an `initialpose`, s; doubled for each of five attempts.",
        limits=(0.1, 600.0),
    )
    monitor_position_std_m: float = _parameter(
        1.0,
        "Initializer: position std of `amcl_pose` above which navigation is lost, m; 0 ignores it.",
        limits=(0.0, 100.0),
        fixed=False,
    )
    monitor_yaw_std_rad: float = _parameter(
        0.6,
        "Initializer: yaw std of `amcl_pose` above which navigation is lost, rad; 0 ignores it.",
        limits=(0.0, 3.2),
        fixed=False,
    )
    monitor_odometry_age_s: float = _parameter(
        0.0,
        "Age of the newest odometry on /tf above which the robot is lost, s; 0 ignores it.",
        limits=(0.0, 3600.0),
        fixed=False,
    )
    monitor_diagnostics: str = _parameter(
        "", "Name of the status on /diagnostics, or its beginning, that tells of a loss; empty watches none."
    )
    monitor_diagnostics_level: int = _parameter(
        1, "Level of that status above which the robot is lost: 0 ok, 1 warn, 2 error.", limits=(0, 2), fixed=False
    )
    monitor_topic: str = _parameter("", "std_msgs/Bool topic that is true while tracking is lost; empty watches none.")
    monitor_lost_after_s: float = _parameter(
        1.0, "How long a monitor must stay beyond its limit, s.", limits=(0.0, 600.0)
    )
    debug_image_rate_hz: float = _parameter(
        5.0,
        "How often `~/debug_image` is drawn at most while somebody subscribes, Hz.",
        limits=(0.1, 30.0),
        fixed=False,
    )
    bond_heartbeat_period: float = _parameter(
        0.1,
        "Seconds between heartbeats to nav2's lifecycle manager, where `bondpy` is installed; 0 sends none, and the "
        "manager needs `bond_timeout: 0.0`.",
        limits=(0.0, 1.0),
    )
    diagnostics_rate_hz: float = _parameter(1.0, "How often diagnostics are published, Hz.", limits=(0.1, 50.0))
    max_latency_s: float = _parameter(
        0.5, "Mean latency above which diagnostics warn, s.", limits=(0.001, 60.0), fixed=False
    )
    max_fix_age_s: float = _parameter(
        5.0, "Age of the last accepted pose above which diagnostics warn, s.", limits=(0.1, 3600.0), fixed=False
    )
    max_rejection_rate: float = _parameter(
        0.5, "Rejected share of the latest 100 frames above which diagnostics warn.", limits=(0.0, 1.0), fixed=False
    )

    @property
    def broadcasts(self) -> str:
        """The `tf_mode` in force: an initializer leaves transforms to navigation."""
        return "off" if self.role == "initializer" else self.tf_mode

    @property
    def uses_odometry(self) -> bool:
        """Whether odometry at the image stamp is looked up; a single pose that is not broadcast needs none."""
        if self.broadcasts == "map_to_odom" or self.role == "initializer":
            return True
        return self.trust == "verified" and bool(self.odom_frame) and self.broadcasts == "off"

    @property
    def body(self) -> str:
        """Whose pose is believed: that of the `base`, or of the `camera` when that is all there is."""
        return "base" if self.uses_odometry or self.pose_of == "base" else "camera"
