"""What a training run does to its images: the size the network sees, and the random views and light."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from reloc_ros.errors import ConfigError

_SMALLEST_SIDE_PX = 64
_LARGEST_SIDE_PX = 1024


def require(condition: object, found: str, expected: str) -> None:
    """Raise a ConfigError that says what was found and what was expected, unless the condition holds."""
    if not condition:
        raise ConfigError(f"{found}; expected {expected}")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Size of the image that the network sees.

    Args:
        width: pixels, a multiple of the encoder's step; None follows the shape of the data set's images.
        height: likewise; both or neither.
        pixels: about how many pixels the image has when the size follows the data set.
    """

    width: int | None = None
    height: int | None = None
    pixels: int = 256 * 192

    def __post_init__(self) -> None:
        require(
            (self.width is None) == (self.height is None),
            "only one of input.width and input.height is given",
            "both or none",
        )
        for name in ("width", "height"):
            value = getattr(self, name)
            require(
                value is None or value >= _SMALLEST_SIDE_PX, f"input.{name} is {value}", f"at least {_SMALLEST_SIDE_PX}"
            )
        require(
            self.pixels >= _SMALLEST_SIDE_PX**2, f"input.pixels is {self.pixels}", f"at least {_SMALLEST_SIDE_PX**2}"
        )

    def size_for(self, width: int, height: int, step_px: int) -> tuple[int, int]:
        """Return width and height of the network's image.

        Args:
            width: of the data set's images, pixels.
            height: of them.
            step_px: both sides must be multiples of it: the encoder's patch or deepest stride.

        Raises:
            ConfigError: a side that the configuration names is no multiple of the step.
        """
        if self.width is not None and self.height is not None:
            for name, side in (("width", self.width), ("height", self.height)):
                require(
                    side % step_px == 0,
                    f"input.{name} is {side}",
                    f"a multiple of {step_px}, the encoder's step, such as {max(1, side // step_px) * step_px}",
                )
            return self.width, self.height
        steps = range(-(-_SMALLEST_SIDE_PX // step_px) * step_px, _LARGEST_SIDE_PX + 1, step_px)

        def cost(size: tuple[int, int]) -> float:
            # A wrong shape costs view at the border, a wrong area only time: the shape counts four times.
            shape = abs(math.log(size[0] / size[1] * height / width))
            return 4 * shape + abs(math.log(size[0] * size[1] / self.pixels))

        return min(((w, h) for w in steps for h in steps), key=cost)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random views and light; the camera's rays move along with the pixels.

    Args:
        rotation_deg: largest in-plane rotation, to either side.
        log_zoom: largest logarithm of the zoom, in or out.
        shift: largest shift of the image centre, fraction of the image size.
        brightness, contrast, saturation, white_balance: largest relative change.
        noise: largest standard deviation of added noise, grey levels of 255.
        erase: probability of each of two random rectangles to be painted over.
    """

    rotation_deg: float = 25.0
    log_zoom: float = 0.35
    shift: float = 0.05
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.4
    white_balance: float = 0.07
    noise: float = 6.0
    erase: float = 0.6

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            require(value >= 0, f"augment.{entry.name} is {value}", "0 or more")
