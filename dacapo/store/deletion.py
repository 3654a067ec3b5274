"""Deleting a run with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from dacapo.errors import DacapoError, NotFound, StoreError
from dacapo.names import Repeated, RunKey
from dacapo.options import Options

from .array_store import ArrayStore
from .beside import HISTORY, UNDELIVERED, kept_beside, spool_of
from .best import BEST
from .config_store import RUNS, ConfigStore
from .intents import CHANGES, ERASE, change_now, intend
from .lease import take
from .stats_store import StatsStore
from .weights_store import WeightsStore


def delete_run(
    run: str | Repeated,
    config_store: ConfigStore,
    stats_store: StatsStore,
    weights_store: WeightsStore,
    array_store: ArrayStore,
) -> list[str]:
    """Delete all that is kept of a run and return what that was.

    The config goes last: while anything else could not be deleted it stays, so that no new
    run of that name can pick up what an old one left.  Then ``StoreError`` names what stayed.
    That it was begun is written down first, so that  ``store check --repair``  finishes it.
    Raises ``NotFound`` if nothing at all is kept, and ``LeaseHeld`` if somebody has the run.
    """
    key = config_store.find(RUNS, run)
    if not _is_kept(key, config_store, stats_store, weights_store, array_store):
        config_store.retrieve_document(RUNS, key)  # says that there is none
    with take(stats_store.backend, key, "delete", seconds=Options.instance().lease_seconds):
        intend(config_store.backend, change_now(ERASE, key, key, {}, None))
        gone = _delete(key, config_store, stats_store, weights_store, array_store)
        config_store.backend.remove(CHANGES, key)
        return gone


def finish_erasing(
    key: RunKey,
    config_store: ConfigStore,
    stats_store: StatsStore,
    weights_store: WeightsStore,
    array_store: ArrayStore,
) -> None:
    """Delete what a deletion that was broken off has left, while the run is held."""
    with suppress(NotFound):  # only its record was left
        _delete(key, config_store, stats_store, weights_store, array_store)
    config_store.backend.remove(CHANGES, key)


def _is_kept(
    key: str,
    config_store: ConfigStore,
    stats_store: StatsStore,
    weights_store: WeightsStore,
    array_store: ArrayStore,
) -> bool:
    """Say whether there is anything to delete."""
    return (
        key in config_store.backend.keys(RUNS, key)
        or key in stats_store.backend.logged_runs(key)
        or bool(weights_store.backend.blobs(key))
        or bool(weights_store.backend.keys(BEST, f"{key}/"))
        or array_store.keeps(key)
        or bool(kept_beside(config_store.backend, key))
    )


def _delete(
    key: str,
    config_store: ConfigStore,
    stats_store: StatsStore,
    weights_store: WeightsStore,
    array_store: ArrayStore,
) -> list[str]:
    steps: dict[str, Callable[[], bool]] = {
        "arrays": lambda: array_store.delete(key),
        "weights": lambda: weights_store.delete(key),
        "scores": lambda: stats_store.delete_validation_scores(key),
        "stats": lambda: stats_store.delete_training_stats(key),
        HISTORY: lambda: config_store.backend.remove_changes(key),
        UNDELIVERED: lambda: spool_of(key).remove(),
    }
    gone, stayed = [], []
    for what, delete in steps.items():
        try:
            if delete():
                gone.append(what)
        except (DacapoError, OSError) as error:
            stayed.append(f"{what} ({error})")
    if stayed:
        raise StoreError(
            f"run {key} could not be deleted wholly. What stayed: its config, {', '.join(stayed)}. "
            f"Deleted: {', '.join(gone) or 'nothing'}. Delete it again once the reason is gone"
        )
    try:
        config_store.delete(RUNS, key)
        gone.append("config")
    except NotFound:
        if not gone:
            raise
    return gone
