"""Beginning with the weights of another run, and saying exactly which of them were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from dacapo.errors import InvalidConfig, ShapeError
from dacapo.experiments.state_dict import is_of_head, require_fit, without_duplicates

from .configs import InitialWeightsConfig

if TYPE_CHECKING:
    from torch import Tensor

    from dacapo.experiments.model import Model


@attrs.frozen
class LoadedWeights:
    """What a start put into a model.

    ``tensors`` were loaded whole.  ``labels`` are the channels of the head whose weights were
    copied, ``new_labels`` those that keep their initial ones.
    """

    tensors: tuple[str, ...]
    labels: tuple[str, ...] = ()
    new_labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{len(self.tensors)} tensors loaded"
        if self.labels or self.new_labels:
            text += f"; head: taken over {', '.join(self.labels) or 'nothing'}"
        return text + (f"; begins anew: {', '.join(self.new_labels)}" if self.new_labels else "")


@attrs.frozen
class InitialWeights:
    """Weights by the names that ``Model`` has for them, and the channels they predict, where known."""

    tensors: Mapping[str, Tensor]
    channels: Sequence[str] | None = None


class Start:
    """Weights to begin a run with: those of another run, unless a subclass brings its own."""

    def __init__(self, start_config: InitialWeightsConfig) -> None:
        self.config = start_config
        self.run: str = getattr(start_config, "run", "")
        self.criterion: str = getattr(start_config, "criterion", "")

    def bring(self) -> InitialWeights | None:
        """Return the weights that this start has itself; None if they are those of ``run`` in the stores."""
        return None

    def initialize_weights(
        self,
        model: Model,
        weights: Mapping[str, Tensor],
        old_head: Sequence[str] | None = None,
        new_head: Sequence[str] | None = None,
    ) -> LoadedWeights:
        """Put weights into a model and return what was loaded.

        ``old_head`` and ``new_head`` are the labels of the channels that the weights and the model
        predict.  Where both are known and differ, the backbone is loaded and the head takes over the
        channels whose labels match; else everything is loaded.  Raises ``ShapeError`` naming the
        tensors that do not fit, ``InvalidConfig`` for labels that do not; the model is then as it was.
        """
        weights, own = without_duplicates(weights), model.state_dict()
        if old_head is None or new_head is None or list(old_head) == list(new_head):
            require_fit(self.whose, own, weights)
            model.load_state_dict(weights)
            return LoadedWeights(tuple(own), tuple(new_head or ()) if old_head else ())
        for labels in (old_head, new_head):
            if len(set(labels)) < len(labels):
                raise InvalidConfig(
                    f"{self.whose}: the channels {list(labels)} are to be matched by their labels, "
                    "so each should be there once"
                )
        require_fit(
            self.whose,
            {key: tensor for key, tensor in own.items() if not is_of_head(key)},
            {key: tensor for key, tensor in weights.items() if not is_of_head(key)},
        )
        rows = {new_head.index(label): old_head.index(label) for label in new_head if label in old_head}
        head = {
            key: self._with_rows(key, own[key], weights.get(key), rows, (len(old_head), len(new_head)))
            for key in own
            if is_of_head(key)
        }
        model.load_state_dict({key: head.get(key, weights.get(key, tensor)) for key, tensor in own.items()})
        return LoadedWeights(
            tuple(key for key in own if key not in head),
            tuple(label for label in new_head if label in old_head),
            tuple(label for label in new_head if label not in old_head),
        )

    @property
    def whose(self) -> str:
        """Whose weights they are, for messages."""
        return f"the weights of run {self.run!r} ({self.criterion})"

    def _with_rows(
        self, key: str, own: Tensor, old: Tensor | None, rows: Mapping[int, int], lengths: tuple[int, int]
    ) -> Tensor:
        """Return a tensor of the head with the rows of the channels that both heads have."""
        old_length, new_length = lengths
        shape = None if old is None else tuple(old.shape)
        if old is None or shape != (old_length, *own.shape[1:]) or own.shape[:1] != (new_length,):
            raise ShapeError(
                f"{self.whose} do not fit the model: {key} is {shape} and should be "
                f"{(old_length, *own.shape[1:])}, one row for each of its {old_length} channels, to give "
                f"rows to {tuple(own.shape)}, one for each of {new_length} channels"
            )
        made = own.clone()
        for new, row in rows.items():
            made[new] = old[row]
        return made
