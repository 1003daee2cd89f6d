"""The camera table: from a plain description, as found in files, to a camera model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import CameraError

CAMERAS: dict[str, tuple[Callable[..., Camera], tuple[str, ...], tuple[str, ...]]] = {
    "pinhole": (PinholeCamera, ("width", "height", "K"), ("distortion_model", "distortion")),
    "equirectangular": (EquirectangularCamera, ("width", "height"), ()),
}
"""Model: its class, the keys its description must have, and those it may have."""


def camera_from_dict(description: Mapping[str, Any]) -> Camera:
    """Return the camera that `Camera.to_dict` described.

    Raises:
        CameraError: the model or a key is unknown, a key is missing, or a value is out of range.
    """
    model = description.get("model")
    if not isinstance(model, str) or model not in CAMERAS:
        raise CameraError(f"camera model {model!r} is unknown; use one of {', '.join(CAMERAS)}")
    create, required, optional = CAMERAS[model]
    given = {key: value for key, value in description.items() if key != "model"}
    missing = [key for key in required if key not in given]
    unknown = [key for key in given if key not in (*required, *optional)]
    if missing or unknown:
        raise CameraError(
            f"{model} camera has unknown keys {unknown} and lacks {missing}; "
            f"required: {', '.join(required)}; optional: {', '.join(optional) or 'none'}"
        )
    for key in ("width", "height"):
        if not isinstance(given[key], int) or isinstance(given[key], bool):
            raise CameraError(f"camera {key} is {given[key]!r}, expected a whole number of pixels")
    try:
        return create(**given)
    except TypeError as error:
        raise CameraError(f"{model} camera cannot be made of {given}: {error}") from error
