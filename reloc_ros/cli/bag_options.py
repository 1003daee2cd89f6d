"""What a person may have to say about a bag: topics, camera, poses and frames."""

from __future__ import annotations

import argparse

BAG_OPTIONS = {
    "image": ("TOPIC", "image topic, raw or compressed (default: the only one)"),
    "camera_info": ("TOPIC", "camera info topic (default: the one beside the image)"),
    "camera": ("FILE", "instead of camera info: a camera.json, or 'equirectangular' for panoramas"),
    "pose": ("TOPIC", "PoseStamped, PoseWithCovarianceStamped, Odometry or /tf (default: found in the bag)"),
    "poses": ("FILE", "instead of a pose topic: a TUM file, stamp_s tx ty tz qx qy qz qw"),
    "pose_frame": ("FRAME", "frame whose pose is given, when that is not the camera"),
    "map_frame": ("FRAME", "fixed frame (default: map)"),
    "max_gap_ms": ("MS", "poses further apart are not interpolated (default: 200)"),
}
"""Options of the bag's reader: how they are shown, and what they mean."""


def add_bag_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    for name, (metavar, text) in BAG_OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text)


def given_bag_options(args: argparse.Namespace) -> dict[str, str]:
    """Return those that were given, by the names that the bag's reader has for them."""
    return {name: value for name in BAG_OPTIONS if (value := getattr(args, name)) is not None}
