"""The published checkpoints that `reloc weights` knows: where they are, under which licence, and what they hash to.

Revisions on the hub are pinned, so that what is fetched today is what was fetched yesterday. A hash stands here only
where several independent projects pin the same one for the same revision; those of CLIP's vocabulary are rebuilt from
OpenAI's own file by a test. None means that it is not known here: see `fetch_weights.Origin`.
"""

from __future__ import annotations

from dataclasses import dataclass

_HUB = "https://huggingface.co"
_TORCHVISION = "https://download.pytorch.org/models"


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One file of a checkpoint.

    Args:
        name: under which it is kept.
        url: where it is published.
        size: bytes, None where unknown.
        sha256: of its content in hexadecimal digits, possibly only their beginning (torchvision puts eight into the
            file's name), None where unknown.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published checkpoint.

    Args:
        what: for people.
        licence: its name, and of what.
        licence_url: where it is stated.
        megabytes: about, for people.
        files: to fetch.
    """

    what: str
    licence: str
    licence_url: str
    megabytes: int
    files: tuple[WeightFile, ...]


def _hub(repository: str, revision: str, files: dict[str, tuple[int | None, str | None]]) -> tuple[WeightFile, ...]:
    return tuple(
        WeightFile(name=name, url=f"{_HUB}/{repository}/resolve/{revision}/{name}", size=size, sha256=sha256)
        for name, (size, sha256) in files.items()
    )


CHECKPOINTS: dict[str, Checkpoint] = {
    "dinov2-small": Checkpoint(
        what="DINOv2 ViT-S/14 image tokens, 384 channels",
        licence="Apache-2.0",
        licence_url=f"{_HUB}/facebook/dinov2-small",
        megabytes=88,
        files=_hub(
            "facebook/dinov2-small",
            "ed25f3a31f01632728cabb09d1542f84ab7b0056",
            {
                "config.json": (547, "1809f83e3bdb1609a501a610ad4a742f4fd8ae44d72ca4aa0df52d1f2ac8628d"),
                "model.safetensors": (88249960, "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
            },
        ),
    ),
    "dinov2-base": Checkpoint(
        what="DINOv2 ViT-B/14 image tokens, 768 channels",
        licence="Apache-2.0",
        licence_url=f"{_HUB}/facebook/dinov2-base",
        megabytes=346,
        files=_hub(
            "facebook/dinov2-base",
            "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
            {
                "config.json": (548, "f7ff4cfa73d2f70647dbf6950541ad25d73082d54c2e7e9bded160c7656b2a70"),
                "model.safetensors": (346345912, "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
            },
        ),
    ),
    "dinov2-with-registers-small": Checkpoint(
        what="DINOv2 ViT-S/14 with registers, image tokens, 384 channels",
        licence="Apache-2.0",
        licence_url=f"{_HUB}/facebook/dinov2-with-registers-small",
        megabytes=88,
        files=_hub(
            "facebook/dinov2-with-registers-small",
            "main",
            {"config.json": (None, None), "model.safetensors": (None, None)},
        ),
    ),
    "clip-vit-base-patch32": Checkpoint(
        what="CLIP ViT-B/32 image and text tokens, 512 channels",
        licence="MIT (OpenAI's CLIP repository; the checkpoint's page names none)",
        licence_url="https://github.com/openai/CLIP/blob/main/LICENSE",
        megabytes=607,
        files=_hub(
            "openai/clip-vit-base-patch32",
            "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
            {
                "config.json": (4186, "b575ef3c36f2a057fa19e221650105052d61cc9c1a972ec15019c6261ec98770"),
                "tokenizer_config.json": (592, "34b7336e4bee12e0a9730eaf5189f582ef3c3eea5027f65730e5717256755aad"),
                "special_tokens_map.json": (389, "f8c0d6c39aee3f8431078ef6646567b0aba7f2246e9c54b8b99d55c22b707cbf"),
                "vocab.json": (862328, "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363"),
                "merges.txt": (524657, "f526393189112391ce6f9795d4695f704121ce452c3aad1f5335cc41337eba85"),
                # This revision has no safetensors.
                "pytorch_model.bin": (605247071, "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f"),
            },
        ),
    ),
    "mobilenet-v3-large": Checkpoint(
        what="MobileNetV3 large, ImageNet, for encoder mobilenet_v3_large",
        licence="BSD-3-Clause (torchvision)",
        licence_url="https://github.com/pytorch/vision/blob/main/LICENSE",
        megabytes=22,
        files=(
            WeightFile(
                name="mobilenet_v3_large-8738ca79.pth",
                url=f"{_TORCHVISION}/mobilenet_v3_large-8738ca79.pth",
                sha256="8738ca79",
            ),
        ),
    ),
    "mobilenet-v3-small": Checkpoint(
        what="MobileNetV3 small, ImageNet, for encoder mobilenet_v3_small",
        licence="BSD-3-Clause (torchvision)",
        licence_url="https://github.com/pytorch/vision/blob/main/LICENSE",
        megabytes=10,
        files=(
            WeightFile(
                name="mobilenet_v3_small-047dcff4.pth",
                url=f"{_TORCHVISION}/mobilenet_v3_small-047dcff4.pth",
                size=10306551,
                sha256="047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
            ),
        ),
    ),
    "squeezenet1_1": Checkpoint(
        what="SqueezeNet 1.1, ImageNet, image tokens, 512 channels",
        licence="MIT (rcmalli/keras-squeezenet)",
        licence_url="https://github.com/rcmalli/keras-squeezenet",
        megabytes=3,
        files=(
            WeightFile(
                name="squeezenet1_1_imagenet_notop.h5",
                url="https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
                "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
            ),
        ),
    ),
}
