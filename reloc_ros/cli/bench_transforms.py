"""Ask for `map -> base_link` as nav2 does, while images come seldom and the robot is kidnapped."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench transforms`."""
    parser.add_argument("--seconds", type=float, default=60.0, metavar="T", help="how long (default: %(default)g)")
    parser.add_argument("--image-rate", type=float, default=1.0, metavar="HZ", help="of images (default: %(default)g)")
    parser.add_argument("--kidnap-s", type=float, default=30.0, metavar="T", help="when the robot is carried off")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the drive")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run(args: argparse.Namespace) -> int:
    """Ask, print the figures and return 1 when an answer was missing or `map -> odom` jumped."""
    from dataclasses import replace

    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from reloc_ros.cli.bench_soak import as_steps
    from reloc_ros.errors import ConfigError
    from reloc_ros.evaluation.simulated_drives import Scenario, draw_run

    if not (args.seconds > 0.0 and 0.0 < args.image_rate <= 30.0):
        raise ConfigError(
            f"--seconds {args.seconds:g}, --image-rate {args.image_rate:g}: expected above 0, at most 30 Hz"
        )
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", "98")
    from reloc_ros.node.transform_bench import JUMP_M, RATE_HZ, ask_for_transforms

    scenario = replace(Scenario(), seconds=args.seconds, rate_hz=RATE_HZ, kidnap_s=args.kidnap_s)
    steps = as_steps(draw_run(scenario, np.random.default_rng([args.seed, 0])))
    with Progress(console=Console()) as progress:
        task = progress.add_task("asking", total=args.seconds)
        record = ask_for_transforms(
            steps,
            image_rate_hz=args.image_rate,
            on_second=lambda now_s: progress.update(task, completed=now_s),
        )
    figures = {
        "seconds": args.seconds,
        "image_rate_hz": args.image_rate,
        "asked_while_trusted": record.asked,
        "asked_while_silent": record.silent,
        "extrapolation_errors": record.extrapolations,
        "other_errors": record.others,
        "recoveries": record.recoveries,
        "jumps_beside_recoveries": len(record.jumps_m),
        "largest_step_m": record.largest_step_m,
        "jump_limit_m": JUMP_M,
        "median_error_m": float(np.median(record.errors_m)) if record.errors_m else None,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if record.extrapolations or record.others or record.jumps_m or not record.asked else 0
