"""Annotated images: the heat lies where the weights are, and the caption says what became of the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from frame_results import estimated, rejected

from reloc_ros.geometry import se3
from reloc_ros.localization.picture import Caption, annotate, sheet, verdict, with_heat
from reloc_ros.types import Image

GREY = np.full((48, 64, 3), 90, dtype=np.uint8)
POSE = Caption(verdict="pose x 1.00", is_pose=True, notes=("scene kitchen", "latency 7 ms"))


def changed(before: Image, after: Image) -> np.ndarray:
    return np.any(before != after, axis=2)


@pytest.mark.parametrize(("row", "column"), [(1, 1), (1, 4), (3, 2)])
def test_the_heat_lies_on_its_cell(row: int, column: int) -> None:
    weights = np.zeros((5, 6))
    weights[row, column] = 1e-3
    hot = with_heat(np.full((80, 96, 3), 90, dtype=np.uint8), weights)
    difference = np.abs(hot.astype(int) - 90).sum(axis=2)
    rows, columns = np.nonzero(difference == difference.max())
    # Cells are 16 pixels in both directions; the middle of the warmest pixels is the middle of the cell.
    assert (rows.mean(), columns.mean()) == (16 * row + 7.5, 16 * column + 7.5)
    far = np.abs(np.arange(6) - column) > 1
    assert (hot[:, np.repeat(far, 16)] == 90).all()


def test_more_weight_hides_more_of_the_image() -> None:
    colours = with_heat(GREY, np.array([[0.0, 0.3, 0.6, 1.0]]))[24, [7, 23, 40, 63]].astype(int)
    distance = np.abs(colours - 90).sum(axis=1)
    assert distance[0] == 0
    assert colours[3, 0] > colours[3, 2] + 50, "what counts is yellow, not blue"
    assert (np.diff(distance) > 0).all(), distance


def test_one_cell_with_all_the_weight_does_not_hide_the_others() -> None:
    weights = np.linspace(0.005, 0.02, 400).reshape(20, 20)
    weights[4, 5] = 100.0
    assert changed(GREY, with_heat(GREY, weights)).mean() > 0.9


def test_weights_that_hardly_differ_give_hardly_any_heat() -> None:
    almost_alike = np.linspace(0.98, 1.02, 48).reshape(6, 8)
    difference = np.abs(with_heat(GREY, almost_alike).astype(int) - GREY)
    assert difference.max() < 20


@pytest.mark.parametrize("weights", [np.zeros((3, 4)), np.full((3, 4), np.nan)])
def test_without_weight_there_is_no_heat(weights: np.ndarray) -> None:
    assert np.array_equal(with_heat(GREY, weights), GREY)


def test_the_scale_of_weights_does_not_matter() -> None:
    weights = np.random.default_rng(0).uniform(0.0, 1.0, (6, 8))
    assert np.array_equal(with_heat(GREY, weights), with_heat(GREY, 1e-6 * weights))


def test_pictures_of_one_camera_have_one_size_whatever_the_text() -> None:
    long = Caption(verdict="rejected: " + "a long story " * 50, is_pose=False)
    shapes = {annotate(GREY, caption).shape for caption in (POSE, long, Caption(verdict="", is_pose=False))}
    assert shapes == {(480 + 4 * 18 + 12, 640, 3)}


def test_the_verdict_has_the_colour_of_its_kind_and_the_notes_are_plain() -> None:
    def inks(caption: Caption) -> tuple[np.ndarray, np.ndarray]:
        band = annotate(GREY, caption)[480:].astype(int)
        first, rest = band[:24].reshape(-1, 3), band[24:].reshape(-1, 3)
        return first[np.argmax(np.ptp(first, axis=1))], np.ptp(rest, axis=1)

    good, good_notes = inks(POSE)
    bad, _ = inks(replace(POSE, is_pose=False))
    assert good[1] > good[0]
    assert bad[0] > bad[1] > bad[2]
    assert good_notes.max() == 0


def test_letters_outside_ascii_do_not_break_the_caption() -> None:
    assert annotate(GREY, Caption(verdict="rejected: Küche 厨房", is_pose=False)).shape == (564, 640, 3)


def test_verdicts() -> None:
    T_map_camera = se3.from_rotation_translation(np.eye(3), np.array([1.234, -2.0, 0.5]))
    covariance = np.diag([0.01, 0.04, 0.0, 1e-4, 0.0, 4e-4])
    found = replace(estimated(T_map_camera, covariance), map_frame="kitchen_map")
    assert verdict(found) == "pose x 1.23 y -2.00 z 0.50 m in kitchen_map, std 0.200 m 1.15 deg"
    assert verdict(rejected()) == "rejected: too_uncertain: planted"


def test_a_sheet_keeps_every_picture_in_its_place() -> None:
    tiles = [
        np.full((height, width, 3), value, dtype=np.uint8)
        for height, width, value in ((9, 5, 50), (7, 8, 60), (4, 30, 70))
    ]
    found = sheet([tiles[:2], [], tiles[2:]])
    assert [int(found[y, x, 0]) for y, x in ((8, 4), (0, 11), (6, 18), (15, 0), (18, 29))] == [50, 60, 60, 70, 70]
    assert found[9 + 5, 0, 0] == 24
