"""Which stores there are, chosen by the options."""

from __future__ import annotations

from typing import Any

import attrs

from dacapo.errors import InvalidOptions, PluginError
from dacapo.options import DaCapoConfig, Options
from dacapo.registry import registry

from .array_store import ArrayStore, LocalArrayStore
from .backend import StoreBackend
from .config_store import ConfigStore
from .stats_store import StatsStore
from .weights_store import WeightsStore


def create_config_store(options: DaCapoConfig | None = None, **changes: Any) -> ConfigStore:
    """Open the store of configs that the options name; keyword arguments change single options."""
    return ConfigStore(_backend(_options(options, changes)))


def create_stats_store(options: DaCapoConfig | None = None, **changes: Any) -> StatsStore:
    """Open the store of training stats and validation scores."""
    return StatsStore(_backend(_options(options, changes)))


def create_weights_store(options: DaCapoConfig | None = None, **changes: Any) -> WeightsStore:
    """Open the store of checkpoints: where the option ``weights`` says, else where the type keeps them."""
    chosen = _options(options, changes)
    if chosen.weights is None:
        usual = _backend_type("type", chosen.type).usual_weights
        return WeightsStore(_backend(attrs.evolve(chosen, type=usual or chosen.type)))
    return WeightsStore(_backend_type("weights", chosen.weights).from_options(chosen))


def create_array_store(options: DaCapoConfig | None = None, **changes: Any) -> ArrayStore:
    """Open the store that says where a run's arrays are."""
    return LocalArrayStore(_options(options, changes).runs_base_dir)


def _options(options: DaCapoConfig | None, changes: dict[str, Any]) -> DaCapoConfig:
    if options is None:
        return Options.instance(**changes)
    return attrs.evolve(options, **changes)


def _backend(options: DaCapoConfig) -> StoreBackend:
    return _backend_type("type", options.type).from_options(options)


def _backend_type(option: str, name: str) -> type[StoreBackend]:
    try:
        backend: type[StoreBackend] = registry.load("stores", name)
    except PluginError as error:
        raise InvalidOptions(f"{option} = {name!r}: {error}") from error
    return backend
