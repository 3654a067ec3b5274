"""The precision to train in."""

from __future__ import annotations

import logging

import torch

logger = logging.getLogger(__name__)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context to run a network in, for one of the values of ``PatchTrainerConfig.precision``.

    Where bf16 is asked for and the device does not compute in it, it is fp32, and the log says so.
    """
    wanted = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    if precision == "bf16" and not computes_bf16(device):
        logger.warning("%s does not compute in bf16; training in fp32", device)
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and computes_bf16(device))


def computes_bf16(device: torch.device) -> bool:
    """Say whether a device has instructions for bf16, rather than imitating them."""
    if device.type == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
