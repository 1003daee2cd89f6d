"""The `reloc` command: finds the sub-command and turns errors into messages."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

from reloc_ros import __version__
from reloc_ros.cli import (
    bench,
    build_engine,
    dataset,
    demo,
    describe,
    evaluate,
    export,
    inspect,
    play,
    train,
    trajectory,
    weights,
)
from reloc_ros.cli import map as map_command
from reloc_ros.errors import RelocError

# Each module has `add_arguments(parser)` and `run(args) -> int` and imports what is slow inside `run`; the first line
# of its docstring is its help.
COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "map": map_command,
    "dataset": dataset,
    "describe": describe,
    "train": train,
    "export": export,
    "build-engine": build_engine,
    "evaluate": evaluate,
    "bench": bench,
    "trajectory": trajectory,
    "inspect": inspect,
    "play": play,
    "weights": weights,
}

EXIT_BAD_SETUP = 2  # what argparse uses for bad arguments, too
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    command = COMMANDS[args.command]
    try:
        return int(command.run(args))
    except RelocError as error:
        print(f"reloc {args.command}: {error}", file=sys.stderr)
        return EXIT_BAD_SETUP
    except KeyboardInterrupt:
        print(f"reloc {args.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with every sub-command."""
    parser = argparse.ArgumentParser(
        prog="reloc", description="Visual relocalization: a camera image in, a pose in the map out."
    )
    parser.add_argument("--version", action="version", version=f"reloc_ros {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="also show what goes well")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(subparsers.add_parser(name, help=summary, description=summary))
    return parser
