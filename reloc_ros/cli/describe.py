"""Describe scenes in words from their mapping images, in a file to edit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reloc_ros.scenes.descriptions import SceneDescriptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="NAME=FORMAT:PATH",
        help="scene and its images with poses, e.g. kitchen=seven_scenes:DIR; repeat for more scenes or data",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="scenes file, e.g. scenes.yaml")
    parser.add_argument("--clip", type=Path, metavar="FOLDER", help="CLIP checkpoint; without it colours are named")
    parser.add_argument(
        "--level",
        choices=("none", "label", "detailed"),
        default="detailed",
        help="the same sentence for all, the kind of place, or its stable objects, too (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="also write over descriptions that a person edited")


def run(args: argparse.Namespace) -> int:
    """Write the scenes file and print the descriptions."""
    from dataclasses import replace

    from reloc_ros.datasets.posed_images import read_dataset
    from reloc_ros.datasets.splits import split_images
    from reloc_ros.scenes.descriptions import merge, read_descriptions, write_descriptions
    from reloc_ros.scenes.token_count import count_words
    from reloc_ros.training.describe_scenes import describe_scenes

    places = _by_scene(args.data)
    clip = None
    if args.clip is not None:
        from reloc_ros.training.clip_towers import load_clip

        clip = load_clip(args.clip)
    count_tokens = count_words if clip is None else clip.count_tokens
    # What is there must be readable: a file with a slip of the pen is never written over.
    old = read_descriptions(args.out, count_tokens=count_tokens) if args.out.exists() else None
    scenes = {
        name: [image for one in data for image in split_images(read_dataset(one), "train").images]
        for name, data in places.items()
    }
    new = describe_scenes(scenes, level=args.level, clip=clip)
    new = replace(new, scenes=tuple(replace(scene, data=tuple(places[scene.name])) for scene in new.scenes))
    descriptions = new if old is None else merge(new, old, keep_edited=not args.force)
    write_descriptions(args.out, descriptions)
    _print(args.out, descriptions)
    return 0


def _by_scene(specifications: list[str]) -> dict[str, list[str]]:
    """Return the data of each scene from NAME=FORMAT:PATH.

    Raises:
        ConfigError: a specification has no name.
    """
    from reloc_ros.errors import ConfigError

    places: dict[str, list[str]] = {}
    for specification in specifications:
        name, equals, data = specification.partition("=")
        if not equals or not name.strip() or ":" in name:
            raise ConfigError(
                f"--data '{specification}' must read NAME=FORMAT:PATH, for example kitchen=rosbag:drive.mcap"
            )
        if data in places.get(name, []):
            raise ConfigError(f"--data '{specification}' is given twice; leave one out")
        places.setdefault(name, []).append(data)
    return places


def _print(path: Path, descriptions: SceneDescriptions) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    how = f"{descriptions.describer}, {descriptions.level}"
    table = Table(title=f"{path} ({how})", title_justify="left", show_lines=True)
    for heading in ("scene", "description", "images", "by"):
        table.add_column(heading, justify="right" if heading == "images" else "left")
    for scene in descriptions.scenes:
        note = descriptions.notes.get(scene.name)
        by = "a person (kept)" if descriptions.edited(scene.name) else descriptions.describer
        table.add_row(Text(scene.name), Text(scene.description), str(note.images) if note else "", by)
    Console().print(table)
