"""Train a relocalizer on images with poses."""

from __future__ import annotations

import argparse
from pathlib import Path

METHODS = ("implicit_geometry",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc train`."""
    parser.add_argument("method", choices=METHODS, help="which relocalizer")
    parser.add_argument(
        "--data", action="append", required=True, metavar="FORMAT:PATH", help="data set; give it again for more"
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder; an interrupted run there is resumed")
    parser.add_argument("--config", type=Path, help="YAML with what differs from the defaults")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--max-minutes", type=float, help="time after which training ends, over the configuration's")
    parser.add_argument("--initial", help="run folder or checkpoint to start from")
    parser.add_argument("--labels", choices=("pose", "position"), help="position: fine-tune from positions alone")


def run(args: argparse.Namespace) -> int:
    """Train or resume; several processes when started by torchrun."""
    from reloc_ros.training.config import read_config
    from reloc_ros.training.distributed import join_world
    from reloc_ros.training.train import train

    config = read_config(args.config, max_minutes=args.max_minutes, initial=args.initial, labels=args.labels)
    with join_world(args.device) as world:
        best = train(args.data, args.out, config, world)
        if world.leads:
            print(f"{best}\nnext: reloc export {args.out} --out BUNDLE")
    return 0
