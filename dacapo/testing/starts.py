"""Checks for starts: that weights get into a model whole, or not at all."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from dacapo.config import Config, build
from dacapo.errors import DacapoError, ShapeError
from dacapo.experiments.model import Model

from .checks import check, demand
from .volumes import small_architecture


@check("starts")
def weights_get_into_the_model(config: Config) -> None:
    """Weights of a model of the same shape are loaded, all of them, and named."""
    own, other = _model(2), _model(2)
    loaded = build(config).initialize_weights(own, other.state_dict())
    demand(_same(own.state_dict(), other.state_dict()), "the model has other weights than those it was given")
    told = set(loaded.tensors)
    demand(
        told == set(own.state_dict()),
        f"it says it loaded {sorted(told)}, and the model has all of its tensors",
    )


@check("starts")
def channels_are_matched_by_name(config: Config) -> None:
    """Of another head the channels of the same name are taken over, and the others begin anew."""
    own, other = _model(2), _model(3)
    before, given = copy.deepcopy(own.state_dict()), other.state_dict()
    build(config).initialize_weights(own, given, old_head=["a", "b", "c"], new_head=["c", "new"])
    after = own.state_dict()
    for key in after:
        if not key.startswith("chain.1."):
            demand(torch.equal(after[key], given[key]), f"{key} of the backbone was not loaded")
            continue
        demand(torch.equal(after[key][0], given[key][2]), f"{key}: channel c was not taken over by its name")
        demand(torch.equal(after[key][1], before[key][1]), f"{key}: channel new, which is new, was changed")


@check("starts")
def weights_that_do_not_fit_are_refused(config: Config) -> None:
    """Weights of another network raise ``ShapeError``, and the model stays as it was."""
    own, given = _model(2), _model(2).state_dict()
    key = next(iter(given))
    given[key] = torch.zeros(1, 1)
    before = copy.deepcopy(own.state_dict())
    try:
        build(config).initialize_weights(own, given)
    except ShapeError as error:
        demand(key in str(error), f"refusing {key} it did not name it: {error}")
    except Exception as error:
        raise AssertionError(
            f"weights that do not fit raise {error!r}; raise ShapeError and name them"
        ) from error
    else:
        raise AssertionError("weights that do not fit were taken; raise ShapeError")
    demand(_same(before, own.state_dict()), "weights that do not fit were refused, and half of them loaded")


@check("starts")
def a_start_says_whose_weights(config: Config) -> None:
    """It names the run and the checkpoint whose weights it wants, unless it brings weights of its own."""
    start: Any = build(config)
    try:
        brought = start.bring() if hasattr(start, "bring") else None
    except DacapoError as error:
        raise AssertionError(f"its weights cannot be had: {error}") from error
    if brought is None:
        named = bool(start.run) and bool(start.criterion)
        demand(named, f"it names run {start.run!r} and checkpoint {start.criterion!r}; both are needed")
    else:
        finite = all(bool(torch.as_tensor(tensor).isfinite().all()) for tensor in brought.tensors.values())
        demand(bool(brought.tensors) and finite, "it brings no weights, or such that are not finite")


def _model(channels: int) -> Model:
    architecture = small_architecture()
    return Model(architecture, nn.Conv3d(architecture.num_out_channels, channels, 1))


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
