"""Whether stored weights fit a model: names and shapes of tensors, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dacapo.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

BACKBONE, HEAD = "chain.0.", "chain.1."
_OLD_NAMES = {"prediction_head.": HEAD, "architecture.": BACKBONE, "0.": BACKBONE, "1.": HEAD}


def without_duplicates(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with each tensor under one name.

    Existing DaCapo stores those of the head as ``prediction_head.*`` as well, and its release 0.3.5
    those of the backbone as ``architecture.*``; its pretrained tasks want both as 0 and 1 of a chain.
    """
    twins = {
        key: name + key.removeprefix(old)
        for old, name in _OLD_NAMES.items()
        for key in weights
        if key.startswith(old)
    }
    return {twins.get(key, key): tensor for key, tensor in weights.items() if twins.get(key) not in weights}


def named_as_in(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names that a model has for them, each tensor once.

    Their own names may have the prefixes of wrappers before them, or be those of the backbone alone.
    """
    forms = [weights]
    while (first := {key.partition(".")[0] for key in forms[-1] if "." in key}) and len(first) == 1:
        prefix = f"{first.pop()}."
        if not all(key.startswith(prefix) for key in forms[-1]):
            break
        forms.append({key.removeprefix(prefix): tensor for key, tensor in forms[-1].items()})
    forms += [{BACKBONE + key: tensor for key, tensor in form.items()} for form in forms]
    # The first of the best: they stay as they are if that fits no worse.
    return max(map(without_duplicates, forms), key=lambda form: len(form.keys() & own.keys()))


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
        raise ShapeError(f"{whose} do not fit the model: {first_of(found)}")


def first_of(found: list[str]) -> str:
    """Return the first of many, and how many more there are, in one text."""
    return "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")


def fitting_optimizer_state(own: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return stored state that an optimizer can take, or None if it is that of other parameters.

    ``own`` is the optimizer's state as it is, with the shape of each parameter in its group under
    ``shapes``.  What a group of an older optimizer does not say is taken from there.
    """
    groups, states = stored.get("param_groups"), stored.get("state")
    if (
        not isinstance(groups, list)
        or not isinstance(states, Mapping)
        or len(groups) != len(own["param_groups"])
    ):
        return None
    made = []
    for mine, theirs in zip(own["param_groups"], groups, strict=True):
        shapes = mine["shapes"]
        if len(theirs.get("params", ())) != len(shapes):
            return None
        for parameter, shape in zip(theirs["params"], shapes, strict=True):
            tensors = (value for value in states.get(parameter, {}).values() if getattr(value, "ndim", 0))
            if any(tuple(tensor.shape) != shape for tensor in tensors):
                return None
        made.append({key: value for key, value in mine.items() if key != "shapes"} | dict(theirs))
    return {**stored, "param_groups": made}
