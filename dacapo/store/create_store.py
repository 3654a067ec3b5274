"""Which stores there are, chosen by the options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dacapo.options import Options

    from .array_store import ArrayStore
    from .config_store import ConfigStore
    from .stats_store import StatsStore
    from .weights_store import WeightsStore


def create_config_store(options: Options | None = None, **changes: Any) -> ConfigStore:
    """Open the store of configs."""
    raise SystemExit("being written")


def create_stats_store(options: Options | None = None, **changes: Any) -> StatsStore:
    """Open the store of training stats and validation scores."""
    raise SystemExit("being written")


def create_weights_store(options: Options | None = None, **changes: Any) -> WeightsStore:
    """Open the store of checkpoints."""
    raise SystemExit("being written")


def create_array_store(options: Options | None = None, **changes: Any) -> ArrayStore:
    """Open the store that says where a run's volumes are."""
    raise SystemExit("being written")
