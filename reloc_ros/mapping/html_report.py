"""One HTML file about a map: the verdict first, pictures inside, nothing loaded from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from reloc_ros.evaluation.html import picture, section, table, verdict_banner, verdict_table, write_page

_PICTURES = (
    (
        "conditions.png",
        "When do errors grow?",
        "Off the mapping path, fast, in bad light: each point is a held-out frame. Beyond a curve's end nobody knows.",
    ),
    ("trajectory.png", "Held-out frames from above", "Each estimate joined to where the reference says it was."),
    (
        "errors.png",
        "Errors of every held-out frame",
        "The curves on the right never reach 100 % where frames are rejected.",
    ),
    ("frames.png", "Best, middle, worst and rejected frames", "Brighter cells are what the pose rests on."),
    ("reliability.png", "Do covariances tell the truth?", "Below the diagonal: too sure. Above: too careful."),
)


def write_html(
    path: Path, *, title: str, verdict: Mapping[str, Any], evaluation: Path, coverage: Path,
    selected: Mapping[str, Any], facts: Sequence[tuple[str, str]], steps: Sequence[str],
) -> None:  # fmt: skip
    """Write the report.

    Args:
        path: of the HTML file.
        title: what was mapped.
        verdict: content of `verdict.json`.
        evaluation: folder that `validate` wrote.
        coverage: picture of the drive.
        selected: result of the stage `select`.
        facts: names and values of what was done.
        steps: what to do next.
    """
    figures = json.loads((evaluation / "report.json").read_text(encoding="utf-8"))
    parts = [
        verdict_banner(verdict, figures),
        section("Next steps", "<ol>" + "".join(f"<li>{escape(step)}</li>" for step in steps) + "</ol>"),
        section("The verdict in figures", verdict_table(verdict) + _note(verdict)),
        section("Coverage", picture(coverage, "What the drive covered", "Arrows: where the camera looked.")),
        *(
            section(heading, picture(evaluation / name, heading, note))
            for name, heading, note in _PICTURES
            if (evaluation / name).exists()
        ),
        section("What was dropped and why", _dropped(selected)),
        section("How it was made", table([(escape(name), escape(value)) for name, value in facts])),
    ]
    write_page(path, title, parts)


def _note(verdict: Mapping[str, Any]) -> str:
    false = verdict["false_fix"]
    return (
        f"<p>A false fix is a pose off by more than {false['m']:g} m or {false['deg']:g} deg; its rate is of the poses, "
        "all other shares are of all held-out frames. The network's best state and the solver's numbers were chosen on "
        "the same held-out frames, which makes figures a little better than on a new drive. Frames next to each other "
        "fail together, so the 95 % bound is on the brave side.</p>"
    )


def _dropped(selected: Mapping[str, Any]) -> str:
    rows = [("images in the bag", selected["images"] + selected["without_pose"])]
    rows += [(f"without a pose: {reason}", count) for reason, count in selected["skipped"].items()]
    rows += [(reason, count) for reason, count in selected["dropped"].items()]
    rows.append(("kept", selected["kept"]))
    return table([(escape(name), f"{count}") for name, count in rows], ("", "frames"))
