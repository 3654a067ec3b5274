"""Whether stored weights fit a model: names and shapes of tensors, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dacapo.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

BACKBONE, HEAD = "chain.0.", "chain.1."
_OLD_NAMES = {"prediction_head.": HEAD, "architecture.": BACKBONE, "0.": BACKBONE, "1.": HEAD}


def without_duplicates(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with each tensor under one name, in the order in which they come first.

    Existing DaCapo stores those of the head as ``prediction_head.*`` as well, and its release 0.3.5
    those of the backbone as ``architecture.*``; its pretrained tasks want both as 0 and 1 of a chain.
    """
    made: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        old = next((old for old in _OLD_NAMES if key.startswith(old)), None)
        made.setdefault(key if old is None else _OLD_NAMES[old] + key.removeprefix(old), tensor)
    return made


def named_as_in(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names that a model has for them, each tensor once, in their order.

    Their own names may have the prefixes of wrappers before them, or be those of the backbone alone,
    whose layers may have other names if their shapes leave no doubt which is which.
    """
    forms = [weights]
    while (first := {key.partition(".")[0] for key in forms[-1] if "." in key}) and len(first) == 1:
        prefix = f"{first.pop()}."
        if not all(key.startswith(prefix) for key in forms[-1]):
            break
        forms.append({key.removeprefix(prefix): tensor for key, tensor in forms[-1].items()})
    forms += [{BACKBONE + key: tensor for key, tensor in form.items()} for form in forms]
    made = [_with_layers_named_as_in(own, without_duplicates(form)) for form in forms]
    # The first of the best: they stay as they are if that fits no worse.
    return max(made, key=lambda form: len(form.keys() & own.keys()))


def _with_layers_named_as_in(own: Mapping[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with those of the backbone under own names, if all have others and there is no doubt."""
    if not own.keys().isdisjoint(key for key in weights if key.startswith(BACKBONE)):
        return weights
    mine, theirs = _rows_of_layers(own), _rows_of_layers(weights)
    if mine.keys() != theirs.keys() or any(len(mine[row]) != 1 or len(theirs[row]) != 1 for row in mine):
        return weights
    names = {old: new for row in mine for old, new in zip(theirs[row][0], mine[row][0], strict=True)}
    return {names.get(key, key): tensor for key, tensor in weights.items()}


def _rows_of_layers(tensors: Mapping[str, Tensor]) -> dict[tuple[object, ...], list[list[str]]]:
    """Return the names of the backbone's tensors in rows, by what tells a row: all shapes in it.

    A row is the layers of one parent.  Where there are several, their places in it tell, too: a
    normalisation before an activation is not one behind it.
    """
    parents: dict[str, list[str]] = {}
    for key in tensors:
        if key.startswith(BACKBONE):
            parents.setdefault(key.rpartition(".")[0].rpartition(".")[0], []).append(key)
    rows: dict[tuple[object, ...], list[list[str]]] = {}
    for parent, keys in parents.items():
        parts = [key.removeprefix(f"{parent}.").rpartition(".") for key in keys]
        alone = len({layer for layer, _, _ in parts}) == 1
        row = tuple(
            ("" if alone else layer, kind, tuple(tensors[key].shape))
            for key, (layer, _, kind) in zip(keys, parts, strict=True)
        )
        rows.setdefault(row, []).append(keys)
    return rows


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
    backbone = [key for key in weights if key.startswith(BACKBONE)]
    if backbone and own.keys().isdisjoint(backbone):
        shapes = {tensor.shape for tensor in weights.values()}
        misshapen += [
            f"{key} is missing, and nothing among them is {tuple(tensor.shape)}"
            for key, tensor in own.items()
            if tensor.shape not in shapes
        ] or ["their layers have other names, and their shapes do not tell which is which"]
    if found := misshapen + absent + strange:
        raise ShapeError(f"{whose} do not fit the model: {first_of(found)}")


def first_of(found: list[str]) -> str:
    """Return the first of many, and how many more there are, in one text."""
    return "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")


def fitting_optimizer_state(
    own: Mapping[str, Any], stored: Mapping[str, Any], order: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Return stored state that an optimizer can take, or None if it is that of other parameters.

    ``own`` is the optimizer's state as it is, with the shape and the name of each parameter in its
    group under ``shapes`` and ``names``.  What a group of an older optimizer does not say is taken from
    there.  ``order`` names the parameters as they were stored, if they had another order.
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
        shapes, names, parameters = mine["shapes"], mine["names"], theirs.get("params", ())
        if len(parameters) != len(shapes):
            return None
        stored_as = [name for name in order if name in names]
        if len(stored_as) == len(parameters):
            at = dict(zip(stored_as, parameters, strict=True))
            parameters = [at[name] for name in names]
        for parameter, shape in zip(parameters, shapes, strict=True):
            tensors = (value for value in states.get(parameter, {}).values() if getattr(value, "ndim", 0))
            if any(tuple(tensor.shape) != shape for tensor in tensors):
                return None
        hyper = {key: value for key, value in mine.items() if key not in ("shapes", "names")}
        made.append(hyper | dict(theirs) | {"params": parameters})
    return {**stored, "param_groups": made}
