"""From light to pixels: exposure, white balance, noise and the rest of a cheap camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.mesh import Floats
from reloc_ros.types import Image

TARGET_LEVEL = 0.25
"""Mean linear level that automatic exposure aims at."""
GRAIN_STD = float(np.sqrt((256**2 - 1) / 6))
"""Of the sum of two evenly distributed bytes."""


@dataclass(frozen=True)
class CameraLook:
    """How a camera turns light into pixels.

    Args:
        exposure: factor on top of automatic exposure.
        white_balance: factors of red, green and blue.
        gamma: exponent on top of the display curve.
        noise: standard deviation of the pixel noise, grey levels.
        vignette: share of the light lost in the corners.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    noise: float = 0.0
    vignette: float = 0.0

    @classmethod
    def random(cls, rng: Generator) -> CameraLook:
        """Return a look such as another camera or another hour would have."""
        return cls(
            exposure=float(2.0 ** (0.9 * rng.random() - 0.45)),
            white_balance=(float(0.94 + 0.12 * rng.random()), 1.0, float(0.94 + 0.12 * rng.random())),
            gamma=float(0.92 + 0.16 * rng.random()),
            noise=float(0.5 + 2.5 * rng.random()),
            vignette=float(0.25 * rng.random()),
        )


def develop(light: Floats, look: CameraLook, rng: Generator | None = None) -> Image:
    """Return the (H, W, 3) uint8 picture of linear light (H, W, 3); `rng` draws the noise."""
    height, width, _ = light.shape
    # Automatic exposure follows the median of the green channel, so that one bright window does not blacken the room.
    level = 0.5 * float(np.median(light[::4, ::4, 1])) + 0.5 * float(np.mean(np.minimum(light[::4, ::4, 1], 1.0)))
    gain = look.exposure * TARGET_LEVEL / max(level, 0.02)
    picture = light * (gain * np.asarray(look.white_balance, np.float32)).astype(np.float32)
    if look.vignette > 0:
        v = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
        u = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
        picture *= 1 - np.float32(look.vignette * 0.5) * (u * u + v * v)
    # Shoulder: highlights bend over instead of clipping (Reinhard et al. 2002, eq. 4 with white at 4).
    picture = picture * (1 + picture / np.float32(16.0)) / (1 + picture * np.float32(0.75))
    pixels = np.clip(picture, 0, 1) ** np.float32(0.5 * look.gamma) * np.float32(255.0)
    if look.noise > 0 and rng is not None:
        pixels += _grain(rng, pixels.shape) * np.float32(look.noise)
    return np.asarray(np.clip(pixels + np.float32(0.5), 0, 255), np.uint8)


def _grain(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Return noise of mean 0 and standard deviation 1: the sum of two random bytes, much faster than a normal one."""
    count = int(np.prod(shape))
    pair = np.frombuffer(rng.bytes(2 * count), np.uint8).reshape(2, *shape).astype(np.float32)
    return np.asarray((pair[0] + pair[1] - 255.0) * np.float32(1 / GRAIN_STD), np.float32)
