"""How far runs are trained, asked for many at once: the same as when each is asked for."""

from __future__ import annotations

import pytest

from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.names import RunKey
from dacapo.store.lease import take
from dacapo.store.reached import reached
from dacapo.store.stats_store import StatsStore
from stored_runs import PLACES, place_of


def stats(begin: int, end: int) -> TrainingStats:
    return TrainingStats([TrainingIterationStats(at, 1.0, 1.0) for at in range(begin, end)])


@pytest.mark.parametrize("which", PLACES)
def test_many_at_once_are_as_far_as_each_alone(which, request, tmp_path, monkeypatch):
    backend = place_of(which, request, tmp_path / "store")()
    store = StatsStore(backend)
    for number in range(4):
        store.store_training_stats(f"run-{number}", stats(0, 3 + number))
    for run, start in (("run-1", 2), ("run-2", 5)):
        with take(backend, run, "train") as lease:
            lease.begin(start)
    again = StatsStore(backend)
    again.store_training_stats("run-3", stats(0, 9))
    keys = [f"run-{number}" for number in range(5)]
    last = [again.retrieve_last_training_stats(RunKey(key)) for key in keys]
    expected = {key: one.iteration + 1 if one else 0 for key, one in zip(keys, last, strict=True)}
    assert reached(again, keys) == expected == dict(zip(keys, (3, 2, 5, 9, 0), strict=True))
    # Of those whose newest epoch holds stats, no one is asked for alone.
    monkeypatch.setattr(StatsStore, "retrieve_last_training_stats", pytest.fail)
    assert reached(again, ["run-0", "run-3", "run-4"]) == {"run-0": 3, "run-3": 9, "run-4": 0}
