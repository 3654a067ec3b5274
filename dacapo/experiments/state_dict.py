"""Whether stored weights fit a model: names and shapes of tensors, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dacapo.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "chain.1."
_OLD_HEAD = "prediction_head."


def without_duplicates(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with each tensor of the head under one name.

    Existing DaCapo stores them as ``prediction_head.*`` as well.
    """
    twins = {key: HEAD + key.removeprefix(_OLD_HEAD) for key in weights if key.startswith(_OLD_HEAD)}
    return {twins.get(key, key): tensor for key, tensor in weights.items() if twins.get(key) not in weights}


def is_of_head(key: str) -> bool:
    """Say whether a tensor belongs to the head, not to the backbone."""
    return key.startswith(HEAD)


def require_fit(whose: str, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise ``ShapeError`` that lists the tensors in which weights differ from a model's own."""
    absent = [f"{key} is missing" for key in own if key not in weights]
    strange = [f"{key} is unknown to the model" for key in weights if key not in own]
    misshapen = [
        f"{key} is {tuple(weights[key].shape)} and should be {tuple(own[key].shape)}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    if found := misshapen + absent + strange:
        shown = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
        raise ShapeError(f"{whose} do not fit the model: {shown}")
