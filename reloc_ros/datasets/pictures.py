"""Pictures of a data set: what the cameras saw, where they stood and which way they looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.types import Array

_COLUMNS, _ROWS = 6, 4
_THUMBNAIL_PX = 320
_FRUSTA = 80
_ARROWS = 300
_HEADING_BINS = 36
# A map axis within 18 degrees of what the cameras call up is up.
_SNAP_COSINE = 0.95
_FRUSTUM_SHARE = 0.06
_AXIS_NAMES = ("x", "y", "z")
# Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
_UPPER_EDGE = "#000000"


@dataclass(frozen=True)
class Level:
    """(3, 3) rows right, forward and up of a level frame in the map, and the names of its axes."""

    R_level_map: Array
    labels: tuple[str, str, str]


def contact_sheet(dataset: PosedImages) -> Figure:
    """Return images spread evenly over the data set, in its order.

    Raises:
        DatasetError: an image cannot be read.
    """
    shown = _spread(dataset.images, _COLUMNS * _ROWS)
    rows = math.ceil(len(shown) / _COLUMNS)
    aspect = shown[0].camera.height / shown[0].camera.width
    figure = Figure(figsize=(2.6 * _COLUMNS, rows * (2.5 * aspect + 0.3) + 0.5), layout="constrained")
    figure.suptitle(f"{dataset.name}: {len(shown)} of {len(dataset)} images; {len(dataset.skipped)} skipped")
    for axes, image in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat, shown, strict=False):
        picture = image.frame().image
        shrink = min(1.0, _THUMBNAIL_PX / max(picture.shape[:2]))
        axes.imshow(cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
        axes.set_title(image.name[-34:], fontsize=7)
    for axes in figure.axes:
        axes.set_axis_off()
    return figure


def frusta_figure(dataset: PosedImages) -> Figure:
    """Return camera frusta in 3-D, upper image edges in black; a panorama is drawn as a frustum ahead."""
    level = level_frame(dataset.images)
    positions = _positions(dataset.images, level)
    size = _FRUSTUM_SHARE * max(float(np.linalg.norm(np.ptp(positions, axis=0))), 1e-9)
    colours = _colours(dataset.images)
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.add_subplot(projection="3d")
    for image in _spread(dataset.images, _FRUSTA):
        apex = level.R_level_map @ image.T_map_camera[:3, 3]
        corners = apex + size * _corner_rays(image.camera) @ (level.R_level_map @ image.T_map_camera[:3, :3]).T
        top_left, top_right, bottom_right, bottom_left = corners
        lift_pen = np.full(3, np.nan)
        sides = [
            top_right,
            bottom_right,
            bottom_left,
            top_left,
            apex,
            top_right,
            lift_pen,
            bottom_right,
            apex,
            bottom_left,
        ]
        axes.plot(*np.array(sides).T, color=colours[image.sequence], linewidth=0.7)
        axes.plot(*corners[:2].T, color=_UPPER_EDGE, linewidth=1.4)
    low, high = positions.min(axis=0) - 1.2 * size, positions.max(axis=0) + 1.2 * size
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low)
    unit = _unit(dataset)
    axes.set(**{f"{axis}label": f"{label} [{unit}]" for axis, label in zip(_AXIS_NAMES, level.labels, strict=True)})
    axes.set_title(f"{dataset.name}: cameras, upper image edges in black")
    return figure


def coverage_figure(dataset: PosedImages) -> Figure:
    """Return positions and headings seen from above, and how many images look each way."""
    level = level_frame(dataset.images)
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(2.2, 1))
    above = figure.add_subplot(grid[0])
    _plot_from_above(above, dataset, level)
    headings = figure.add_subplot(grid[1], projection="polar")
    forward = np.array([level.R_level_map @ image.T_map_camera[:3, 2] for image in dataset.images])
    counts, edges = np.histogram(
        np.arctan2(forward[:, 1], forward[:, 0]), bins=_HEADING_BINS, range=(-math.pi, math.pi)
    )
    headings.bar(edges[:-1], counts, width=2 * math.pi / _HEADING_BINS, align="edge", color=_COLOURS[0])
    headings.set_title("images by heading (0 deg points right)")
    return figure


def level_frame(images: Sequence[PosedImage]) -> Level:
    """Return the frame whose up is where the upper image edges point on average: a map axis, if one is near."""
    above = -np.mean([image.T_map_camera[:3, 1] for image in images], axis=0)
    size = float(np.linalg.norm(above))
    up = above / size if size > 0.0 else np.array([0.0, 0.0, 1.0])
    axis = int(np.argmax(np.abs(up)))
    sign = math.copysign(1.0, up[axis])
    if abs(up[axis]) < _SNAP_COSINE:
        # Any direction across will do; the map axis furthest from up gives a well-conditioned one.
        right = np.cross(np.eye(3)[int(np.argmin(np.abs(up)))], up)
        right /= np.linalg.norm(right)
        return Level(np.stack([right, np.cross(up, right), up]), ("across", "along", "up"))
    rows = [np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3], sign * np.eye(3)[axis]]
    names = [_AXIS_NAMES[(axis + 1) % 3], _AXIS_NAMES[(axis + 2) % 3]]
    if sign < 0.0:
        rows[:2], names = rows[1::-1], names[::-1]
    label = f"{'' if sign > 0 else '-'}{_AXIS_NAMES[axis]}"
    return Level(np.stack(rows), (f"map {names[0]}", f"map {names[1]}", f"map {label}"))


def _plot_from_above(axes: Axes, dataset: PosedImages, level: Level) -> None:
    positions = _positions(dataset.images, level)
    colours = _colours(dataset.images)
    for sequence, colour in colours.items():
        of_it = np.array([image.sequence == sequence for image in dataset.images])
        axes.plot(*positions[of_it, :2].T, ".", color=colour, markersize=3, label=f"{sequence} ({of_it.sum()})")
    arrows = _spread(dataset.images, _ARROWS)
    starts = _positions(arrows, level)
    forward = np.array([level.R_level_map @ image.T_map_camera[:3, 2] for image in arrows])
    axes.quiver(
        *starts[:, :2].T, *forward[:, :2].T, color=[colours[image.sequence] for image in arrows], width=0.002, scale=30
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel=f"{level.labels[0]} [{_unit(dataset)}]", ylabel=f"{level.labels[1]} [{_unit(dataset)}]")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    extent = " x ".join(f"{side:.3g}" for side in np.ptp(positions, axis=0))
    axes.set_title(f"{dataset.name} from above: {len(dataset)} images in {extent} {_unit(dataset)}")


def _positions(images: Sequence[PosedImage], level: Level) -> Array:
    return np.array([level.R_level_map @ image.T_map_camera[:3, 3] for image in images])


def _corner_rays(camera: Camera) -> Array:
    """Return (4, 3) rays of unit depth: top left, top right, bottom right, bottom left."""
    if camera.model == "equirectangular":
        return np.array([[-0.5, -0.4, 1.0], [0.5, -0.4, 1.0], [0.5, 0.4, 1.0], [-0.5, 0.4, 1.0]])
    width, height = camera.width - 1.0, camera.height - 1.0
    rays = camera.rays(np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]))
    # A fisheye's corners may look sideways or back; such a ray keeps its unit length.
    return np.asarray(rays / np.where(rays[:, 2:] > 0.3, rays[:, 2:], 1.0))


def _colours(images: Sequence[PosedImage]) -> dict[str, str]:
    sequences = dict.fromkeys(image.sequence for image in images)
    return {sequence: _COLOURS[index % len(_COLOURS)] for index, sequence in enumerate(sequences)}


def _spread(images: Sequence[PosedImage], count: int) -> list[PosedImage]:
    indices = np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))
    return [images[index] for index in indices]


def _unit(dataset: PosedImages) -> str:
    return "m" if dataset.metric else "scene units"
