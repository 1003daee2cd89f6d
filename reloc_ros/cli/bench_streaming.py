"""Whether a sequence costs the same at its two-thousandth frame as at its twentieth, and is as right."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

RERUN_LENGTHS = (100, 500, 2000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench streaming`."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="sequence bundle, of spr_mamba")
    parser.add_argument("--frames", type=int, default=2000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table and write the figures."""
    import json
    import os
    import platform

    from rich.progress import Progress

    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.inference.streaming_bench import run_stream

    bundle = load_bundle(args.bundle)
    lengths = [length for length in RERUN_LENGTHS if length <= args.frames]
    with Progress(transient=True) as bar:
        task = bar.add_task("Streaming", total=args.frames)
        stream = run_stream(
            bundle, args.frames, threads=args.threads, progress=lambda done: bar.update(task, completed=done)
        )
        figures: dict[str, Any] = {
            "bench": "streaming",
            "bundle": str(args.bundle),
            "frames": args.frames,
            "threads": args.threads,
            "machine": {"cpu_count": os.cpu_count(), "platform": platform.platform()},
            **stream.figures(),
        }
        try:
            from reloc_ros.export.streaming_reference import compare_with_whole_passes
        except ImportError as error:
            # Torch trains and compares; a robot that only runs the bundle may lack it.
            figures |= {
                "max_abs_step_error": None,
                "rerun_ms": {},
                "not_compared": f"{error}; pip install the extra train",
            }
        else:
            task = bar.add_task("Running whole sequences again", total=len(lengths))
            compared = compare_with_whole_passes(
                bundle, stream.features, stream.outputs, lengths, threads=args.threads,
                progress=lambda _: bar.advance(task),
            )  # fmt: skip
            encode_ms = float(sorted(stream.encode_ms)[len(stream.encode_ms) // 2])
            # The least that a frame costs without a state: its own encoding, and the pass over all features kept.
            rerun_ms = {length: encode_ms + pass_ms for length, pass_ms in compared["rerun_pass_ms"].items()}
            figures |= {**compared, "rerun_ms": rerun_ms}
    _print(figures)
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _print(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{figures['bundle']}, {figures['frames']} frames", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for frame in (20, figures["frames"]):
        step_ms = figures[f"step_ms_at_{frame}"]
        table.add_row(f"frame {frame}", f"{figures[f'ms_at_{frame}']:.2f} ms, of them the step {step_ms:.2f}")
    table.add_row("late / early", f"{figures['ratio']:.3f}")
    table.add_row("state", f"{figures['state_bytes']:,} bytes at every frame")
    table.add_row("process grew", f"{figures['grown_bytes']:,} bytes")
    for length, milliseconds in figures["rerun_ms"].items():
        kept = figures["rerun_feature_bytes"][length]
        table.add_row(f"without a state, frame {length}", f"{milliseconds:.2f} ms, {kept:,} bytes of features kept")
    if figures["max_abs_step_error"] is None:
        table.add_row("step against whole pass", f"not compared: {figures['not_compared']}")
    else:
        table.add_row("step against whole pass", f"{figures['max_abs_step_error']:.2e} at most (m, rotation entries)")
    Console().print(table)
