"""Where experiments are kept."""

from .create_store import (
    create_array_store,
    create_config_store,
    create_stats_store,
    create_weights_store,
    take_lease,
)

__all__ = [
    "create_array_store",
    "create_config_store",
    "create_stats_store",
    "create_weights_store",
    "take_lease",
]
