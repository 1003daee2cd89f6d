"""Annotated images for people: what the network saw, what its answer rests on, and what became of it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reloc_ros.types import Array, Estimate, Image, Localization

# Green and orange that stay apart for colour-blind readers (Okabe and Ito 2008), light enough for dark ground.
_POSE, _REJECTED, _PLAIN = (40, 200, 150), (245, 140, 60), (225, 225, 225)
_GROUND = (24, 24, 24)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.45
_LINE_PX, _MARGIN_PX = 18, 6
_DOTS = " ..."
_FILLED = 0.95
"""Of a line, so that one with many wide letters still fits."""

_OPAQUE = 0.75
"""Share of the heat map in the pixels that count most: what lies under them can still be seen."""
_LEAST_CONTRAST = 0.5
"""Of the largest weight: smaller differences are drawn as what they are, small."""
_TOP_PERCENT = 99.0
"""Cells above this percentile look alike, so that one cell with all the weight does not hide the rest."""


@dataclass(frozen=True, kw_only=True)
class Caption:
    """Text below a picture.

    Args:
        verdict: what became of the frame.
        is_pose: whether that is a pose; gives the verdict its colour.
        notes: more lines (scene, state, latency, errors).
    """

    verdict: str
    is_pose: bool
    notes: tuple[str, ...] = ()


def verdict(localization: Localization) -> str:
    """Return in a line where the camera is, or why that is not known."""
    if not isinstance(localization, Estimate):
        return f"rejected: {localization.reason.value}: {localization.detail}"
    x, y, z = localization.T_map_camera[:3, 3]
    std = np.sqrt(np.diag(localization.covariance))
    spread = f"std {np.max(std[:3]):.3f} m {np.degrees(np.max(std[3:])):.2f} deg"
    return f"pose x {x:.2f} y {y:.2f} z {z:.2f} m in {localization.map_frame}, {spread}"


def annotate(
    image: Image, caption: Caption, cell_weights: Array | None = None, *, width_px: int = 640, lines: int = 4
) -> Image:
    """Return the image with a heat map on it and the caption below.

    Every picture of images of one shape has one size: the caption has room for a fixed number of lines, and what is
    longer ends in dots.

    Args:
        image: (H, W, 3) RGB.
        caption: text.
        cell_weights: (rows, columns) what each cell of the image counted for; none draws no heat map.
        width_px: of the picture.
        lines: of the caption.
    """
    height_px = max(1, round(image.shape[0] * width_px / image.shape[1]))
    interpolation = cv2.INTER_AREA if width_px < image.shape[1] else cv2.INTER_LINEAR
    shown = np.asarray(cv2.resize(image, (width_px, height_px), interpolation=interpolation), dtype=np.uint8)
    if cell_weights is not None:
        shown = with_heat(shown, cell_weights)
    return np.concatenate([shown, _band(caption, width_px, lines)])


def with_heat(image: Image, cell_weights: Array) -> Image:
    """Return the image (H, W, 3) under a heat map of its cells; those that count least stay as they are.

    Weights that hardly differ give a faint map: a picture of what stands out must not invent it.

    Args:
        image: RGB.
        cell_weights: (rows, columns), non-negative; scale does not matter.
    """
    known = np.where(np.isfinite(cell_weights), cell_weights, 0.0)
    top = float(np.percentile(known, _TOP_PERCENT)) or float(np.max(known))
    if top <= 0.0:
        return image
    height, width = image.shape[:2]
    least = float(np.min(known))
    share = np.clip((known - least) / max(top - least, _LEAST_CONTRAST * top), 0.0, 1.0).astype(np.float32)
    # Cells have equal sizes and fill the image, as pixels do: resizing puts each value at the centre of its cell.
    heat = np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR))
    coloured_bgr = cv2.applyColorMap(np.round(255.0 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = _OPAQUE * heat[..., np.newaxis]
    mixed = (1.0 - opacity) * image + opacity * coloured_bgr[..., ::-1]
    return np.asarray(np.round(mixed), dtype=np.uint8)


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Return pictures in rows, left to right and top to bottom, on dark ground; heights and widths may differ.

    Args:
        rows: at least one picture in all.
    """
    bands = [_beside(row) for row in rows if row]
    width = max(band.shape[1] for band in bands)
    return np.concatenate([_padded(band, band.shape[0] + _MARGIN_PX, width) for band in bands])


def _beside(pictures: Sequence[Image]) -> Image:
    height = max(picture.shape[0] for picture in pictures)
    return np.concatenate([_padded(picture, height, picture.shape[1] + _MARGIN_PX) for picture in pictures], axis=1)


def _padded(picture: Image, height: int, width: int) -> Image:
    ground = np.full((height, width, 3), _GROUND, dtype=np.uint8)
    ground[: picture.shape[0], : picture.shape[1]] = picture
    return ground


def _band(caption: Caption, width: int, lines: int) -> Image:
    band = np.full((lines * _LINE_PX + 2 * _MARGIN_PX, width, 3), _GROUND, dtype=np.uint8)
    colour = _POSE if caption.is_pose else _REJECTED
    # The notes are short and always there; the verdict takes the lines they leave.
    notes = caption.notes[: lines - 1]
    texts = [(line, colour) for line in _wrapped(caption.verdict, width, lines - len(notes))]
    texts += [(line, _PLAIN) for note in notes for line in _wrapped(note, width, 1)]
    for number, (text, ink) in enumerate(texts):
        # (0, 0) of a text is its lower left corner.
        where = (_MARGIN_PX, _MARGIN_PX + _LINE_PX * (number + 1) - 5)
        cv2.putText(band, text, where, _FONT, _FONT_SCALE, ink, 1, cv2.LINE_AA)
    return band


def _wrapped(text: str, width_px: int, lines: int) -> list[str]:
    # OpenCV's letters are ASCII only, and of different widths: their mean over the text is near enough for breaking it.
    plain = text.encode("ascii", "replace").decode()
    text_px = cv2.getTextSize(plain, _FONT, _FONT_SCALE, 1)[0][0]
    letters = max(len(_DOTS) + 1, int(_FILLED * (width_px - 2 * _MARGIN_PX) * len(plain) / max(text_px, 1)))
    return textwrap.wrap(plain, letters, max_lines=lines, placeholder=_DOTS)
