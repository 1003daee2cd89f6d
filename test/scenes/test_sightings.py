"""Regions of names become stable objects with their relations."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.scenes.sightings import Sighting, place_of, relation_between, sightings_of, stable_objects

NAMES = ("sink", "window", "oven")


def image(**places: tuple[float, float]) -> dict[str, Sighting]:
    return {name: Sighting(name=name, x=x, y=y, share=0.1) for name, (x, y) in places.items()}


def test_a_region_is_the_largest_of_its_name_and_small_ones_do_not_count():
    labels = np.full((10, 20), -1)
    labels[2:6, 15:20] = 1  # 20 cells, right and a little above
    labels[9, 0:4] = 1  # a smaller window elsewhere
    labels[0, 0:3] = 2  # 3 of 200 cells: below two per cent
    (found,) = sightings_of(labels, NAMES).values()
    assert found.name == "window"
    assert (found.x, found.y, found.share) == pytest.approx((0.75, -0.2, 0.1))


@pytest.mark.parametrize(
    ("offset", "expected"),
    [((-0.5, 0.2), "left of"), ((0.5, 0.2), "right of"), ((0.2, -0.5), "above"), ((0.2, 0.5), "below")],
)
def test_relations_name_the_larger_offset_whatever_the_camera_looks_at(offset, expected):
    pans = [(-0.6, 0.1), (0.0, -0.2), (0.4, 0.3)]
    images = [image(sink=(x, y), oven=(x + offset[0], y + offset[1])) for x, y in pans]
    assert relation_between(images, "oven", "sink").relation == expected


def test_relations_that_change_with_the_view_are_only_beside():
    images = [image(sink=(0.0, 0.0), oven=(side, 0.02)) for side in (0.4, -0.4, 0.4, -0.4, 0.4)]
    assert relation_between(images, "oven", "sink").relation == "beside"


def test_things_that_no_image_shows_together_have_no_relation():
    images = [image(sink=(0.0, 0.0)), image(oven=(0.4, 0.0))]
    assert relation_between(images, "oven", "sink").relation is None


def test_panoramas_know_above_but_neither_left_nor_right():
    images = [image(sink=(0.0, 0.0), oven=(0.9, -0.3))] * 3
    assert relation_between(images, "oven", "sink", sideways=False).relation == "above"
    assert place_of(stable_objects([[image(oven=(0.9, 0.1))]])[0][0], sideways=False) == "in the middle"


def test_stable_means_seen_in_a_quarter_of_the_images_and_in_two():
    images = [image(sink=(0.0, 0.0), window=(0.5, 0.0)) for _ in range(3)] + [image(sink=(0.0, 0.0))] * 8
    images.append(image(oven=(0.0, 0.0)))
    (objects,) = stable_objects([images])
    assert [(one.name, one.images) for one in objects] == [("sink", 11), ("window", 3)]


def test_what_only_this_scene_has_comes_before_what_all_have():
    ours = [image(sink=(0.0, 0.0), window=(0.1, -0.7))] * 4
    theirs = [image(window=(0.1, 0.7))] * 4
    kitchen, other = stable_objects([ours, theirs])
    assert [one.name for one in kitchen] == ["sink", "window"]
    assert kitchen[0].score > kitchen[1].score == other[0].score
    assert place_of(kitchen[1]) == "at the top"
    assert place_of(other[0]) == "at the bottom"
