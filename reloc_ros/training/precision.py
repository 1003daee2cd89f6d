"""Which type a device computes activations in."""

from __future__ import annotations

from typing import Any

import torch


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of the network's activations; `auto` takes bfloat16 where the device computes in it."""
    if name != "auto":
        return getattr(torch, name)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if native else torch.float32
