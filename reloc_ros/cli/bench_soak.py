"""Let the node run for long, with faults in every stage, and see whether it holds."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reloc_ros.evaluation.simulated_drives import Sample
    from reloc_ros.evaluation.soak_report import Watched
    from reloc_ros.node.soak import SoakRecord, Step

LEG_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench soak`."""
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="how long (default: %(default)g)")
    parser.add_argument("--rate", type=float, default=30.0, metavar="HZ", help="of images (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of drives and faults")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="figures; the picture comes beside it")


def run(args: argparse.Namespace) -> int:
    """Soak, write figures and picture, and return 1 when something is wrong."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from reloc_ros.errors import ConfigError
    from reloc_ros.evaluation.soak_report import soak_figures, write_soak

    if not (args.minutes > 0.0 and 0.0 < args.rate <= 100.0):
        raise ConfigError(f"--minutes {args.minutes:g} and --rate {args.rate:g}: expected above 0, and at most 100 Hz")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", "96")
    from reloc_ros.node.soak import soak

    seconds = 60.0 * args.minutes
    with Progress(console=Console()) as progress:
        task = progress.add_task("soaking", total=seconds)
        record = soak(
            legs(args.rate, args.seed),
            seconds=seconds,
            rate_hz=args.rate,
            rng=np.random.default_rng([args.seed, 0]),
            on_second=lambda now_s: progress.update(task, completed=now_s),
        )
    seen = watched(record)
    figures = soak_figures(seen)
    picture = write_soak(seen, figures, args.json)
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(args.json, picture, sep="\n")
    return 1 if figures["complaints"] else 0


def legs(rate_hz: float, seed: int) -> Iterator[list[Step]]:
    """Yield stretches of a simulated drive, each beginning elsewhere."""
    import math
    from dataclasses import replace
    from itertools import count

    import numpy as np

    from reloc_ros.evaluation.simulated_drives import Scenario, draw_run

    scenario = replace(Scenario(), seconds=LEG_S, rate_hz=rate_hz, kidnap_s=math.inf)
    for number in count():
        yield as_steps(draw_run(scenario, np.random.default_rng([seed, 1, number])))


def as_steps(samples: Sequence[Sample]) -> list[Step]:
    """Return a simulated drive as the node's side plays it."""
    from reloc_ros.node.soak import Step

    return [
        Step(
            T_map_base=sample.T_map_body,
            T_odom_base=sample.T_odom_body,
            T_map_base_seen=None if sample.fix is None else sample.fix.T_map_body,
        )
        for sample in samples
    ]


def watched(record: SoakRecord) -> Watched:
    """Return what a soak recorded as arrays."""
    import numpy as np

    from reloc_ros.evaluation.soak_report import Watched

    rows = [(now_s, u.memory_mib, u.cpu_s, u.threads, u.files, u.waited_s) for now_s, u in record.usage]
    return Watched(
        usage=np.array(rows, dtype=np.float64).reshape(-1, 6),
        latency=np.array(record.latency, dtype=np.float64).reshape(-1, 3),
        errors=np.array(record.errors, dtype=np.float64).reshape(-1, 3),
        seconds=record.seconds,
        sent=record.sent,
        counts=record.counts,
        planted=record.planted,
        states=record.states,
        transitions=record.transitions_s,
        calls=record.calls,
        faults=record.faults,
        exit_code=record.exit_code,
    )
