"""Beginning with the weights of another run, and saying exactly which of them were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from dacapo.errors import InvalidConfig, ShapeError
from dacapo.experiments.state_dict import first_of, is_of_head, named_as_in, require_fit

from .configs import InitialWeightsConfig

if TYPE_CHECKING:
    from torch import Tensor

    from dacapo.experiments.model import Model


@attrs.frozen
class LoadedWeights:
    """What a start put into a model.

    ``tensors`` were loaded whole, ``new_tensors`` of the model keep their initial values, and
    ``unused`` ones the model does not have.  ``labels`` are the channels of the head whose weights
    were copied, ``new_labels`` those that keep their initial ones.  ``whose`` weights they are is
    for people.
    """

    tensors: tuple[str, ...]
    labels: tuple[str, ...] = ()
    new_labels: tuple[str, ...] = ()
    new_tensors: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    whose: str = attrs.field(default="", eq=False)

    def __str__(self) -> str:
        parts = [f"{len(self.tensors)} tensors loaded"]
        if self.labels or self.new_labels:
            parts.append(f"head: taken over {', '.join(self.labels) or 'nothing'}")
        if self.new_labels:
            parts.append(f"begins anew: {', '.join(self.new_labels)}")
        if self.new_tensors:
            parts.append(f"{len(self.new_tensors)} begin anew: {first_of(list(self.new_tensors))}")
        if self.unused:
            parts.append(f"{len(self.unused)} not used: {first_of(list(self.unused))}")
        return "; ".join(parts)


@attrs.frozen
class InitialWeights:
    """Weights by the names that ``Model`` has for them, and the channels they predict, where known."""

    tensors: Mapping[str, Tensor]
    channels: Sequence[str] | None = None


class Start:
    """Weights to begin a run with: those of another run, unless a subclass brings its own."""

    partial = False  # whether to take what fits where not everything does

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
        channels whose labels match; else everything is loaded.  With ``partial`` what does not fit is
        left out.  Raises ``ShapeError`` naming the tensors that do not fit, or that nothing does,
        ``InvalidConfig`` for labels that do not; the model is then as it was.
        """
        own = model.state_dict()
        weights = named_as_in(own, weights)
        rows = self._matching(old_head, new_head)
        head: dict[str, Tensor] = {}
        mine, theirs = own, weights
        if rows is not None:
            lengths = len(old_head or ()), len(new_head or ())
            head = {
                key: self._with_rows(key, tensor, weights.get(key), rows, lengths)
                for key, tensor in own.items()
                if is_of_head(key)
            }
            mine, theirs = _without_head(own), _without_head(weights)
        fitting = {key: t for key, t in theirs.items() if key in mine and mine[key].shape == t.shape}
        if not self.partial or not (fitting or rows):
            require_fit(self.whose, mine, theirs)
        model.load_state_dict({**own, **fitting, **head})
        labels = tuple(new_head or ()) if old_head else ()
        whole = all(key in fitting for key in mine if is_of_head(key))
        taken = {labels[new] for new in rows} if rows is not None else set(labels if whole else ())
        return LoadedWeights(
            tuple(key for key in own if key in fitting),
            tuple(label for label in labels if label in taken),
            tuple(label for label in labels if label not in taken),
            tuple(key for key in mine if key not in fitting),
            tuple(key for key in theirs if key not in fitting),
            self.whose,
        )

    def _matching(
        self, old_head: Sequence[str] | None, new_head: Sequence[str] | None
    ) -> dict[int, int] | None:
        """Return which row of the old head each row of the new one takes over, or None if it is the same."""
        if old_head is None or new_head is None or list(old_head) == list(new_head):
            return None
        for labels in (old_head, new_head):
            if len(set(labels)) < len(labels):
                raise InvalidConfig(
                    f"{self.whose}: the channels {list(labels)} are to be matched by their labels, "
                    "so each should be there once"
                )
        return {new_head.index(label): old_head.index(label) for label in new_head if label in old_head}

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


def _without_head(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if not is_of_head(key)}
