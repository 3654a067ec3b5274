"""Which devices compute in bfloat16, for training and predicting alike."""

from __future__ import annotations

import torch


def computes_bf16(device: torch.device) -> bool:
    """Say whether a device has instructions for bfloat16, rather than imitating them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    abilities = "_is_avx512_bf16_supported", "_is_amx_tile_supported"
    return device.type == "cpu" and any(getattr(torch.cpu, able, bool)() for able in abilities)
