"""Turn a training run into a bundle that a robot loads."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc export`."""
    parser.add_argument("run", type=Path, help="folder that `reloc train` wrote")
    parser.add_argument("--out", type=Path, required=True, help="bundle folder to write; an old bundle is replaced")
    parser.add_argument(
        "--map-frame", action="append", default=[], metavar="[SCENE=]FRAME",
        help="name of the frame that poses live in (default: the scenes file's, or map); with SCENE= of one scene",
    )  # fmt: skip
    parser.add_argument("--text-tower", action="store_true", help="let the robot read hints with CLIP's text tower")
    parser.add_argument(
        "--calibration-images", type=_count, default=0, metavar="N",
        help="put N held-out images of the place into the bundle, for `reloc build-engine` to compare poses on (default: a "
        "bundle holds no image)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Export, check the graph against the network and say how closely they agree."""
    from reloc_ros.bundle.calibration import CALIBRATION_NAME, read_calibration
    from reloc_ros.export.bundle_run import export_run

    map_frames = {scene: frame for scene, _, frame in (entry.rpartition("=") for entry in args.map_frame)}
    bundle, parity = export_run(
        args.run, args.out, map_frames=map_frames, text_tower=args.text_tower,
        calibration_images=args.calibration_images,
    )  # fmt: skip
    print(
        f"{bundle.path}: the graph agrees with the network within {1e3 * parity.translation_m:.4f} mm and "
        f"{parity.rotation_deg:.5f} deg on {parity.images} images"
    )
    images = read_calibration(bundle)
    if images is not None:
        path = bundle.path / CALIBRATION_NAME
        print(
            f"{path}: the bundle now holds {len(images)} images of the place, as asked for; whoever gets it can look at "
            "them"
        )
    return 0


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value
