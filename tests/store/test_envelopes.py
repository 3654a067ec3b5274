"""A metric in a thousand points: the same as from all iterations, and read without them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.store import stats_store
from dacapo.store.backend import Block, Epoch, StoreBackend
from dacapo.store.envelopes import Envelope
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.previews import ROW, previews_of
from dacapo.store.stats_store import StatsStore

numbers = itertools.count()


@pytest.fixture(params=["memory", "files", "mongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], StoreBackend]:
    """Return a function that opens one and the same place, of each sort."""
    if request.param == "memory":
        name = f"envelopes {next(numbers)}"
        return lambda: MemoryBackend(name)
    if request.param == "files":
        return lambda: FileBackend(tmp_path / "runs")
    place = request.getfixturevalue("mongo")
    return lambda: MongoBackend(place.uri, place.name)


def wavy(begin: int, end: int, **others: float) -> TrainingStats:
    at = np.arange(begin, end)
    loss = np.where(at % 97 == 0, np.nan, np.sin(at / 500) + at % 7)
    columns = {"loss": loss, "time": np.ones(len(at))}
    return TrainingStats.of(at, columns | {name: np.full(len(at), value) for name, value in others.items()})


def store(open_backend: Callable[[], StoreBackend], stats: TrainingStats, size: int) -> StatsStore:
    written, kept = StatsStore(open_backend()), TrainingStats()
    for begin in range(0, len(stats), size):
        iterations, columns = stats.since(int(stats.iterations[begin]))
        kept.append(iterations[:size], {name: column[:size] for name, column in columns.items()})
        written.store_training_stats("run", kept)
    return written


def agrees(envelope: Envelope, stats: TrainingStats) -> bool:
    """Say whether every stretch has what the iterations in it have, and all are in one."""
    column, iterations = stats.columns[envelope.metric], stats.iterations
    assert envelope.first[0] == iterations[0] and envelope.last[-1] == iterations[-1]
    for i in range(len(envelope)):
        inside = (iterations >= envelope.first[i]) & (iterations <= envelope.last[i])
        values = column[inside & ~np.isnan(column)]
        expected = [values.min(), values.max(), values.mean()] if len(values) else [np.nan] * 3
        found = [envelope.minimum[i], envelope.maximum[i], envelope.mean[i]]
        if len(values) != envelope.measured[i] or not np.allclose(found, expected, equal_nan=True):
            return False
    return int(envelope.measured.sum()) == int((~np.isnan(column)).sum())


def unread(patch: pytest.MonkeyPatch) -> None:
    """Let reading whole blocks fail."""
    for backend in (MemoryBackend, FileBackend, MongoBackend):
        patch.setattr(backend, "blocks", None)


@pytest.mark.parametrize("size", [60, 1000])
def test_an_envelope_is_that_of_all_iterations(opened, size, monkeypatch):
    stats = wavy(0, 6000)
    store(opened, stats, size)
    for points in (1, 7, 40):
        if size > 128 and not isinstance(opened(), MemoryBackend):
            unread(monkeypatch)
        envelope = StatsStore(opened()).retrieve_envelope("run", points=points)
        assert envelope is not None and points / 2 <= len(envelope) <= points
        assert agrees(envelope, stats)
    assert StatsStore(opened()).retrieve_envelope("run", "unknown", 8) is None
    assert StatsStore(opened()).retrieve_envelope("nobody") is None


def test_many_points_of_few_iterations_are_the_iterations(opened):
    stats = wavy(0, 300)
    store(opened, stats, 300)
    envelope = StatsStore(opened()).retrieve_envelope("run", points=1000)
    assert envelope is not None and len(envelope) == 300
    assert np.array_equal(envelope.mean, stats.columns["loss"], equal_nan=True)
    assert np.array_equal(envelope.first, envelope.last)


def test_epochs_cut_previews_too(opened):
    """What a later epoch replaced is in no envelope, wherever in a row the cut is."""
    for cut in (1000, 1024, 1152, 1153):
        stats = wavy(0, 3000)
        writer = store(opened, stats, 1500)
        stats.delete_after(cut)
        stats.append(*wavy(cut, cut + 900, rate=0.5).since(0))
        writer.begin_epoch("run", cut)
        StatsStore(opened()).store_training_stats("run", stats)
        found = StatsStore(opened()).retrieve_envelopes("run", 20)
        assert found.keys() == {"loss", "time", "rate"}
        assert all(agrees(envelope, stats) for envelope in found.values())
        assert writer.delete_training_stats("run")


def test_blocks_that_repeat_iterations_are_read_whole(opened):
    backend = opened()
    backend.add_epoch("run", Epoch(0, 0))
    for sequence, begin in enumerate((0, 250)):
        stats = wavy(begin, begin + 500)
        backend.append_block("run", 0, Block(sequence, stats.iterations, stats.columns))
    envelope = StatsStore(opened()).retrieve_envelope("run", points=3)
    assert envelope is not None and agrees(envelope, wavy(0, 750))


def test_a_sample_of_a_long_run_is_not_read_whole(opened, monkeypatch):
    monkeypatch.setattr(stats_store, "LONG", 2000)
    stats = wavy(0, 5000)
    store(opened, stats, 1000)
    if not isinstance(opened(), MemoryBackend):
        unread(monkeypatch)
    sample = StatsStore(opened()).retrieve_training_stats("run", subsample=10)
    assert 9 <= len(sample) <= 11 and sample.iterations[0] == 0 and sample.last == stats.last
    assert all(stats.at(int(at)).time == sample.at(int(at)).time for at in sample.iterations)
    expected = stats.columns["loss"][sample.iterations]
    assert np.array_equal(sample.columns["loss"], expected, equal_nan=True)
    assert np.diff(sample.iterations).max() < 2 * np.diff(sample.iterations)[:-1].min()


@pytest.mark.parametrize("place", ["preview", "header", "tail"])
def test_a_damaged_preview_is_not_trusted(tmp_path, place):
    """Whatever byte is wrong, the numbers come from what is whole."""
    stats = wavy(0, 2000)
    store(lambda: FileBackend(tmp_path), stats, 1000)
    path = tmp_path / "stats/runs/run/0.iterations"
    data = bytearray(path.read_bytes())
    at = {"preview": 300, "header": 5, "tail": len(data) - 3}[place]
    data[at] ^= 0x10
    path.write_bytes(data if place != "tail" else data[:at])
    left = StatsStore(FileBackend(tmp_path)).retrieve_training_stats("run")
    assert len(left) == 1000
    envelope = StatsStore(FileBackend(tmp_path)).retrieve_envelope("run", points=8)
    assert envelope is not None and agrees(envelope, left)


def test_a_preview_of_another_length_is_not_trusted(mongo):
    import pymongo

    stats = wavy(0, 2000)
    store(lambda: MongoBackend(mongo.uri, mongo.name), stats, 1000)
    with pymongo.MongoClient(mongo.uri) as client:
        client[mongo.name]["dacapo.stats"].update_many({}, {"$set": {"previews": [b"x" * 40] * 2}})
    envelope = StatsStore(MongoBackend(mongo.uri, mongo.name)).retrieve_envelope("run", points=8)
    assert envelope is not None and agrees(envelope, stats)


def test_the_last_value_is_that_of_the_last_iteration(opened):
    writer = store(opened, wavy(0, 300), 100)
    stats = writer.retrieve_training_stats("run")
    stats.add_iteration_stats(TrainingIterationStats(300, 4.0, 5.0, {"rate": 6.0}))
    writer.store_training_stats("run", stats)
    assert StatsStore(opened()).retrieve_last_training_stats("run") == stats.last


def test_a_preview_counts_what_was_measured_and_warns_of_nothing(recwarn):
    """Columns that are whole, and those with NaN, infinities and sums beyond all numbers, side by side."""
    rng = np.random.default_rng(0)
    odd = rng.random((4, 300))
    odd[1, 100:290:3] = np.nan
    odd[2, 5], odd[2, 6] = np.inf, -np.inf
    odd[3] *= 1e308
    for columns in (odd[:1], odd[:2], odd[2:3], odd[3:], odd):
        for column, table in zip(columns, previews_of(columns), strict=True):
            for row, begin in zip(table, range(0, 300, ROW), strict=True):
                part = column[begin : begin + ROW]
                there = part[~np.isnan(part)]
                with np.errstate(all="ignore"):
                    total = there.sum()
                np.testing.assert_allclose(row, [there.min(), there.max(), total, len(there), part[0]])
    assert not recwarn.list
