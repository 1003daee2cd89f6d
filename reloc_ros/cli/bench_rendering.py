"""Measure how long a synthetic picture takes, panorama and pinhole, JPEG included."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reloc_ros.cameras.camera import Camera
    from reloc_ros.synthetic.renderer import Renderer
    from reloc_ros.types import Array

PANORAMA_SIZES_PX = ((128, 64), (256, 128), (512, 256), (1024, 512))
PINHOLE_SIZES_PX = ((160, 120), (320, 240), (640, 480))
PINHOLE_FOV_DEG = 90.0
WARM_UP = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench rendering`."""
    parser.add_argument("--world-seed", type=int, default=1, help="which interior (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=30, help="pictures of each size (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run(args: argparse.Namespace) -> int:
    """Measure one process and print the figures."""
    from time import perf_counter, process_time

    import numpy as np

    from reloc_ros.cameras.equirectangular import EquirectangularCamera
    from reloc_ros.errors import ConfigError
    from reloc_ros.synthetic.free_space import free_space
    from reloc_ros.synthetic.renderer import FEW_SUBPIXELS_PX, Renderer
    from reloc_ros.synthetic.robot import Robot, demo_camera
    from reloc_ros.synthetic.viewpoints import random_viewpoints
    from reloc_ros.synthetic.worlds import load_world

    if args.frames < 1:
        raise ConfigError(f"--frames {args.frames}: at least one picture is needed to measure")
    started, started_cpu = perf_counter(), process_time()
    world = load_world("interior", args.world_seed)
    robot = Robot(camera_height_m=0.5, camera_forward_m=0.0)
    space = free_space(world.mesh, robot.radius_m, robot.height_m)
    poses = random_viewpoints(space, robot, args.frames + WARM_UP, np.random.default_rng(0))
    renderer = Renderer(world.mesh, world.outdoors, FEW_SUBPIXELS_PX)
    world_s, world_cpu_s = perf_counter() - started, process_time() - started_cpu
    cameras: list[Camera] = [EquirectangularCamera(width=w, height=h) for w, h in PANORAMA_SIZES_PX]
    cameras += [demo_camera(w, h, PINHOLE_FOV_DEG) for w, h in PINHOLE_SIZES_PX]
    rows = [_measure(renderer, camera, poses) for camera in cameras]
    print(
        f"interior {args.world_seed}: {len(world.mesh.faces)} triangles, built and lit in {world_s:.1f} s "
        f"({world_cpu_s:.1f} s of one core)"
    )
    for row in rows:
        print(
            f"{row['model']:>16} {row['width']:>4} x {row['height']:<4} {row['ms_p50']:8.1f} ms a picture (p50), "
            f"{row['cpu_ms']:7.1f} ms of one core, {row['kilobytes']:6.1f} kB"
        )
    if args.json is not None:
        machine = {"cpu_count": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
        report = {"bench": "rendering", "machine": machine, "world_cpu_s": world_cpu_s, "cameras": rows}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(renderer: Renderer, camera: Camera, poses: list[Array]) -> dict[str, Any]:
    """Return what one camera's pictures take: median of the wall clock, mean of the processor's time."""
    from time import perf_counter, process_time

    import numpy as np

    from reloc_ros.synthetic.camera_look import CameraLook
    from reloc_ros.synthetic.sequence_writer import encode

    rng, look = np.random.default_rng(0), CameraLook(noise=2.0)
    times_s, started_cpu, size_bytes = [], 0.0, 0
    for index, T_map_camera in enumerate(poses):
        if index == WARM_UP:
            started_cpu = process_time()
        started = perf_counter()
        encoded = encode(renderer.render(camera, T_map_camera, look, rng))
        if index >= WARM_UP:
            times_s.append(perf_counter() - started)
            size_bytes += len(encoded)
    count = len(times_s)
    return {
        "model": camera.model,
        "width": camera.width,
        "height": camera.height,
        "ms_p50": 1e3 * float(np.median(times_s)),
        "cpu_ms": 1e3 * (process_time() - started_cpu) / count,
        "kilobytes": size_bytes / count / 1e3,
    }
