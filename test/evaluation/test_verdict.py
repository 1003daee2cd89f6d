"""The verdict turns over exactly at the limits that are written down."""

from __future__ import annotations

import json
import math

import pytest

from reloc_ros.evaluation.verdict import CONTINUOUS, INITIALIZATION, judge

GOOD = (0.04, 0.8)
USABLE = (0.4, 7.0)
FALSE = (2.5, 3.0)
TURNED = (0.1, 60.0)
NONE = (math.inf, math.inf)


def verdict_of(*parts: tuple[int, tuple[float, float]], only_position: bool = False):
    errors = [error for count, error in parts for _ in range(count)]
    return judge([m for m, _ in errors], [deg for _, deg in errors], only_position=only_position)


def test_a_good_model() -> None:
    verdict = verdict_of((95, GOOD), (5, NONE))
    assert verdict.uses == ("initialization", "continuous localization")
    assert verdict.headline() == "usable for: initialization and continuous localization"


@pytest.mark.parametrize(("bad", "uses"), [(10, 2), (11, 1), (50, 1), (51, 0)])
def test_availability(bad: int, uses: int) -> None:
    assert len(verdict_of((100 - bad, GOOD), (bad, NONE)).uses) == uses


@pytest.mark.parametrize("wrong", [FALSE, TURNED])
@pytest.mark.parametrize(("bad", "uses"), [(2, 2), (3, 1), (10, 1), (11, 0)])
def test_false_fixes(bad: int, uses: int, wrong: tuple[float, float]) -> None:
    verdict = verdict_of((100 - bad, GOOD), (bad, wrong))
    assert len(verdict.uses) == uses
    assert verdict.false_fixes == bad


def test_coarse_poses_initialize_only() -> None:
    verdict = verdict_of((100, USABLE))
    assert verdict.uses == ("initialization",)
    assert any("recall within 0.25 m and 5 deg is 0.0 %" in why for why in verdict.missed(CONTINUOUS.name))


def test_few_frames_are_no_proof() -> None:
    assert verdict_of((39, GOOD)).uses == ("initialization",)
    verdict = verdict_of((19, GOOD))
    assert verdict.headline() == "not usable, because number of frames is 19, must be at least 20"


def test_no_pose_at_all() -> None:
    verdict = verdict_of((30, NONE))
    assert not verdict.usable
    assert (
        verdict.missed(INITIALIZATION.name)[-1] == "false-fix rate is undefined without poses, must be at most 10.0 %"
    )
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["false_fix_rate_below"] == 1.0


def test_positions_alone() -> None:
    assert not verdict_of((60, TURNED)).usable
    verdict = verdict_of((60, TURNED), only_position=True)
    assert verdict.uses == ("initialization", "continuous localization")
    assert not any("deg" in check.figure for check in verdict.checks)


def test_certainty_about_false_fixes() -> None:
    # The rule of three: nothing seen in n leaves about 3 / n.
    assert verdict_of((100, GOOD)).most_false_fixes() == pytest.approx(0.0295, abs=1e-4)
    assert verdict_of((95, GOOD), (5, FALSE)).most_false_fixes() == pytest.approx(0.1023, abs=1e-4)
