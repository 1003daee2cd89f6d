"""Images of the place in a bundle, to compare poses on: there by its owner's wish alone."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import BundleError

CALIBRATION_NAME = "calibration.npz"


def write_calibration(images: NDArray[np.uint8], path: Path) -> None:
    """Write (M, H, W, channels) images of the network's size, compressed without loss."""
    with path.open("wb") as file:
        np.savez_compressed(file, images=images)


def read_calibration(bundle: Bundle) -> NDArray[np.uint8] | None:
    """Return the (M, H, W, channels) images of the place that a verified bundle holds; None if it holds none.

    Raises:
        BundleError: the file is none of images of the network's size.
    """
    if CALIBRATION_NAME not in bundle.manifest.files:
        return None
    path = bundle.path / CALIBRATION_NAME
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images: NDArray[np.uint8] = arrays["images"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} holds no array 'images' ({error}); write it with `reloc export`") from error
    wanted = bundle.manifest.input.shape[1:]
    if images.dtype != np.uint8 or images.shape[1:] != wanted or not len(images):
        raise BundleError(
            f"{path} holds {images.dtype} of shape {images.shape}, expected uint8 images of {wanted}; write it with "
            "`reloc export`"
        )
    return images
