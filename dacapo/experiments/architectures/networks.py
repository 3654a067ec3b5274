"""Finding what makes a network, by the name that a package offers it under or by import path.

A stored config is only text, and reading it imports nothing.  Building from it runs what it names:
an offer of an installed package, or something in a module that the options of whoever builds allow.
"""

from __future__ import annotations

import importlib
import re
from types import FunctionType
from typing import Any

from dacapo.errors import InvalidConfig, PluginError
from dacapo.options import Options
from dacapo.registry import registry

KIND = "networks"
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_name(text: str) -> bool:
    """Say whether a text can be the name of an offer, or an import path ``package.module:Class``."""
    return bool(text) and (":" not in text or _PATH.fullmatch(text) is not None)


def reason_against(factory: str) -> str:
    """Say why a network cannot be made here, without importing it; "" if nothing is known against it."""
    if ":" not in factory:
        try:
            registry.find(KIND, factory)
        except PluginError as error:
            return str(error)
        return ""
    module = factory.partition(":")[0]
    if _is_allowed(module):
        return ""
    return (
        f"{factory} would have to be imported, which runs code that a document names; if you trust {module}, "
        f"put  allow_imports: [{module}]  into dacapo.yaml, or set  DACAPO_ALLOW_IMPORTS='[{module}]'"
    )


def load(factory: str) -> Any:
    """Return the class or function that makes a network; raises ``InvalidConfig`` if it may not be imported.

    Of an allowed module only classes of networks and functions that are defined in it, or in
    another one that is allowed, are taken: not what it happens to import.
    """
    if ":" not in factory:
        return registry.load(KIND, factory)
    if reason := reason_against(factory):
        raise InvalidConfig(reason)
    from torch import nn  # nobody needs torch to look at a config

    module, _, name = factory.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidConfig(f"{factory} cannot be imported: {error}") from error
    is_network = isinstance(found, type) and issubclass(found, nn.Module)
    if not (is_network or isinstance(found, FunctionType)) or not _is_allowed(found.__module__):
        home = getattr(found, "__module__", None) or "nowhere"
        raise InvalidConfig(
            f"{factory} is a {type(found).__name__} of {home}; it should be a torch module's class or a "
            "function, of a module that allow_imports lists"
        )
    return found


def _is_allowed(module: str) -> bool:
    allowed = Options.instance().allow_imports
    return any(module == one or module.startswith(f"{one}.") for one in allowed)
