"""Train the variants of a method under one budget and compare them."""

from __future__ import annotations

import argparse
from pathlib import Path

# Which methods each study trains; `training.ablation.STUDIES` says what differs, a test that both agree.
STUDIES = {
    "mappers": ("dimm",),
    "semantic_attention": ("dimm",),
    "tokens": ("dimm",),
    "descriptions": ("mvl_loc",),
    "decoder_depth": ("mvl_loc",),
    "rays_or_pose": ("dimm", "mvl_loc"),
    "branches": ("spr_mamba",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench ablation`."""
    parser.add_argument("study", choices=STUDIES, help="what is varied")
    parser.add_argument(
        "--data", action="append", required=True, metavar="[SCENE=]FORMAT:PATH",
        help="data set; give it again for more scenes of mvl_loc",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the study; an interrupted one goes on")
    parser.add_argument(
        "--config", action="append", default=[], metavar="METHOD=YAML", help="what differs from a method's defaults"
    )
    parser.add_argument("--encoder", help="run folder of `reloc train encoder`: frozen under every variant")
    parser.add_argument("--max-minutes", type=float, help="budget of one training, over the configuration's")
    parser.add_argument("--max-steps", type=int, help="budget of one training in steps")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each variant (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")


def run(args: argparse.Namespace) -> int:
    """Train, write the report and print the table."""
    from rich.console import Console
    from rich.markdown import Markdown

    from reloc_ros.errors import ConfigError
    from reloc_ros.training.ablation import markdown, run_study
    from reloc_ros.training.config import encoder_of_run, read_config
    from reloc_ros.training.distributed import join_world

    files = dict(entry.partition("=")[::2] for entry in args.config)
    unknown = sorted(set(files) - set(STUDIES[args.study]))
    if unknown:
        raise ConfigError(f"--config names {unknown[0]!r}, study {args.study} trains {', '.join(STUDIES[args.study])}")
    changes = {"max_minutes": args.max_minutes, "max_steps": args.max_steps}
    if args.encoder is not None:
        changes["encoder"] = encoder_of_run(Path(args.encoder))
    base = {
        method: read_config(method, Path(files[method]) if method in files else None, **changes)
        for method in STUDIES[args.study]
    }
    with join_world(args.device) as world:
        results = run_study(args.study, args.data, args.out, base, world, args.seeds)
        if world.leads:
            Console().print(Markdown(markdown(results)))
            print(f"{args.out / 'ablation.json'}\n{args.out / 'ablation.png'}")
    return 0
