"""Train a relocalizer on images with poses."""

from __future__ import annotations

import argparse
from pathlib import Path

METHODS = ("implicit_geometry", "dimm", "mvl_loc", "encoder", "motion_encoder", "spr_mamba")

_EXPORT = "reloc export {0} --out BUNDLE"
_NEXT = {
    "encoder": "reloc train dimm or mvl_loc --encoder {0}",
    "motion_encoder": "reloc train spr_mamba --encoder {0}, with the same --data",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc train`."""
    parser.add_argument(
        "method",
        choices=METHODS,
        help="which relocalizer; encoder pre-trains one for dimm and mvl_loc, motion_encoder one for spr_mamba",
    )
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="[SCENE=]FORMAT:PATH",
        help="data set; give it again for more, in one map frame or, for mvl_loc and encoder, one for each scene; "
        "sequences for motion_encoder and spr_mamba",
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder; an interrupted run there is resumed")
    parser.add_argument("--config", type=Path, help="YAML with what differs from the defaults")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--max-minutes", type=float, help="time after which training ends, over the configuration's")
    parser.add_argument("--initial", help="run folder or checkpoint to start from")
    parser.add_argument("--encoder", type=Path, metavar="RUN", help="take the encoder of this run, frozen")
    parser.add_argument("--labels", choices=("pose", "position"), help="position: fine-tune from positions alone")


def run(args: argparse.Namespace) -> int:
    """Train or resume; several processes when started by torchrun."""
    from reloc_ros.training.config import encoder_of_run, read_config
    from reloc_ros.training.distributed import join_world
    from reloc_ros.training.train import train

    config = read_config(
        args.method,
        args.config,
        max_minutes=args.max_minutes,
        initial=args.initial,
        labels=args.labels,
        encoder=encoder_of_run(args.encoder) if args.encoder else None,
    )
    with join_world(args.device) as world:
        best = train(args.data, args.out, config, world)
        if world.leads:
            print(f"{best}\nnext: {_NEXT.get(args.method, _EXPORT).format(args.out)}")
    return 0
