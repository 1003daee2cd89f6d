"""How square patches tile an image."""

from __future__ import annotations

from reloc_ros.errors import ConfigError


def patch_grid(patch_px: int, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of square patches that fill an image.

    Raises:
        ConfigError: they do not fill it.
    """
    if height % patch_px or width % patch_px:
        raise ConfigError(
            f"input is {width}x{height} px and the encoder's patches are {patch_px} px; give input.width and "
            f"input.height as multiples of {patch_px}"
        )
    return height // patch_px, width // patch_px
