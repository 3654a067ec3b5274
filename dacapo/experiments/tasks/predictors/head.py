"""The last convolution: from the feature maps of a backbone to the channels of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture


def convolution(architecture: Architecture, num_channels: int, kernel_size: int = 1) -> torch.nn.Module:
    """Return a convolution, without padding, from what a backbone gives out to ``num_channels``."""
    kinds = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
    return kinds[architecture.dims](architecture.num_out_channels, num_channels, kernel_size)
