"""The networks of packages, and their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from bioimageio.core.backends.pytorch_backend import load_torch_model
from bioimageio.spec.model import v0_5

from dacapo.errors import CorruptData, InvalidConfig, NotFound, ShapeError
from dacapo.experiments.architectures import Architecture
from dacapo.experiments.starts import InitialWeights, Start
from dacapo.options import Options

from . import rebuilding
from .description import ZooModel

if TYPE_CHECKING:
    from .configs import ModelZooConfig, ModelZooStartConfig


class ModelZooArchitecture(Architecture):
    """The network of a model of the zoo, with the weights that it has there."""

    config: ModelZooConfig

    def module(self) -> torch.nn.Module:
        """Return the network: one tensor in, one out, the same in training and in eval mode."""
        network = AsDescribed(_network(self.config.zoo_model))
        pattern = self.config.trainable_layers
        if pattern is not None:
            names = [name for name, _ in network.named_parameters()]
            chosen = {name for name in names if re.search(pattern, name)}
            if not chosen:
                raise InvalidConfig(
                    f"ModelZooConfig {self.name!r}: trainable_layers = {pattern!r} is found in no name, so "
                    f"nothing would be trained; there are {', '.join(names[:6])} ..."
                )
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name in chosen)
        return network


class ModelZooStart(Start):
    """The weights of a model of the zoo, to begin a run with."""

    config: ModelZooStartConfig

    @property
    def whose(self) -> str:
        """Whose weights they are, for messages."""
        return f"the weights of {self.config.model_id}"

    def bring(self) -> InitialWeights:
        """Return its tensors, and the labels of its channels if DaCapo exported it."""
        model = ZooModel.of(self.config.model_id)
        weights = model.descr.weights.pytorch_state_dict
        if weights is None:
            raise NotFound(
                f"the model {model.source} has no pytorch_state_dict, so no weights to begin with; use it as "
                "an architecture: ModelZooConfig"
            )
        return InitialWeights(_tensors(model, weights), model.labels)


class AsDescribed(torch.nn.Module):
    """Gives out what the description says, in training too: a head on it learns from what it will see."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Return the output (batch, channels, spatial...)."""
        output: Any = self.network(raw)
        activation = getattr(self.network, "eval_activation", None)
        if activation is not None and self.network.training:
            output = activation(output)
        if isinstance(output, tuple | list) and len(output) == 1:
            output = output[0]
        if not isinstance(output, torch.Tensor):
            raise ShapeError(f"the network gives out {type(output).__name__}, where one tensor is described")
        return output


def _network(model: ZooModel) -> torch.nn.Module:
    weights = model.descr.weights
    state, script = weights.pytorch_state_dict, weights.torchscript
    if state is not None and rebuilding.is_ours(state.architecture):
        network = rebuilding.model(**state.architecture.kwargs)
        network.load_state_dict(_tensors(model, state))
        return network
    if state is not None and model.source in Options.instance().allow_imports:
        return _with_code(model, state)
    if script is not None:
        return torch.jit.load(str(model.file(script)), map_location="cpu")
    if state is not None:
        named = getattr(state.architecture, "source", None) or getattr(state.architecture, "import_from", "")
        raise InvalidConfig(
            f"the model {model.source} is made by Python code, {named}; look at it, and if you trust it put  "
            f"allow_imports: ['{model.source}']  into dacapo.yaml"
        )
    there = ", ".join(str(name) for name in weights.available_formats)
    raise InvalidConfig(
        f"the model {model.source} has weights as {there}; DaCapo trains pytorch_state_dict and torchscript"
    )


def _with_code(model: ZooModel, state: v0_5.PytorchStateDictWeightsDescr) -> torch.nn.Module:
    """Run the code that makes the network, which whoever builds it has allowed, outside of any document."""
    try:
        network = load_torch_model(state, load_state=False)
    except Exception as error:
        raise InvalidConfig(
            f"the code of the model {model.source} makes no network: {type(error).__name__}: {error}"
        ) from error
    network.load_state_dict(_tensors(model, state), strict=state.strict)
    return network


def _tensors(model: ZooModel, state: v0_5.PytorchStateDictWeightsDescr) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a package; nothing but tensors is read."""
    path = model.file(state)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CorruptData(f"{model.source}: the weights cannot be read as plain tensors: {error}") from error
    if not isinstance(found, Mapping) or not all(map(torch.is_tensor, found.values())):
        raise CorruptData(f"{model.source}: the weights are no table of tensors")
    return found
