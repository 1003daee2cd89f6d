"""A tiny random CLIP in the true layout whose tokens are single letters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch


def write_clip(folder: Path) -> None:
    """Write a checkpoint with both towers and the tokenizer; skips where `transformers` is missing."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: train)")
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [*map(chr, printable), *(chr(256 + i) for i in range(256 - len(printable)))]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    torch.manual_seed(2)
    shape = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**shape, "vocab_size": len(ids), "bos_token_id": len(ids) - 2, "eos_token_id": len(ids) - 1}
    vision = {**shape, "image_size": 224, "patch_size": 32}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)
