"""Both towers of a CLIP checkpoint on disk, for naming what images show."""

from __future__ import annotations

from pathlib import Path

from reloc_ros.networks.foundation import ClipImageEncoder
from reloc_ros.networks.text import ClipText
from reloc_ros.training.describe_scenes import CLIP_INPUT_PX, Clip


def load_clip(folder: Path) -> Clip:
    """Return the towers of a local checkpoint in the Hugging Face layout, in evaluation mode.

    Raises:
        ConfigError: the folder is missing, incomplete or of another family, or its patches do not divide 224 pixels.
    """
    image = ClipImageEncoder.from_folder(folder, CLIP_INPUT_PX, CLIP_INPUT_PX)
    text = ClipText(folder).eval()
    return Clip(image=image, text=text.pooled, count_tokens=text.count_tokens)
