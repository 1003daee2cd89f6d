"""What a part of a method is worth: the same data and budget with it, without it, and with more or less of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reloc_ros.errors import ConfigError
from reloc_ros.training import checkpoint
from reloc_ros.training.config import TrainConfig, config_from_dict, config_to_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.train import train

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train: a method, and what differs from its configuration."""

    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)


# The paper's parts are judged without our geometric token, which would do their work.
_PAPER = {"geometric_token": False}

STUDIES: dict[str, dict[str, Variant]] = {
    "mappers": {
        f"mappers: {count}": Variant(method="dimm", changes={"head": {"mappers": count, **_PAPER}})
        for count in (1, 4, 8)
    },
    "semantic_attention": {
        "attention": Variant(method="dimm", changes={"head": _PAPER}),
        "mean": Variant(method="dimm", changes={"head": {"attention": False, **_PAPER}}),
    },
    "tokens": {
        "patch, CLS, XY and geometric": Variant(method="dimm"),
        "patch, CLS and XY": Variant(method="dimm", changes={"head": _PAPER}),
        "without CLS": Variant(method="dimm", changes={"head": {"summary_token": False, **_PAPER}}),
        "without XY": Variant(method="dimm", changes={"head": {"ray_token": False, **_PAPER}}),
        "patch alone": Variant(method="dimm", changes={"head": {"summary_token": False, "ray_token": False, **_PAPER}}),
    },
    "descriptions": {
        level: Variant(method="mvl_loc", changes={"descriptions": {"level": level}})
        for level in ("none", "label", "detailed")
    },
    "decoder_depth": {
        f"{layers} layers": Variant(method="mvl_loc", changes={"decoder": {"layers": layers}}) for layers in (2, 4)
    },
    "rays_or_pose": {
        "rays (dimm)": Variant(method="dimm"),
        "rays as in the paper (dimm)": Variant(method="dimm", changes={"head": _PAPER}),
        "pose regression (mvl_loc)": Variant(method="mvl_loc", changes={"descriptions": {"level": "none"}}),
    },
    "branches": {
        "both, correcting the odometer": Variant(method="spr_mamba"),
        "both, without comparing with the first frame": Variant(
            method="spr_mamba", changes={"network": {"compare_first": False}}
        ),
        "both, without odometer": Variant(method="spr_mamba", changes={"network": {"odometer": False}}),
        "global alone": Variant(method="spr_mamba", changes={"network": {"branches": "global", "odometer": False}}),
        "local alone": Variant(method="spr_mamba", changes={"network": {"branches": "local", "compare_first": False}}),
    },
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One trained variant: its figures on held-out images of each scene, and what it cost."""

    variant: str
    seed: int
    scenes: Mapping[str, Mapping[str, Any]]
    trained_parameters: int
    steps: int
    minutes: float


def run_study(
    study: str,
    data: Sequence[str],
    out: Path,
    base: Mapping[str, TrainConfig],
    world: World,
    seeds: int = 1,
) -> list[Result]:
    """Train every variant of a study in turn and write `ablation.json`, `ablation.md` and `ablation.png`.

    Each variant has its own run folder, so that a study that was interrupted goes on where it stopped.

    Args:
        study: key of `STUDIES`.
        data: data sets as `reloc train` takes them.
        out: folder of the study.
        base: configuration of each method that occurs.
        world: the processes that train together.
        seeds: how often each variant is trained; the spread says what a difference means.

    Raises:
        ConfigError: unknown study, or no configuration for a method.
    """
    if study not in STUDIES:
        raise ConfigError(f"study {study!r} is unknown; choose one of {', '.join(STUDIES)}")
    missing = sorted({variant.method for variant in STUDIES[study].values()} - set(base))
    if missing:
        raise ConfigError(f"study {study} trains {missing[0]} and no configuration is given for it")
    results = []
    for name, variant in STUDIES[study].items():
        for seed in range(seeds):
            changed = _merged(config_to_dict(base[variant.method]), {**variant.changes, "seed": seed})
            config = config_from_dict(variant.method, changed)
            folder = out / f"{name.replace(' ', '_')}.{seed}"
            _log.info("%s: %s, seed %d", study, name, seed)
            train(data, folder, config, world)
            results.append(_read_result(name, seed, folder))
    write_study(study, results, out)
    return results


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, Mapping) else value
    return merged


def _read_result(name: str, seed: int, folder: Path) -> Result:
    network, content = checkpoint.load_trained(folder)
    metrics = {key: value for key, value in content["serving"]["metrics"].items() if key != "part"}
    # Methods of many scenes write the figures of each by its name.
    scenes = {scene: figures for scene, figures in metrics.items() if isinstance(figures, dict)} or {"": metrics}
    frozen = content["train_config"]["encoder"]["frozen"]
    last = checkpoint.load(folder / checkpoint.LAST)
    return Result(
        variant=name,
        seed=seed,
        scenes=scenes,
        trained_parameters=sum(
            p.numel() for key, p in network.named_parameters() if not (frozen and key.startswith("encoder."))
        ),
        steps=last["step"],
        minutes=last["seconds"] / 60,
    )


def write_study(study: str, results: Sequence[Result], out: Path) -> None:
    """Write the figures of a study as JSON, as a Markdown table and as a picture."""
    out.mkdir(parents=True, exist_ok=True)
    plain = {"study": study, "results": [vars(result) for result in results]}
    (out / "ablation.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    (out / "ablation.md").write_text(markdown(results) + "\n", encoding="utf-8")
    _draw(study, results, out / "ablation.png")


def markdown(results: Sequence[Result]) -> str:
    """Return a table: medians of the middle scene, shares averaged over scenes, with the range over seeds."""
    lines = [
        "| variant | median position, cm | median rotation, deg | within 0.25 m, 5 deg | scenes right | trained weights | steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys(result.variant for result in results):
        runs = [result for result in results if result.variant == variant]
        cells = [
            _with_range([100 * _middle(run, "median_translation_error_m") for run in runs], 1),
            _with_range([_middle(run, "median_rotation_error_deg") for run in runs], 2),
            _with_range([100 * _mean(run, "recall_0.25m_5deg") for run in runs], 0) + " %",
            _with_range([100 * _mean(run, "scene_accuracy") for run in runs], 1) + " %",
            f"{runs[0].trained_parameters / 1e6:.2f} M",
            _with_range([run.steps for run in runs], 0),
        ]
        lines.append(f"| {variant} | {' | '.join('-' if 'nan' in cell else cell for cell in cells)} |")
    return "\n".join(lines)


def _mean(result: Result, figure: str) -> float:
    return float(np.mean(_of_scenes(result, figure)))


def _middle(result: Result, figure: str) -> float:
    """Return the median over scenes: one in which most images are rejected is infinite, and must not hide the others."""
    return float(np.median(_of_scenes(result, figure)))


def _of_scenes(result: Result, figure: str) -> list[float]:
    return [scene[figure] for scene in result.scenes.values() if figure in scene] or [float("nan")]


def _with_range(values: Sequence[float], digits: int) -> str:
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _draw(study: str, results: Sequence[Result], path: Path) -> None:
    names = list(dict.fromkeys(result.variant for result in results))
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key, factor, label in (
        (axes[0], "median_translation_error_m", 100, "median position error, cm"),
        (axes[1], "median_rotation_error_deg", 1, "median rotation error, deg"),
    ):
        # Half of the frames rejected is an infinite median, which has no place on an axis.
        medians = [(r.variant, factor * _middle(r, key)) for r in results if np.isfinite(_middle(r, key))]
        means = [np.mean([value for variant, value in medians if variant == name] or [0.0]) for name in names]
        axis.barh(names, means, color="tab:blue", alpha=0.5)
        axis.plot([value for _, value in medians], [variant for variant, _ in medians], "o", color="tab:blue")
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
    axes[0].invert_yaxis()
    figure.suptitle(f"{study}: held-out images, the middle scene; a dot for each seed")
    figure.savefig(path, dpi=120)
