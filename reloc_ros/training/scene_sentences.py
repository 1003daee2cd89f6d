"""What is said about the scenes of a run, and its features: from a file that people wrote, or written from the images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.splits import split_images
from reloc_ros.networks.mvl_loc import Sentences
from reloc_ros.networks.text import ClipText, TextEncoder, WordText
from reloc_ros.scenes.descriptions import merge, read_descriptions, write_descriptions
from reloc_ros.scenes.words import STOP_WORDS, raw_words
from reloc_ros.training.clip_towers import load_clip
from reloc_ros.training.config import MvlLocConfig
from reloc_ros.training.describe_scenes import describe_scenes
from reloc_ros.training.distributed import World

SCENES_FILE = "scenes.yaml"


def create_text_encoder(config: MvlLocConfig) -> TextEncoder:
    """Return CLIP's text tower, if the configuration names a checkpoint, or one of ours that trains along.

    Raises:
        ConfigError: the checkpoint cannot be used.
    """
    folder = config.descriptions.clip
    return WordText(config.text) if folder is None else ClipText(folder).eval()


def sentences_of(
    datasets: Mapping[str, PosedImages], out: Path, config: MvlLocConfig, world: World, encoder: TextEncoder
) -> dict[str, str]:
    """Return the description of each scene by name, in their order.

    Without a file they are written from the training images into the run folder, where people may edit them: what was
    edited stays, and counts when the run is started again.

    Args:
        datasets: images of each scene.
        out: run folder.
        config: of the run.
        world: the processes that train together; the first one writes.
        encoder: decides how long a sentence is.

    Raises:
        ConfigError: a scene has no description, or one that is empty or too long.
    """
    path = out / SCENES_FILE if config.descriptions.file is None else Path(config.descriptions.file)
    if config.descriptions.file is None:
        if world.leads:
            _write(datasets, path, config)
        world.wait()
    described = read_descriptions(path, count_tokens=encoder.count_tokens)
    return {scene.name: scene.description for scene in described.select(datasets)}


def _write(datasets: Mapping[str, PosedImages], path: Path, config: MvlLocConfig) -> None:
    folder = config.descriptions.clip
    images = {name: split_images(dataset, "train", config.split).images for name, dataset in datasets.items()}
    clip = None if folder is None else load_clip(Path(folder))
    new = describe_scenes(images, level=config.descriptions.level, clip=clip)
    write_descriptions(path, merge(new, read_descriptions(path)) if path.is_file() else new)


def encode_sentences(sentences: Mapping[str, str], encoder: TextEncoder) -> Sentences:
    """Return the token features of descriptions: constants of a frozen tower, else made anew at each step.

    Raises:
        ConfigError: a description has no word, or more tokens than the encoder takes.
    """
    texts = list(sentences.values())
    ids, full = encoder.tokenize(texts)
    used = int(full.sum(1).max())
    mask = full[:, :used]
    content = torch.stack([_content(encoder, text, row) for text, row in zip(texts, ids[:, :used], strict=True)]) & mask
    if isinstance(encoder, ClipText):
        with torch.inference_mode():
            tokens = encoder(ids, full)[:, :used]
        return Sentences(tokens.clone(), mask, content)
    return Sentences(torch.zeros(*mask.shape, encoder.channels), mask, content, encoder, ids)


def _content(encoder: TextEncoder, text: str, ids: torch.Tensor) -> torch.Tensor:
    """Return which tokens (L,) belong to words that tell something; to any word where none does."""
    words = raw_words(text)
    telling = [word for word in words if word not in STOP_WORDS] or words
    known = {token for word in telling for token in encoder.token_ids(word)[1:-1]}
    return torch.isin(ids, torch.tensor(sorted(known)))
