"""The precision and the memory format to train in."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from dacapo.experiments.bf16 import computes_bf16

logger = logging.getLogger(__name__)

# Beyond it the gradient of a 3D convolution in bf16 writes where it should not, on an Intel Xeon with AMX and
# torch 2.13: slices of 128 x 64 voxels and of 96 x 96 crashed within six steps, those of 80 x 80 never.
LARGEST_SLICE = 80 * 80


def is_mixed(precision: str, device: torch.device, patch: Sequence[int] = ()) -> bool:
    """Say whether to train in bf16 mixed with fp32, for a value of ``PatchTrainerConfig.precision``.

    Where bf16 is asked for and the device does not compute in it, or not for a ``patch`` of so many
    voxels along each axis, it is fp32, and the log says so.
    """
    able, why = computes_bf16(device), "does not compute in bf16"
    if able and device.type == "cpu" and len(patch) == 3 and patch[1] * patch[2] > LARGEST_SLICE:
        able, why = False, f"is not trusted with gradients in bf16 of slices beyond {LARGEST_SLICE} voxels"
    if precision == "bf16" and not able:
        logger.warning("%s %s; training in fp32", device, why)
    return able and (precision == "bf16" or (precision == "auto" and device.type == "cuda"))


def lay_out(model: torch.nn.Module, device: torch.device, mixed: bool) -> torch.memory_format:
    """Bring weights into the memory format in which convolutions are fast, and return it.

    Channels last: measured, a training step takes 25 % less CPU time in fp32 and half in bf16; on
    GPUs it gains in bf16 only.
    """
    dims = max((parameter.ndim for parameter in model.parameters()), default=0)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if dims not in formats or (device.type == "cuda" and not mixed):
        return torch.contiguous_format
    for parameter in model.parameters():
        if parameter.ndim == dims:
            parameter.data = parameter.data.contiguous(memory_format=formats[dims])
    return formats[dims]
