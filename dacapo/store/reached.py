"""How far runs are trained, asked for many of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from dacapo.names import RunKey

from .stats_store import StatsStore


def reached(stats_store: StatsStore, runs: Sequence[str]) -> dict[str, int]:
    """Return how many iterations each of these runs, given by their keys, is trained."""
    found = {}
    for run, last in stats_store.backend.last_iterations(runs).items():
        if last is None:  # its newest epoch has only begun: what counts of those before has to be read
            stats = stats_store.retrieve_last_training_stats(RunKey(run))
            last = -1 if stats is None else stats.iteration
        found[run] = last + 1
    return {run: found.get(run, 0) for run in runs}
