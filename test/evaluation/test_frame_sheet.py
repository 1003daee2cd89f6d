"""The contact sheet shows the right frames with their own images, heat and words."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fake_bundles import CAMERA, frame_number
from frame_results import make_result, rejected, result_with_errors

from reloc_ros.datasets.images import PosedImage
from reloc_ros.evaluation import frame_sheet as module
from reloc_ros.evaluation.frame_sheet import EACH, choose, frame_sheet
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.types import Estimate, Reason


def results_with(errors_m: list[float]) -> list[FrameResult]:
    return [result_with_errors(i, error_m, 10.0 * error_m) for i, error_m in enumerate(errors_m)]


def test_the_extremes_and_the_middle_are_chosen() -> None:
    # Error 0.01 m to 0.27 m, in an order that is not theirs; 10 is coprime to 27.
    errors = [0.01 + 0.01 * ((10 * i) % 27) for i in range(27)]
    chosen = choose(results_with(errors))
    shown = {kind: [round(100 * errors[i]) for i in getattr(chosen, kind)] for kind in ("best", "middle", "worst")}
    assert shown["best"] == [1, 2, 3, 4]
    assert sorted(shown["middle"]) == [12, 13, 14, 15] or sorted(shown["middle"]) == [13, 14, 15, 16]
    assert shown["middle"][0] == 14, "the median comes first"
    assert shown["worst"] == [27, 26, 25, 24]
    assert chosen.rejected == ()


@pytest.mark.parametrize("count", range(1, 14))
def test_no_frame_is_shown_as_two_things(count: int) -> None:
    chosen = choose(results_with([0.1 + 0.01 * i for i in range(count)]))
    shown = [*chosen.best, *chosen.middle, *chosen.worst]
    assert sorted(shown) == list(range(count)) if count <= 3 * EACH else len(shown) == 3 * EACH
    assert chosen.best[0] == 0
    assert len(chosen.best) >= len(chosen.worst)


def test_neighbours_in_time_are_not_shown_together() -> None:
    chosen = choose(results_with([0.1 + 0.001 * i for i in range(120)]))
    assert chosen.best == (0, 5, 10, 15)
    assert chosen.worst == (119, 114, 109, 104)
    assert all(abs(a - b) > 4 for a, b in pairwise(sorted(chosen.middle)))


def test_every_reason_of_rejection_comes_before_a_second_of_one() -> None:
    reasons = [Reason.TOO_UNCERTAIN] * 6 + [Reason.OUTSIDE_MAP, Reason.TOO_UNCERTAIN, Reason.DEGENERATE]
    results = [make_result(i, np.eye(4), rejected(reason)) for i, reason in enumerate(reasons)]
    assert choose(results).rejected == (0, 6, 8, 1)
    assert choose(results).best == ()


def test_each_tile_has_its_own_image_heat_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def annotate(image: np.ndarray, caption: object, cell_weights: object = None, **_: object) -> np.ndarray:
        calls.append((int(image[0, 0, 0]), caption, cell_weights))
        return image

    monkeypatch.setattr(module, "annotate", annotate)
    results = results_with([0.25, math.inf, 0.125])
    for i in (0, 2):
        estimate = results[i].localization
        assert isinstance(estimate, Estimate)
        results[i] = replace(results[i], localization=replace(estimate, cell_weights=np.full((2, 2), i), scene="hall"))
    images = [
        PosedImage(
            name=result.name,
            stamp_ns=result.stamp_ns,
            T_map_camera=result.T_map_camera,
            camera=CAMERA,
            load=lambda i=i: frame_number(i).image,
            sequence="drive",
        )
        for i, result in enumerate(results)
    ]
    # The network refuses to look at frame 2 and sees the others brighter by 100.
    picture = frame_sheet(
        results, images, lambda frame: None if frame.image[0, 0, 0] == 2 else frame.image + np.uint8(100), "m"
    )
    assert [seen for seen, _, _ in calls] == [2, 100, 101]
    assert [caption.verdict for _, caption, _ in calls] == [
        "best: off by 0.125 m, 1.25 deg",
        "worst: off by 0.250 m, 2.50 deg",
        "rejected: too_uncertain: planted",
    ]
    assert [caption.is_pose for _, caption, _ in calls] == [True, True, False]
    assert calls[1][1].notes == ("std 0.010 m, 0.57 deg; scene hall", "drive/000000.png")
    assert [None if weights is None else weights[0, 0] for _, _, weights in calls] == [2, 0, None]
    assert picture.shape[0] > 3 * CAMERA.height


def test_poses_in_another_scene_have_a_row_of_their_own() -> None:
    results = [replace(result, scene="hall") for result in results_with([0.1, 0.2])]
    strayed = results[0].localization
    assert isinstance(strayed, Estimate)
    results[1] = replace(results[1], localization=replace(strayed, scene="hall"))
    results[0] = replace(results[0], localization=replace(strayed, scene="attic"))
    chosen = choose(results)
    assert (chosen.best, chosen.worst, chosen.elsewhere, chosen.rejected) == ((1,), (), (0,), ())
