"""Play a recorded bag, ROS 1 or ROS 2, over DDS: for machines without rosbag2."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_WAIT_S = 30.0
LAST_ANSWERS_S = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", metavar="BAG", type=Path, help=".bag, .mcap or .db3 file, or a rosbag2 folder")
    parser.add_argument("--rate", type=_rate, default=1.0, metavar="R", help="times real time (default: 1)")
    parser.add_argument("--clock", action="store_true", help="publish bag time on /clock, for use_sim_time")
    parser.add_argument("--loop", action="store_true", help="start again at the end, until interrupted")
    parser.add_argument("--topics", nargs="+", default=(), metavar="TOPIC", help="play only these")
    parser.add_argument("--remap", nargs="+", default=(), type=_remap, metavar="OLD:=NEW", help="publish OLD as NEW")
    parser.add_argument(
        "--wait-for-subscribers",
        nargs="*",
        metavar="TOPIC",
        help="start when each TOPIC (as recorded) is subscribed to; without TOPIC when any is",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="also keep the poses that the relocalizer publishes, .npz; for reloc evaluate --recorded",
    )
    parser.add_argument(
        "--relocalizer", default="/relocalizer_node", metavar="NODE", help="whose (default: %(default)s)"
    )
    parser.add_argument(
        "--wait-limit",
        type=_rate,
        default=DEFAULT_WAIT_S,
        metavar="S",
        help="longest such wait, s (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Play the bag."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from reloc_ros.evaluation.recorded import write_recorded
    from reloc_ros.node.bag_messages import BagMessages
    from reloc_ros.node.bag_player import BagPlayer, Pacer
    from reloc_ros.node.large_images import make_room_for_large_images
    from reloc_ros.node.recorder import Recorder
    from reloc_ros.node.session import spinning_node

    make_room_for_large_images()
    with BagMessages(args.bag, args.topics) as bag, spinning_node("reloc_play") as node:
        recorder = None if args.record is None else Recorder(node, args.relocalizer)
        player = BagPlayer(node, bag, Pacer(args.rate), remaps=dict(args.remap), clock=args.clock)
        for topic, reason in bag.skipped.items():
            print(f"not played: {topic}: {reason}")
        if args.wait_for_subscribers is not None:
            player.wait_for_subscribers(args.wait_for_subscribers, args.wait_limit)
        columns = (TextColumn(args.bag.name), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns) as progress:
            task = progress.add_task("play", total=bag.duration_s)
            count = player.play(lambda played_s: progress.update(task, completed=played_s))
            while args.loop:
                count += player.play(lambda played_s: progress.update(task, completed=played_s))
        print(f"{count} messages")
        if recorder is not None:
            # The last images are still being worked on.
            recorder.wait_until_quiet(LAST_ANSWERS_S)
            poses = recorder.recording()
            write_recorded(args.record, poses.stamps_ns, poses.T_map_camera, poses.covariances, poses.map_frames)
            print(f"{len(poses.stamps_ns)} poses in {args.record}")
    return 0


def _rate(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is out of range, expected a number above 0")
    return value


def _remap(text: str) -> tuple[str, str]:
    old, separator, new = text.partition(":=")
    if not (old and separator and new):
        raise argparse.ArgumentTypeError(f"{text!r} is no remapping, expected OLD:=NEW")
    return old, new
