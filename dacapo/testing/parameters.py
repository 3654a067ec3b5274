"""Checks for what stores keep about validations: parameter sets and scores."""

from __future__ import annotations

import math
import re
from typing import Any

import attrs

from dacapo.config import Config
from dacapo.errors import InvalidConfig, InvalidRequest

from .checks import check, demand


@check("post_processors")
def equal_sets_are_one_key(config: Config) -> None:
    """Sets of the same values are equal, and one key of a dictionary; others are not."""
    same = config.replace()
    demand(config == same and hash(config) == hash(same), "a copy of it is another key; use @attrs.frozen")
    for name, other in _others(config):
        demand(config != other, f"with another {name} it is equal to itself; let == compare {name}")


@check("post_processors")
def sets_cannot_be_changed(config: Any) -> None:
    """Nobody can change a set that is the key of scores."""
    try:
        config.id = config.id + 1
    except AttributeError:
        return
    raise AssertionError("its id can be changed; use @attrs.frozen instead of @attrs.define")


@check("post_processors")
def words_are_fit_for_a_path(config: Any) -> None:
    """``words()`` are short, of letters, digits, dots, dashes and underscores, and are what str() gives."""
    words = config.words()
    demand(
        bool(re.fullmatch(r"[A-Za-z0-9._-]{1,100}", words)),
        f"its words are {words!r}; use up to 100 letters, digits, dots, dashes and underscores",
    )
    demand(
        str(config) == words,
        f"str() gives {str(config)!r}, and words() {words!r}; leave str() to the base class",
    )


@check("post_processors")
def words_tell_sets_apart(config: Any) -> None:
    """Sets of other values, their number apart, have other words: arrays are kept under them."""
    for name, other in _others(config):
        told = name == "id" or config.words() != other.words()
        demand(told, f"with another {name} its words are still {config.words()!r}; say {name} in them")


@check("evaluation_scores")
def criteria_have_meanings(config: Any) -> None:
    """Each criterion, at least one, is a number with bounds, a direction, and whether its best is kept."""
    demand(bool(config.criteria), "it has no criteria; declare them by score(...)")
    demand(len(set(config.criteria)) == len(config.criteria), "it has a criterion twice")
    for criterion in config.criteria:
        low, high = config.bounds(criterion)
        demand(low < high, f"{criterion} has the bounds {low} and {high}; the first should be the smaller")
        for question in ("higher_is_better", "store_best"):
            answer = getattr(config, question)(criterion)
            demand(isinstance(answer, bool), f"{question}({criterion!r}) is {answer!r}, and should be a bool")
        value = getattr(config, criterion)
        demand(
            isinstance(value, float) and (math.isnan(value) or low <= value <= high),
            f"{criterion} is {value!r}, and should be a number within {low:g} and {high:g}, or NaN",
        )


@check("evaluation_scores")
def scores_begin_as_nan(config: Any) -> None:
    """What has not been measured is NaN, in the example of a type and when made without values."""
    example = type(config).example()
    set_already = [name for name in example.criteria if not math.isnan(getattr(example, name))]
    demand(
        not set_already, f"{', '.join(set_already)} has a value before anything is measured; default to NaN"
    )


@check("evaluation_scores")
def unknown_criteria_are_refused(config: Any) -> None:
    """Asking for a criterion that there is not raises ``InvalidRequest``."""
    for question in ("higher_is_better", "bounds", "store_best"):
        try:
            answer = getattr(config, question)("no_such_criterion")
        except InvalidRequest:
            continue
        raise AssertionError(f"{question}('no_such_criterion') is {answer!r}; raise InvalidRequest")


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + ("x" if isinstance(value, str) else 1)


def _others(config: Config) -> list[tuple[str, Any]]:
    """Return the config with one of its values changed, for each that can be."""
    found = []
    for one in attrs.fields(type(config)):
        value = getattr(config, one.name)
        if not one.init or one.name == "name" or not isinstance(value, bool | int | float | str):
            continue
        changed = _another(value)
        try:
            found.append((one.name, config.replace(**{one.name: changed})))
        except InvalidConfig:
            continue
    return found
