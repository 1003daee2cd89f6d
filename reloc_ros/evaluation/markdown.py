"""An evaluation for people: the same figures as `report.json`, with what they mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from reloc_ros.evaluation.replay import FrameResult

_WORST_SHOWN = 5


def as_markdown(report: dict[str, Any], results: Sequence[FrameResult], *, has_frames: bool = False) -> str:
    """Return the report as Markdown.

    Args:
        report: as `make_report` gives it, infinite figures still infinite.
        results: the frames it is about.
        has_frames: whether `frames.png` stands beside it.
    """
    unit = "m" if report["metric"] else "scene units"
    sections = [
        f"# {report['method']}: {report['data']} ({report['split']})",
        _subject(report),
        "## Accuracy",
        _accuracy(report, unit),
        *_scene(report, unit),
        "## Rejected frames",
        table(("reason", "frames"), report["rejected_by_reason"].items()) if report["rejected_by_reason"] else "None.",
        "## Latency",
        _latency(report),
        "## Does the covariance tell the truth?",
        _calibration(report),
        "## Worst accepted frames",
        _worst(results, unit),
        "## Pictures",
        "![trajectory seen from above](trajectory.png)\n\n![errors](errors.png)",
    ]
    if has_frames:
        sections += [
            "Best, middle, worst and rejected frames, without their neighbours in time. A pose rests on what is bright.",
            "![best, middle, worst and rejected frames](frames.png)",
        ]
    return "\n\n".join(sections) + "\n"


def _subject(report: dict[str, Any]) -> str:
    split = ", ".join(f"{key} {value}" for key, value in report["split_settings"].items())
    threads = report["threads"] or "automatic"
    lines = [
        f"- bundle `{report['bundle']}`, network sha256 `{report['model_sha256'][:12]}...`",
        f"- {report['frames']} frames; {report['skipped']} more left out by the data set itself",
        f"- part: {report['split']}" + (f" ({split})" if split else ""),
        f"- true poses: {report['ground_truth']}; figures against another ground truth do not compare",
        f"- back end {report['backend']} on {report['device']}, {report['precision']}, threads {threads}",
    ]
    if not report["metric"]:
        lines.append(
            "- the data set has no metric scale: every length is in the scene's own unit, also under keys in `_m`"
        )
    return "\n".join(lines)


def _accuracy(report: dict[str, Any], unit: str) -> str:
    errors = table(
        ("", f"translation [{unit}]", "rotation [deg]"),
        [
            (name, _number(report[f"{key}_translation_error_m"]), _number(report[f"{key}_rotation_error_deg"]))
            for name, key in (("median", "median"), ("90 % of frames", "p90"))
        ],
    )
    recall = table(
        ("within", "of all frames"),
        [
            (name.replace("_", " / ").replace("deg", " deg"), f"{100 * value:.1f} %")
            for name, value in report["recall"].items()
        ],
    )
    rejected = f"{100 * report['rejection_rate']:.1f} % of the frames were rejected."
    note = "A rejected frame is an infinite error here; an infinite figure is `null` in report.json."
    return f"{rejected} {note}\n\n{errors}\n\n{recall}"


def _scene(report: dict[str, Any], unit: str) -> list[str]:
    """Return what finding the scene costs, where there are several."""
    oracle = report["oracle"]
    if oracle is None:
        return []
    share = report["poses_in_true_scene"]
    found = "No frame has a pose." if share is None else f"{100 * share:.1f} % of the poses are in this scene."
    medians = [
        (f"median {kind} [{of}]", *(_number(figures[f"median_{kind}_error_{key}"]) for figures in (report, oracle)))
        for kind, of, key in (("translation", unit, "m"), ("rotation", "deg", "deg"))
    ]
    rates = [("rejected", *(f"{100 * figures['rejection_rate']:.1f} %" for figures in (report, oracle)))]
    rates += [
        (
            f"within {name.replace('_', ' / ')}",
            *(f"{100 * figures['recall'][name]:.1f} %" for figures in (report, oracle)),
        )
        for name in report["recall"]
    ]
    note = "A pose in another scene is an infinite error."
    compared = table(("", "scene found", "scene given"), [*medians, *rates])
    return [f"## Scene {report['scene']}", f"{found} {note}\n\n{compared}"]


def _latency(report: dict[str, Any]) -> str:
    rows = {"whole call": report["latency_ms"], **report["latency_ms_by_stage"]}
    percentile_table = table(
        ("stage", "p50 [ms]", "p90 [ms]", "p99 [ms]"),
        [(stage, *(f"{value:.2f}" for value in percentiles.values())) for stage, percentiles in rows.items()],
    )
    return f"One frame at a time, after one warm-up call, without reading the image from disk.\n\n{percentile_table}"


def _calibration(report: dict[str, Any]) -> str:
    found = report["calibration"]
    if found["nees_median"] is None:
        return "No accepted frames."
    parts = [found[key] for key in ("coverage", "coverage_position", "coverage_rotation")]
    rows = [
        (f"inside the {level} % ellipsoid", *(f"{100 * part[level]:.0f} %" for part in parts))
        for level in found["coverage"]
    ]
    nees = (
        f"Squared error relative to the covariance: median {found['nees_median']:.2f} (5.35 when calibrated), "
        f"mean {found['nees_mean']:.2f} (6)."
    )
    picture = "![coverage over the level](reliability.png)"
    return "\n\n".join([table(("accepted frames", "pose", "position", "rotation"), rows), nees, picture])


def _worst(results: Sequence[FrameResult], unit: str) -> str:
    accepted = [result for result in results if result.pose is not None]
    worst = sorted(accepted, key=lambda result: result.translation_error_m, reverse=True)[:_WORST_SHOWN]
    if not worst:
        return "No accepted frames."
    return table(
        ("image", f"translation [{unit}]", "rotation [deg]"),
        [(result.name, _number(result.translation_error_m), _number(result.rotation_error_deg)) for result in worst],
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "infinite"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
