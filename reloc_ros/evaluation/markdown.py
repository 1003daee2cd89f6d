"""An evaluation for people: the same figures as `report.json`, with what they mean."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from reloc_ros.evaluation.comparison import HEADER, cells, fault_table
from reloc_ros.evaluation.pose_error import FALSE_FIX_DEG, FALSE_FIX_M
from reloc_ros.evaluation.replay import FrameResult

_WORST_SHOWN = 5
_PICTURES = {
    "frames.png": "Best, middle, worst and rejected frames, without their neighbours in time. A pose rests on what is bright.",
    "conditions.png": "Errors against the distance from the mapping path, speed, turning and light.",
    "comparison.png": "Cumulative errors side by side.",
    "faults.png": "Spoilt frames and what became of them.",
}
_CONDITIONS = {
    "distance_from_mapping_m": "distance from the mapping path",
    "speed_mps": "speed, per second",
    "turn_degps": "turning, deg per second",
    "light": "mean grey level",
}


def as_markdown(report: dict[str, Any], results: Sequence[FrameResult], pictures: Collection[str] = ()) -> str:
    """Return the report as Markdown.

    Args:
        report: as `make_report` gives it, infinite figures still infinite.
        results: the frames it is about.
        pictures: names of the files beside it that are shown if they are there; two always are.
    """
    unit = "m" if report["metric"] else "scene units"
    sections = [
        f"# {report['method']}: {report['data']} ({report['split']})",
        _subject(report),
        "## Accuracy",
        _accuracy(report, unit),
        *_comparison(report, unit),
        *_scene(report, unit),
        "## Rejected frames",
        table(("reason", "frames"), report["rejected_by_reason"].items()) if report["rejected_by_reason"] else "None.",
        "## The drive as a whole",
        _drive(report, unit),
        *_faults(report, unit),
        "## Under what conditions",
        _conditions(report, unit),
        "## Latency",
        _latency(report),
        "## Does the covariance tell the truth?",
        _calibration(report),
        "## Worst accepted frames",
        _worst(results, unit),
        "## Pictures",
        "![trajectory seen from above](trajectory.png)\n\n![errors](errors.png)",
    ]
    for name, text in _PICTURES.items():
        if name in pictures:
            sections += [text, f"![{name.removesuffix('.png')}]({name})"]
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
            for name, key in (("median", "median"), ("90 % of frames", "p90"), ("99 %", "p99"), ("worst", "max"))
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
    false = report["false_fix_rate"]
    misled = (
        f"{_percent(false)} of the poses ({report['false_fixes']}) are false fixes, off by more than {FALSE_FIX_M:g} m or "
        f"{FALSE_FIX_DEG:g} deg."
    )
    return f"{rejected} {misled} {note}\n\n{errors}\n\n{recall}"


def _comparison(report: dict[str, Any], unit: str) -> list[str]:
    rows = report.get("comparison")
    if not rows:
        return []
    spoilt = fault_table(rows)
    return [
        "## Side by side",
        table(HEADER, [cells(row, unit) for row in rows]),
        *([table(*spoilt)] if spoilt else []),
    ]


def _drive(report: dict[str, Any], unit: str) -> str:
    first, longest = report["time_to_first_fix_s"], report["longest_without_fix_s"]
    waits = (
        f"Until the first right pose of a sequence: median {_number(first['median'])} s, longest {_number(first['max'])} s. "
        f"Longest time without a right pose: {_number(longest)} s. Each image by itself; a node with `trust: verified` "
        "waits until several agree."
    )
    found = [
        ("ATE", report["ate"]["none"]),
        ("ATE, aligned (SE3)", report["ate"]["se3"]),
        ("RPE, pose to pose", report["rpe"]),
    ]
    names = ("rmse", "mean", "median", "std", "min", "max")
    rows = [
        (label, *(_number(part[name]) for name in names), _number(part["rotation_deg"]["rmse"]))
        for label, part in found
        if part is not None
    ]
    header = ("as evo defines them", *(f"{name} [{unit}]" for name in names), "rotation rmse [deg]")
    return f"{waits}\n\n{table(header, rows)}" if rows else waits


def _faults(report: dict[str, Any], unit: str) -> list[str]:
    if not report["faults"]:
        return []
    rows = [fault_cells(name, found, unit) for name, found in report["faults"].items()]
    note = (
        f"Over the spoilt frames alone, drawn with seed {report['fault_seed']}. On black images no pose is the right "
        "answer. Recovery: from the end of a fault (a kidnap: from its first frame) to the first right pose."
    )
    return ["## Faults", f"{note}\n\n{table(FAULT_HEADER, rows)}"]


FAULT_HEADER = (
    "fault", "spoilt frames", "frames with a pose", "false fixes, of the poses", "median error", "90 % of frames",
    "recovery p50 / max", "not recovered",
)  # fmt: skip


def fault_cells(name: str, found: Mapping[str, Any], unit: str) -> list[str]:
    """Return one fault as people read it, in the order of `FAULT_HEADER`."""
    waits = found["time_to_recover_s"]
    errors = [
        f"{_number(found[f'{key}_translation_error_m'])} {unit} / {_number(found[f'{key}_rotation_error_deg'])} deg"
        if math.isfinite(found[f"{key}_translation_error_m"])
        else "infinite"
        for key in ("median", "p90")
    ]
    recovery = "-" if waits["p50"] is None else f"{_number(waits['p50'])} / {_number(waits['max'])} s"
    return [
        name,
        str(found["frames"]),
        _percent(found["availability"]),
        _percent(found["false_fix_rate"]),
        *errors,
        recovery,
        f"{found['not_recovered']} of {found['events']}",
    ]


def _conditions(report: dict[str, Any], unit: str) -> str:
    tables = []
    for name, bins in report["by_condition"].items():
        rows = [
            (
                f"{part['from']:.3g} to {part['to']:.3g}",
                part["frames"],
                _number(part["median_translation_error_m"]),
                _number(part["median_rotation_error_deg"]),
                _percent(part["rejection_rate"]),
            )
            for part in bins
        ]
        header = (_CONDITIONS[name], "frames", f"median [{unit}]", "median [deg]", "without a pose")
        tables.append(table(header, rows))
    if "distance_from_mapping_m" not in report["by_condition"]:
        tables.append(
            "Where the model was trained is not known here: `--mapping FORMAT:PATH` gives the off-path curve."
        )
    return "\n\n".join(tables)


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


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "infinite"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
