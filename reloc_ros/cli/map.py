"""Turn a recorded drive into a bundle, with a verdict on what it may be used for."""

from __future__ import annotations

import argparse
from pathlib import Path

from reloc_ros.cli.bag_options import add_bag_options, given_bag_options

EXIT_NOT_USABLE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="ROS 1 or ROS 2 bag with images and poses")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="bundle folder to write")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder of stages and report (default: BUNDLE.map)")
    parser.add_argument(
        "--method", choices=("implicit_geometry", "dimm", "mvl_loc"), default="implicit_geometry",
        help="relocalizer to train (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, how long it takes and how large"
    )
    parser.add_argument("--restart", action="store_true", help="do every stage again")
    add_bag_options(parser)
    parser.add_argument("--every-m", type=float, default=0.01, metavar="M", help="keep a frame after this motion ...")
    parser.add_argument("--every-deg", type=float, default=0.5, metavar="DEG", help="... or this turn")
    parser.add_argument("--max-speed", type=float, default=3.0, metavar="M/S", help="faster is a jump of the reference")
    parser.add_argument("--max-minutes", type=float, metavar="MIN", help="of training (default: by number of frames)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML of training, as for reloc train")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--initial", metavar="RUN", help="run folder or checkpoint to start from")
    parser.add_argument("--labels", choices=("pose", "position"), help="position: fine-tune --initial from positions")


def run(args: argparse.Namespace) -> int:
    """Map, or say what it would take; 1 when the result is of no use."""
    from reloc_ros.mapping.frames import Selection
    from reloc_ros.mapping.map_bag import MapRequest, make_plan, map_bag
    from reloc_ros.mapping.reference import ReferenceLimits

    request = MapRequest(
        bag=args.bag,
        out=args.out,
        work=args.work or args.out.parent / f"{args.out.name}.map",
        options=given_bag_options(args),
        method=args.method,
        selection=Selection(
            every_m=args.every_m,
            every_deg=args.every_deg,
            reference=ReferenceLimits(max_speed_mps=args.max_speed),
        ),
        max_minutes=args.max_minutes,
        config=args.config,
        initial=args.initial,
        labels=args.labels,
        device=args.device,
        restart=args.restart,
    )
    if args.dry_run:
        print("\n".join(make_plan(request).lines()))
        return 0
    verdict = map_bag(request, lambda line: print(line, flush=True))
    print(f"{verdict['headline']}\nbundle: {request.out}\nreport: {request.report}")
    return 0 if verdict["uses"] else EXIT_NOT_USABLE
