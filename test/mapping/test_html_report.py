"""The report says the verdict first, and holds everything it shows."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from reloc_ros.evaluation.verdict import judge
from reloc_ros.mapping.frames import Drop
from reloc_ros.mapping.html_report import write_html
from reloc_ros.mapping.next_steps import next_steps

GOOD, COARSE, FALSE = 0.04, 0.4, 3.0


def selected(**changes: int) -> dict:
    dropped = {reason.value: 0 for reason in Drop} | {Drop[name].value: count for name, count in changes.items()}
    return {
        "images": 200,
        "without_pose": 7,
        "skipped": {"no pose around the image stamp": 7},
        "dropped": dropped,
        "jumps": 2,
        "kept": 123,
        "camera": {"model": "pinhole"},
    }


def write(folder: Path, errors_m: list[float]) -> str:
    evaluation = folder / "evaluation"
    evaluation.mkdir()
    median = float(np.median(errors_m))
    figures = {
        "median_translation_error_m": median if np.isfinite(median) else None,
        "median_rotation_error_deg": 1.5 if np.isfinite(median) else None,
        "metric": True,
        "by_condition": {"distance_from_mapping_m": [{"to": 0.12}, {"to": 0.31}]},
    }
    (evaluation / "report.json").write_text(json.dumps(figures))
    for name in ("evaluation/errors.png", "coverage.png"):
        cv2.imwrite(str(folder / name), np.zeros((4, 6, 3), dtype=np.uint8))
    write_html(
        folder / "report.html",
        title="Map of <drive> & co",
        verdict=judge(errors_m, [1.5] * len(errors_m)).as_dict(),
        evaluation=evaluation,
        coverage=folder / "coverage.png",
        selected=selected(BLURRED=11),
        facts=[("bag", "a <b>.mcap")],
        steps=["Drive again & look"],
    )
    return (folder / "report.html").read_text()


def test_usable_for_all(tmp_path: Path) -> None:
    page = write(tmp_path, [GOOD] * 50)
    assert '<div class="verdict good"><h1>Usable for: initialization and continuous localization</h1>' in page
    assert "On 50 held-out frames, up to 31.0 cm from the nearest learned camera position: median error" in page
    assert "median error 4.0 cm / 1.5 deg; 50 poses, 0 of them false (95 % sure: below 5.8 %)" in page


def test_usable_for_one_says_what_the_other_lacks(tmp_path: Path) -> None:
    page = write(tmp_path, [COARSE] * 50)
    assert '<div class="verdict some"><h1>Usable for: initialization</h1>' in page
    assert "Not for continuous localization: recall within 0.25 m and 5 deg is 0.0 %, must be at least 80.0 %" in page


@pytest.mark.parametrize("error_m", [FALSE, float("inf")])
def test_not_usable_says_why(tmp_path: Path, error_m: float) -> None:
    page = write(tmp_path, [error_m] * 50)
    assert '<div class="verdict bad"><h1>Not usable</h1><p>Because ' in page
    assert page.index("Because") < page.index("must be at most 10.0 %") < page.index("Next steps")


def test_nothing_is_loaded_and_nothing_is_taken_for_markup(tmp_path: Path) -> None:
    page = write(tmp_path, [GOOD] * 50)
    assert "http" not in page
    assert page.count('src="data:image/png;base64,') == page.count("src=") == 2
    assert "a &lt;b&gt;.mcap" in page
    assert "<drive>" not in page


def test_counts_of_what_was_dropped(tmp_path: Path) -> None:
    page = write(tmp_path, [GOOD] * 50)
    assert "<td>images in the bag</td><td>207</td>" in page
    assert "<td>blurred</td><td>11</td>" in page
    assert "<td>kept</td><td>123</td>" in page


def steps_for(errors_m: list[float], *, shortened: bool = False, off_path_m: float = 0.2, **dropped: int) -> str:
    verdict = judge(errors_m, [1.0] * len(errors_m)).as_dict()
    return "\n".join(next_steps(selected(**dropped), verdict, "/b", shortened=shortened, off_path_m=off_path_m))


def test_the_command_to_judge_another_drive_says_what_panoramas_are() -> None:
    verdict = {"uses": [], "checks": [], "frames": 50}
    for model, said in (
        ("pinhole", "--bag OTHER --fault"),
        ("equirectangular", "--bag OTHER --camera equirectangular --fault"),
    ):
        steps = next_steps({**selected(), "camera": {"model": model}}, verdict, "/b", shortened=False, off_path_m=0.1)
        assert any(said in step for step in steps)


def test_advice_follows_the_figures() -> None:
    assert steps_for([FALSE] * 50, shortened=True).startswith("Train longer")
    # What an unfinished training misses says nothing about the drive.
    assert "worst frames" in steps_for([FALSE] * 50)
    assert "worst frames" not in steps_for([FALSE] * 50, shortened=True)
    assert "Train longer" not in steps_for([GOOD] * 50, shortened=True)
    assert "jumped (found: 2)" in steps_for([GOOD] * 50, JUMP=9)
    assert "blurred" in steps_for([GOOD] * 50, BLURRED=31)
    assert "blurred" not in steps_for([GOOD] * 50, BLURRED=29)
    assert "Only 12 frames" in steps_for([GOOD] * 12)
    assert "every aisle" in steps_for([float("inf")] * 50)
    assert steps_for([FALSE] * 50, off_path_m=1.12).startswith("Held-out frames lie up to 1.1 m")
    assert "lie up to" not in steps_for([GOOD] * 50, off_path_m=1.12)
    assert steps_for([GOOD] * 50).count("\n") == 1


def test_no_bound_is_stated_where_there_is_none(tmp_path: Path) -> None:
    page = write(tmp_path, [FALSE] * 50)
    assert "50 poses, 50 of them false." in page
