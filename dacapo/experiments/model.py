"""The network that is trained: a backbone with the head of a task on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self

import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.errors import InvalidConfig, ShapeError
from dacapo.experiments.state_dict import named_as_in, require_fit

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture, ArchitectureConfig


class Model(nn.Module):
    """A backbone and a head: (batch, channels, spatial...) of raw to channels of prediction.

    ``eval_activation`` is applied in eval mode only, where losses want what comes before it.
    A backbone that gives out a tuple in training mode, the feature maps of several depths, finest
    first, is deeply supervised: the head makes a prediction of each.
    Neither backbone nor head is initialised anew: a pretrained one keeps its weights.
    """

    def __init__(
        self,
        architecture: Architecture | ArchitectureConfig,
        prediction_head: nn.Module,
        eval_activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.chain = nn.Sequential(architecture.module(), prediction_head)
        self.eval_activation = eval_activation
        self.num_in_channels = architecture.num_in_channels
        self.input_shape = Coordinate(architecture.input_shape)
        self.eval_input_shape = self.input_shape + Coordinate(architecture.eval_shape_increase)
        self._output_shapes: dict[Coordinate, tuple[int, Coordinate]] = {}
        self._still: list[nn.Module] = []
        self.num_out_channels, self.output_shape = self.compute_output_shape(self.input_shape)

    @property
    def prediction_head(self) -> nn.Module:
        """What makes the channels of the task from the feature maps of the backbone."""
        return self.chain[1]

    @property
    def dims(self) -> int:
        """How many spatial axes there are."""
        return len(self.input_shape)

    @property
    def eval_output_shape(self) -> Coordinate:
        """The voxels that come out for ``eval_input_shape``."""
        return self.compute_output_shape(self.eval_input_shape)[1]

    def forward(self, raw: Tensor) -> Any:
        """Return the prediction; in training mode a tuple of them if the backbone gives out several."""
        features = self.chain[0](raw)
        if isinstance(features, tuple):
            return tuple(map(self.chain[1], features))
        prediction: Tensor = self.chain[1](features)
        if self.training or self.eval_activation is None:
            return prediction
        # Near its ends an activation needs more digits than autocast leaves.
        return self.eval_activation(prediction.to(torch.promote_types(prediction.dtype, torch.float32)))

    def freeze(self, patterns: Sequence[str]) -> list[str]:
        """Keep parameters as they are from now on, and return their names.

        A pattern is a name as ``named_parameters`` has it, where ``*`` stands for anything: ``chain.0.*``
        is the whole backbone.  Layers of which all is frozen keep their running statistics, too.
        Raises ``InvalidConfig`` for a pattern that fits nothing, and if nothing would be left to train.
        """
        if not patterns:
            return []
        parameters = dict(self.named_parameters())
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in parameters):
                raise InvalidConfig(f"{pattern!r} is the name of no parameter; there are {_some(parameters)}")
        frozen = [name for name in parameters if any(fnmatchcase(name, one) for one in patterns)]
        for name in frozen:
            parameters[name].requires_grad_(False)
        if not any(parameter.requires_grad for parameter in parameters.values()):
            raise InvalidConfig(f"{', '.join(map(repr, patterns))} freezes all, and leaves nothing to train")
        self._still = [layer for layer in self.modules() if _stands_still(layer)]
        return frozen

    def train(self, mode: bool = True) -> Self:
        """Switch between training and predicting; what is frozen always does as in predicting."""
        super().train(mode)
        for layer in self._still:
            layer.eval()
        return self

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the prediction for that of the raw image."""
        return self.architecture.scale(Coordinate(voxel_size))

    def compute_output_shape(self, input_shape: Coordinate) -> tuple[int, Coordinate]:
        """Return channels and voxels of the prediction for so many voxels of raw.

        Raises ``ShapeError`` if the network does not take that shape.
        """
        input_shape = Coordinate(input_shape)
        if input_shape not in self._output_shapes:
            shape = self._probe(input_shape)
            self._output_shapes[input_shape] = int(shape[1]), Coordinate(shape[2:])
        return self._output_shapes[input_shape]

    def footprint(self, input_shape: Coordinate) -> int:
        """Return how many bytes the outputs of all layers take for one input, in float32.

        More than are alive at any one time: an upper bound for choosing the size of tiles.
        """
        sizes: list[int] = []

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                sizes.append(output.shape[1:].numel())

        layers = [module for module in self.modules() if next(module.children(), None) is None]
        hooks = [layer.register_forward_hook(note) for layer in layers]
        try:
            self._probe(Coordinate(input_shape))
        finally:
            for hook in hooks:
                hook.remove()
        return 4 * sum(sizes)

    def _probe(self, input_shape: Coordinate) -> torch.Size:
        """Return the shape of what comes out for an input of that shape."""
        some = next(self.parameters(), torch.empty(0))
        size = self.num_in_channels, *input_shape
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with torch.no_grad():
                try:
                    # A batch of none: every layer says its shape, and nothing is computed.
                    output: Tensor = self(some.new_zeros(0, *size))
                except ShapeError:
                    raise
                except Exception:
                    # Not every network of other people takes that.
                    output = self(some.new_zeros(1, *size))
            return output.shape
        except RuntimeError as error:
            raise ShapeError(
                f"{self.architecture.name!r} takes no input of shape {tuple(input_shape)}: {error}"
            ) from error
        finally:
            for module, training in modes:
                module.training = training

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights; those of existing DaCapo, which has other names for layers, are welcome.

        Raises ``ShapeError`` naming the tensors that do not fit.
        """
        own = self.state_dict()
        weights = named_as_in(own, state_dict)
        if strict:
            require_fit("the weights", own, weights)
        return super().load_state_dict(weights, strict, assign)


def _stands_still(layer: nn.Module) -> bool:
    """Say whether a layer has running statistics, and parameters of which none is trained."""
    own = list(layer.parameters(recurse=False))
    running = getattr(layer, "running_mean", None) is not None
    return running and bool(own) and not any(parameter.requires_grad for parameter in own)


def _some(names: Mapping[str, Any], most: int = 12) -> str:
    """List names, those at both ends if there are many: backbone and head."""
    listed = list(names)
    if len(listed) > most:
        listed = [*listed[: most // 2], "...", *listed[-most // 2 :]]
    return ", ".join(listed)
