"""Pictures show the right cameras on the right side; what they look like was judged by eye."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import box_room
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.pictures import contact_sheet, coverage_figure, frusta_figure, level_frame
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.geometry import rotation, se3


@pytest.fixture(params=["pinhole", "panorama"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> PosedImages:
    camera = box_room.pinhole() if request.param == "pinhole" else box_room.panorama()
    poses = [box_room.pose(0.1 * i, 0.05 * i, 0.0, 0.1) for i in range(7)]
    return read_dataset(box_room.write_sequence(tmp_path, camera, poses))


def drawn(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("draw", [contact_sheet, frusta_figure, coverage_figure])
def test_every_picture_can_be_drawn(room: PosedImages, draw) -> None:
    pixels = drawn(draw(room))
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20


def test_the_contact_sheet_shows_the_images_in_order(room: PosedImages) -> None:
    titles = [axes.get_title() for axes in contact_sheet(room).axes if axes.get_title()]
    assert titles == [image.name[-34:] for image in room.images]


def test_positions_and_headings_from_above(room: PosedImages) -> None:
    above = coverage_figure(room).axes[0]
    assert_allclose(above.lines[0].get_xydata()[[0, -1]], [[0, 0], [0.6, 0.3]], atol=1e-9)
    arrows = above.collections[0]
    assert_allclose([arrows.U[0], arrows.V[0]], [np.cos(0.1), np.sin(0.1)], atol=1e-9)
    assert (above.get_xlabel(), above.get_ylabel()) == ("map x [m]", "map y [m]")


@pytest.mark.parametrize(
    ("rotvec", "labels"),
    [
        ((0, 0, 0), ("map x", "map y", "map z")),
        ((np.pi, 0, 0), ("map y", "map x", "map -z")),
        ((0, np.pi / 2, 0), ("map y", "map z", "map x")),
        ((-np.pi / 2, 0, 0), ("map z", "map x", "map y")),
        ((np.pi / 2, 0, 0), ("map x", "map z", "map -y")),
        ((0.7, 0.2, 0), ("across", "along", "up")),
    ],
)
def test_up_is_where_the_upper_image_edges_point(room: PosedImages, rotvec, labels: tuple[str, str, str]) -> None:
    turn = se3.from_rotation_translation(rotation.exp(rotvec), [1.0, -2.0, 3.0])
    images = tuple(replace(image, T_map_camera=turn @ image.T_map_camera) for image in room.images)
    level = level_frame(images)
    assert level.labels == labels
    assert_allclose(level.R_level_map @ level.R_level_map.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(level.R_level_map) == pytest.approx(1.0)
    assert (level.R_level_map @ images[0].T_map_camera[:3, 1])[2] == pytest.approx(-1.0)


def test_the_upper_edge_of_a_frustum_is_above_and_ahead(room: PosedImages) -> None:
    edge = np.transpose(frusta_figure(room).axes[0].lines[1].get_data_3d())
    # The first camera stands in the origin and looks along +x, turned a little to +y: left is +y.
    assert np.all(edge[:, 2] > 0)
    assert np.all(edge[:, 0] > 0)
    assert edge[0, 1] > edge[1, 1]
