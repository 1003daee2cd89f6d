"""Film a recorded drive that has no camera in a synthetic world."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc dataset film`."""
    parser.add_argument("--bag", type=Path, required=True, help="bag with /tf from the map to the robot")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bag with images")
    parser.add_argument(
        "--world",
        default="hall",
        help="'hall' builds one round the path (default); or a mesh file, or a named world, that holds the path",
    )
    parser.add_argument("--world-seed", type=int, default=0, help="which hall")
    parser.add_argument(
        "--camera-frame", metavar="FRAME", help="optical frame that /tf knows (default: a camera mounted on base_link)"
    )
    parser.add_argument("--map-frame", default="map", metavar="FRAME", help="fixed frame (default: map)")
    parser.add_argument("--base-frame", default="base_link", metavar="FRAME", help="of the robot (default: base_link)")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="of the images (default: 10)")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--fov-deg", type=float, default=80.0, help="horizontal (default: 80)")
    parser.add_argument("--seed", type=int, default=1, help="of the image noise")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: mcap")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="render processes")


def run(args: argparse.Namespace) -> int:
    """Film."""
    from rich.progress import track

    from reloc_ros.errors import DatasetError
    from reloc_ros.synthetic.camera_look import CameraLook
    from reloc_ros.synthetic.filmed_bag import plan_filming, write_filmed_bag
    from reloc_ros.synthetic.hall import hall_around
    from reloc_ros.synthetic.render_pool import RenderPool, Shot
    from reloc_ros.synthetic.robot import demo_camera
    from reloc_ros.synthetic.worlds import load_world

    if args.out.exists():
        raise DatasetError(f"bag {args.out} exists already; delete it or choose another folder")
    filming = plan_filming(args.bag, args.rate, args.camera_frame, args.map_frame, args.base_frame)
    path_xy = filming.T_map_camera[:, :2, 3]
    world = hall_around(path_xy, args.world_seed) if args.world == "hall" else load_world(args.world, args.world_seed)
    camera = demo_camera(args.width, args.height, args.fov_deg)
    look = CameraLook(noise=1.5)
    shots = [Shot(pose, look, (args.seed, index)) for index, pose in enumerate(filming.T_map_camera)]
    with RenderPool(world, camera, args.workers) as pool:
        written = write_filmed_bag(args.bag, args.out, filming, camera, pool.render(shots), args.storage)
        for _ in track(written, total=len(shots), description=f"filming in {world.name}"):
            pass
    print(f"{len(shots)} images in {args.out}; next: reloc map {args.out} --out BUNDLE")
    return 0
