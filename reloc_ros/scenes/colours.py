"""Names of colours: CIELAB to the words that people use for surfaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GREY_CHROMA = 9.0  # below this people speak of grey under indoor light
BLACK_CHROMA = 18.0  # below this what is very dark is black
PALE_CHROMA = 24.0  # below this warm colours are beige or brown, not orange
DARK, LIGHT = 38.0, 68.0  # of the lightness 0..100
_GREYS = ((18.0, "black"), (40.0, "dark grey"), (62.0, "grey"), (82.0, "light grey"), (101.0, "white"))
_HUES_DEG = (
    *((15.0, "pink"), (48.0, "red"), (75.0, "orange"), (108.0, "yellow"), (175.0, "green"), (225.0, "turquoise")),
    *((305.0, "blue"), (335.0, "purple"), (361.0, "pink")),
)
_WARM = ("orange", "yellow")

COLOURS = (
    *(name for _, name in _GREYS),
    *(f"{shade}{name}" for name in dict.fromkeys(hue for _, hue in _HUES_DEG) for shade in ("dark ", "", "light ")),
    *("brown", "dark brown", "beige"),
)
"""Every name that `colour_indices` can give."""


def colour_indices(lab: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the index into COLOURS of each CIELAB colour (..., 3): L in 0..100, a and b about -127..127."""
    lightness, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    chroma = np.hypot(a, b)
    hue_deg = np.degrees(np.arctan2(b, a)) % 360.0
    greys = np.searchsorted([limit for limit, _ in _GREYS], lightness, side="right").clip(0, len(_GREYS) - 1)
    hues = np.searchsorted([limit for limit, _ in _HUES_DEG], hue_deg, side="right")
    shades = (lightness >= DARK).astype(np.int64) + (lightness >= LIGHT)
    hue_names = np.array([name for _, name in _HUES_DEG])[hues]
    shade_names = np.array(["dark ", "", "light "])[shades]
    names = np.char.add(shade_names, hue_names)
    warm = np.isin(hue_names, _WARM)
    earthy = np.array(["dark brown", "brown", "beige"])[shades]
    names = np.where(warm & ((chroma < PALE_CHROMA) | (shades == 0)), earthy, names)
    # Strong orange of middle lightness is wood to people.
    names = np.where((hue_names == "orange") & (chroma < 2.0 * PALE_CHROMA) & (shades == 1), "brown", names)
    names = np.where(chroma < GREY_CHROMA, np.array([name for _, name in _GREYS])[greys], names)
    names = np.where((lightness < _GREYS[0][0]) & (chroma < BLACK_CHROMA), "black", names)
    order = np.argsort(COLOURS)
    return np.asarray(order[np.searchsorted(np.array(COLOURS)[order], names)], dtype=np.int64)
