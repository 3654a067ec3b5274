"""Networks that were written without DaCapo."""

from __future__ import annotations

import re

from torch import nn

from dacapo.errors import InvalidConfig

from . import networks
from .architecture import Architecture
from .configs import WrappedArchitectureConfig


class WrappedArchitecture(Architecture):
    """What a class or function of somebody else makes, with the weights that it has then."""

    config: WrappedArchitectureConfig

    def module(self) -> nn.Module:
        """Make the network."""
        config = self.config
        try:
            make = networks.load(config.factory)
        except InvalidConfig as error:
            config.refuse("factory", str(error))
        try:
            module = make(**config.arguments)
        except TypeError as error:
            config.refuse("arguments", f"{config.factory} does not take them: {error}")
        if not isinstance(module, nn.Module):
            config.refuse("factory", f"makes a {type(module).__name__}, and should make a torch.nn.Module")
        if config.trainable_parameters is not None:
            self._train_only(module, config.trainable_parameters)
        return module

    def _train_only(self, module: nn.Module, pattern: str) -> None:
        chosen = {name for name, _ in module.named_parameters() if re.search(pattern, name)}
        if not chosen:
            names = [name for name, _ in module.named_parameters()]
            self.config.refuse("trainable_parameters", f"is found in no name; there are {', '.join(names)}")
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in chosen)
