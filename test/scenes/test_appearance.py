"""Colours and textures in words."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reloc_ros.scenes.appearance import NAMES, colour_of, name_cells, spoken
from reloc_ros.scenes.colours import COLOURS, colour_indices
from reloc_ros.scenes.sightings import SceneObject


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((250, 250, 248), "white"),
        ((190, 190, 190), "light grey"),
        ((128, 128, 128), "grey"),
        ((70, 70, 72), "dark grey"),
        ((12, 12, 14), "black"),
        ((220, 20, 25), "red"),
        ((110, 15, 20), "dark red"),
        ((255, 140, 0), "light orange"),
        ((130, 85, 45), "brown"),
        ((70, 45, 20), "dark brown"),
        ((222, 205, 180), "beige"),
        ((250, 235, 30), "light yellow"),
        ((30, 150, 50), "green"),
        ((15, 70, 25), "dark green"),
        ((20, 160, 160), "turquoise"),
        ((40, 90, 200), "blue"),
        ((20, 30, 90), "dark blue"),
        ((150, 70, 190), "purple"),
        ((245, 160, 190), "light pink"),
    ],
)
def test_colours_have_the_names_people_use(rgb, name):
    lab = cv2.cvtColor(np.array([[rgb]], np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    assert COLOURS[int(colour_indices(lab)[0, 0])] == name


def test_every_colour_of_the_cube_has_a_name():
    levels = np.linspace(0.0, 1.0, 12, dtype=np.float32)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    indices = colour_indices(cv2.cvtColor(cube, cv2.COLOR_RGB2LAB))
    assert indices.min() >= 0
    assert indices.max() < len(COLOURS)


def test_cells_have_colour_and_texture_and_lie_where_the_image_has_them():
    image = np.full((120, 240, 3), 250, np.uint8)
    image[60:, :120] = (220, 20, 25)
    noise = np.random.default_rng(0).integers(0, 2, (60, 120, 1)).repeat(3, axis=2)
    image[60:, 120:] = 90 + 80 * noise
    cells = name_cells(image)
    assert cells.shape == (12, 24)
    corners = cells[[2, -2, -2], [2, 2, -2]]
    assert [NAMES[index] for index in corners] == ["white", "red", "textured grey"]


@pytest.mark.parametrize(
    ("share", "name"),
    [(0.3, "large dark red area"), (0.08, "dark red area"), (0.03, "small dark red patch")],
)
def test_regions_are_spoken_of_with_their_size(share, name):
    region = SceneObject(name="dark red", score=1.0, images=3, x=0.0, y=0.0, share=share)
    assert spoken(region).name == name
    assert colour_of(region.name) == colour_of("textured dark red") == "dark red"
