"""Checks for what makes networks: classes of torch modules, and functions."""

from __future__ import annotations

import inspect
from typing import Any

from .checks import check, demand


@check("networks")
def a_factory_explains_itself(factory: Any) -> None:
    """It has a docstring that says what network it makes."""
    demand(bool((factory.__doc__ or "").strip()), "it has no docstring; say what network it makes")


@check("networks")
def a_factory_takes_named_arguments(factory: Any) -> None:
    """All that it needs can be given by name, as a config does."""
    unnamed = [
        name
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL)
        and parameter.default is parameter.empty
    ]
    demand(not unnamed, f"{', '.join(unnamed)} cannot be given by name; take keyword arguments")
