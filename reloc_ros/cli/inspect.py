"""Show what a bundle is and check that it is whole."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from reloc_ros.bundle.load import Bundle
    from reloc_ros.bundle.manifest import Manifest, SceneSpec
    from reloc_ros.inference.engine_cache import EngineCache


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="folder that `reloc export` wrote")
    parser.add_argument("--cache", type=Path, help="folder of engines (default: ~/.cache/reloc_ros/engines)")


def run(args: argparse.Namespace) -> int:
    """Check the bundle, then print its tables."""
    from rich.console import Console

    from reloc_ros.bundle.calibration import read_calibration
    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.inference.engine_cache import EngineCache

    bundle = load_bundle(args.bundle)
    checks = _check(bundle)
    images = read_calibration(bundle)
    console = Console()
    for table in (
        _what(bundle, 0 if images is None else len(images)),
        *_sequence(bundle.manifest),
        *_scenes(bundle.manifest.scenes),
        _numbers("Training", bundle.manifest.training),
        _numbers("Metrics", bundle.manifest.metrics),
    ):
        console.print(table)
    console.print(_files(bundle))
    console.print(_devices(bundle))
    console.print(_engines(bundle, EngineCache(args.cache)))
    for check in checks:
        console.print(f"[green]ok[/green] {check}", soft_wrap=True, highlight=False)
    return 0


def _check(bundle: Bundle) -> list[str]:
    """Return what was found in order; what is not raises."""
    from reloc_ros.inference.backend import create_backend
    from reloc_ros.localization.solve import create_solver

    manifest = bundle.manifest
    if manifest.sequence is None:
        create_solver(manifest.output_kind, manifest.solve)
        solved = f"solver: this program solves {manifest.output_kind!r} with these settings"
    else:
        create_backend("onnxruntime", bundle.encoder(), threads=1).close()
        solved = "encoder: ONNX Runtime loads it; it makes features of canvases"
    create_backend("onnxruntime", bundle, threads=1).close()
    return [
        f"manifest: schema {manifest.schema_version}, every key known",
        f"checksums: {len(manifest.files)} of {len(manifest.files)} files as written",
        solved,
        "network: ONNX Runtime loads it; names, shapes and types are those of the manifest",
    ]


def _what(bundle: Bundle, images: int) -> Table:
    manifest = bundle.manifest
    spec, camera = manifest.input, manifest.camera
    fov_deg = f"{camera.horizontal_fov_deg_min:.1f} to {camera.horizontal_fov_deg_max:.1f} deg wide"
    rays = (
        ""
        if manifest.rays is None
        else f"; {manifest.rays.rows}x{manifest.rays.columns} rays as {manifest.rays.name!r}"
    )
    poses = [name for name in manifest.outputs if manifest.sequence is None or not name.startswith("next_")]
    return _table(
        str(bundle.path),
        {
            "method": f"{manifest.method} (outputs {', '.join(poses)}; solved as {manifest.output_kind})",
            "input": f"{spec.width}x{spec.height} {spec.channels} {spec.dtype} {spec.layout}, tensor {spec.name!r}{rays}",
            "camera": f"{camera.model}, {fov_deg}",
            "solve": ", ".join(f"{key} {value:g}" for key, value in manifest.solve.items()) or "(nothing to set)",
            "images": f"{images} images of the place, for comparing poses" if images else "none of the place",
        },
    )


def _sequence(manifest: Manifest) -> list[Table]:
    """Return a table of what networks of sequences remember and were trained on; none for single images."""
    spec = manifest.sequence
    if spec is None:
        return []
    numbers = sum(math.prod(state.shape) for state in spec.state)
    heights_m = ", ".join(f"{height_m:g}" for height_m in spec.heights_m) + " m" if spec.heights_m else "not known"
    return [
        _table(
            "Sequence",
            {
                "feature": f"{spec.feature} numbers of a frame",
                "state": f"{len(spec.state)} tensors, {numbers:,} numbers, version {spec.state_version}",
                "keyframes": f"every {spec.keyframe_translation_m:g} m or {spec.keyframe_rotation_rad:g} rad",
                "trained": f"up to {spec.trained_distance_m:g} m from the first frame, {spec.trained_frames} frames",
                "heights": heights_m,
            },
        )
    ]


def _scenes(scenes: Sequence[SceneSpec]) -> list[Table]:
    """Return tables of the facts of one scene, or of several in one row each."""
    return [_scene(scenes[0])] if len(scenes) == 1 else [_numbers_of(scenes), _descriptions_of(scenes)]


def _scene(scene: SceneSpec) -> Table:
    gate, bounds, fit = scene.gate, scene.map_bounds, scene.covariance
    box = ", ".join(
        f"{axis} {low:.2f} to {high:.2f}" for axis, low, high in zip("xyz", bounds.min_m, bounds.max_m, strict=True)
    )
    limits = f"position std <= {gate.max_position_std_m:.3g} m, rotation std <= {gate.max_rotation_std_rad:.3g} rad"
    described = {"description": scene.description} if scene.description else {}
    return _table(
        f"Scene {scene.name}",
        {
            "map frame": scene.map_frame,
            "map bounds": f"{box} m (training cameras), margin {gate.bounds_margin_m:.2f} m",
            "gate": limits,
            "covariance": f"position x {fit.position_scale:.3g} + {fit.position_floor_m:.3g} m, "
            f"rotation x {fit.rotation_scale:.3g} + {fit.rotation_floor_rad:.3g} rad, of the solver's std",
            **described,
        },
    )


def _numbers_of(scenes: Sequence[SceneSpec]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{len(scenes)} scenes (m, rad; std is scaled, then has the floor added)", title_justify="left")
    table.add_column("scene", style="bold", overflow="fold")
    table.add_column("map frame", overflow="fold")
    for name in ("x", "y", "z", "margin", "std <=", "scale", "floor"):
        table.add_column(name, justify="right")
    for scene in scenes:
        gate, bounds, fit = scene.gate, scene.map_bounds, scene.covariance
        spans = [f"{low:.2f} to {high:.2f}" for low, high in zip(bounds.min_m, bounds.max_m, strict=True)]
        limits = f"{gate.max_position_std_m:.3g} / {gate.max_rotation_std_rad:.3g}"
        scales = f"{fit.position_scale:.3g} / {fit.rotation_scale:.3g}"
        floors = f"{fit.position_floor_m:.2g} / {fit.rotation_floor_rad:.2g}"
        figures = [*spans, f"{gate.bounds_margin_m:.2f}", limits, scales, floors]
        table.add_row(Text(scene.name), Text(scene.map_frame), *figures)
    return table


def _descriptions_of(scenes: Sequence[SceneSpec]) -> Table:
    return _table("Descriptions", {scene.name: scene.description or "(none)" for scene in scenes})


def _files(bundle: Bundle) -> Table:
    sizes = {name: (bundle.path / name).stat().st_size for name in bundle.manifest.files}
    return _table(
        "Files", {name: f"{sizes[name]:,} bytes, sha256 {digest}" for name, digest in bundle.manifest.files.items()}
    )


def _devices(bundle: Bundle) -> Table:
    """Return what the manifest says of devices that the bundle was tried on."""
    rows = {
        f"{device}, {graph}": f"{spec.precision} with {spec.backend}, poses {spec.verdict}"
        for device, graphs in bundle.manifest.devices.items()
        for graph, spec in graphs.items()
    }
    return _table("Devices", rows or {"(none recorded)": "`reloc build-engine` records what it finds right"})


def _engines(bundle: Bundle, cache: EngineCache) -> Table:
    """Return what is in this machine's cache of engines for the bundle."""
    rows = {}
    for entry in cache.entries_of(bundle.manifest.files):
        key = entry.key
        what = f"{key.graph} in {key.precision} for {key.target} ({key.device}), {key.flavour} {key.version}"
        verdicts = "; ".join(f"poses of the {name} {said}" for name, said in entry.parity.items()) or "not judged"
        rows[entry.path.stem[:8]] = f"{what}: {verdicts}"
    return _table(f"Engines in {cache.folder}", rows or {"(none)": "the node runs on ONNX Runtime"})


def _numbers(title: str, values: dict[str, Any]) -> Table:
    return _table(title, dict(_flat(values)) or {"(none recorded)": ""})


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows


def _table(title: str, rows: dict[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(Text(key), Text(value))
    return table
