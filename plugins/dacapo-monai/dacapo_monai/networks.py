"""Building MONAI's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import monai.networks.nets
import torch

from dacapo.errors import InvalidConfig
from dacapo.experiments.architectures import Architecture

if TYPE_CHECKING:
    from .configs import MonaiArchitectureConfig


class MonaiArchitecture(Architecture):
    """A network of MONAI, made with the arguments of its config."""

    config: MonaiArchitectureConfig

    def module(self) -> torch.nn.Module:
        """Make a new network; ``InvalidConfig`` if MONAI refuses the arguments."""
        config = self.config
        try:
            network = getattr(monai.networks.nets, config.network)(**config.constructor_arguments)
        except Exception as error:
            raise InvalidConfig(
                f"{type(config).__name__} {config.name!r}: MONAI's {config.network} does not take its "
                f"arguments: {error}; they are {config.constructor_arguments}"
            ) from error
        return Finest(network)


class Finest(torch.nn.Module):
    """Gives out the finest of several outputs, and in training all of them, finest first."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, raw: torch.Tensor) -> Any:
        """Return feature maps (batch, channels, spatial...), or a tuple of them."""
        outputs = self.network(raw)
        if isinstance(outputs, torch.Tensor) and outputs.dim() > raw.dim():
            outputs = outputs.unbind(1)  # DynUNet stacks them behind the batch
        if isinstance(outputs, torch.Tensor):
            return outputs
        # Of several of one size the last is that which has seen most: so it is in nested U-Nets.
        order = sorted(range(len(outputs)), key=lambda at: (-outputs[at].shape[2:].numel(), -at))
        ordered = tuple(outputs[at] for at in order)
        return ordered if self.training and len(ordered) > 1 else ordered[0]
