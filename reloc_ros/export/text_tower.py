"""CLIP's text tower as two files of a bundle."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from reloc_ros.export.onnx import write_onnx
from reloc_ros.inference.text_tower import TEXT_MODEL, TOKENIZER
from reloc_ros.networks.text import TOKENS, ClipText


def export_text_tower(checkpoint: str | Path, scratch: Path) -> dict[str, Path]:
    """Write the tower and its tokenizer and return their paths by the names they have in a bundle.

    Args:
        checkpoint: local folder in Hugging Face's layout.
        scratch: existing folder to write to.

    Raises:
        ConfigError: the checkpoint cannot be used.
    """
    text = ClipText(checkpoint).eval()
    files = {TEXT_MODEL: scratch / TEXT_MODEL, TOKENIZER: scratch / TOKENIZER}
    inputs = {"ids": torch.zeros(1, TOKENS, dtype=torch.long), "mask": torch.ones(1, TOKENS, dtype=torch.bool)}
    write_onnx(_Pooled(text), inputs, ("feature",), files[TEXT_MODEL])
    text.save_tokenizer(files[TOKENIZER])
    return files


class _Pooled(nn.Module):
    def __init__(self, text: ClipText) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.text(ids, mask)
        # The feature at the last token, chosen by a product: TensorRT gathers by constants more gladly than by sums.
        last = mask & ~nn.functional.pad(mask[:, 1:], (0, 1))
        pooled: Tensor = (tokens * last[..., None]).sum(1)
        return pooled
