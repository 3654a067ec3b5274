"""Many small appends become few blocks: nothing is lost or seen twice, whoever reads or is killed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dacapo.errors import StoreError, StoreUnreachable
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.store import compaction, publication
from dacapo.store.backend import Block, Epoch, StoreBackend
from dacapo.store.blocks import merged
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend, merging
from dacapo.store.stats_store import StatsStore

numbers = itertools.count()


@pytest.fixture(params=["memory", "files", "mongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], StoreBackend]:
    """Return a function that opens one and the same place, of each sort."""
    if request.param == "memory":
        name = f"compaction {next(numbers)}"
        return lambda: MemoryBackend(name)
    if request.param == "files":
        return lambda: FileBackend(tmp_path / "runs")
    place = request.getfixturevalue("mongo")
    return lambda: MongoBackend(place.uri, place.name)


def grow(stats: TrainingStats, count: int = 1) -> None:
    for _ in range(count):
        at = stats.trained_until()
        stats.add_iteration_stats(TrainingIterationStats(at, at * 0.5, 1.0))


def block(sequence: int) -> Block:
    at = np.array([2 * sequence, 2 * sequence + 1])
    return Block(sequence, at, {"loss": at * 0.5, "time": np.ones(2)})


def sizes(backend: StoreBackend, epoch: int = 0) -> list[int]:
    return [len(one.iterations) for one in backend.blocks("run", epoch)]


def test_storing_one_at_a_time_leaves_few_blocks(opened, monkeypatch):
    monkeypatch.setattr(compaction, "MANY", 10)
    store, stats = StatsStore(opened()), TrainingStats()
    for _ in range(45):
        grow(stats)
        store.store_training_stats("run", stats)
        assert len(sizes(opened())) <= 15
    assert sizes(opened()) == [10, 10, 10, 10, 1, 1, 1, 1, 1]
    assert StatsStore(opened()).retrieve_training_stats("run") == stats
    assert store.compact("run") == 8
    assert sizes(opened()) == [44, 1]
    assert store.compact("run") == 0
    grow(stats)
    store.store_training_stats("run", stats)
    assert StatsStore(opened()).retrieve_training_stats("run") == stats
    assert store.delete_training_stats("run")
    assert opened().logged_runs() == []


def test_blocks_are_not_merged_beyond_a_size(opened, monkeypatch):
    monkeypatch.setattr(compaction, "LONGEST", 7)
    for sequence in range(8):
        opened().append_block("run", 0, block(sequence))
    assert compaction.merge(opened(), "run", 0) == 6
    assert sizes(opened()) == [6, 6, 2, 2]
    monkeypatch.setattr(compaction, "LARGEST", 20)
    assert compaction.merge(opened(), "run", 0) == 0


def test_the_epoch_before_is_merged_when_one_begins(opened):
    store, stats = StatsStore(opened()), TrainingStats()
    for _ in range(5):
        grow(stats)
        store.store_training_stats("run", stats)
    successor = StatsStore(opened())
    again = successor.retrieve_training_stats("run")
    successor.begin_epoch("run", 3)
    assert sizes(opened()) == [4, 1]
    again.delete_after(3)
    grow(again, 4)
    successor.store_training_stats("run", again)
    assert StatsStore(opened()).retrieve_training_stats("run") == again
    assert StatsStore(opened()).retrieve_training_stats("run").trained_until() == 7


def test_what_cannot_be_merged_is_kept_as_it_is(opened, monkeypatch, caplog):
    caplog.set_level("INFO", "dacapo")
    monkeypatch.setattr(compaction, "MANY", 2)
    store, stats = StatsStore(opened()), TrainingStats()
    for error in (StoreError("not allowed"), StoreUnreachable("gone")):

        def fail(*_: object, error: StoreError = error) -> bool:
            raise error

        monkeypatch.setattr(type(store.backend), "merge_blocks", fail)
        for _ in range(4):
            grow(stats)
            store.store_training_stats("run", stats)
    assert "small blocks of stats stay as they are: not allowed" in caplog.text
    assert StatsStore(opened()).retrieve_training_stats("run") == stats
    assert sizes(opened()) == [1] * 8


def test_an_append_is_known_again_after_merging(opened):
    """The retry of an append of unknown outcome does nothing, whatever was merged before it."""
    backend = opened()
    for sequence in range(4):
        backend.append_block("run", 0, block(sequence))
    assert compaction.merge(opened(), "run", 0) == 3
    for _ in range(2):
        backend.append_block("run", 0, block(3))
    backend.append_block("run", 0, block(4))
    with pytest.raises(StoreError, match="only one process"):
        backend.append_block("run", 0, block(2))
    assert sizes(opened()) == [6, 2, 2]


def test_readers_see_all_while_blocks_are_merged(opened):
    """Whoever reads in the meantime has every append once."""
    writer, over, problems = opened(), threading.Event(), []
    known = [0]
    writer.add_epoch("run", Epoch(0, 0))

    def read() -> None:
        backend = opened()
        while not over.is_set():
            least = known[0]
            stats = StatsStore(backend).retrieve_training_stats("run")
            rows = backend.outlines("run", 0)
            if stats.iterations.tolist() != list(range(len(stats))) or len(stats) < 2 * least:
                problems.append(stats.iterations)
            if [one.sequence - one.span for one in rows[1:]] != [one.sequence for one in rows[:-1]]:
                problems.append(rows)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for sequence in range(120):
        writer.append_block("run", 0, block(sequence))
        known[0] = sequence + 1
        if sequence % 9 == 8:
            compaction.merge(opened(), "run", 0, max(0, sequence - 20 * (sequence % 2)))
        if sequence % 40 == 39:
            compaction.merge(opened(), "run", 0)
    over.set()
    for reader in readers:
        reader.join()
    assert not problems
    assert sum(sizes(opened())) == 240


class Killed(BaseException):
    """Ends a process at once, as far as what is stored can tell."""


@pytest.mark.parametrize("step", range(3))
def test_a_merger_killed_between_its_steps_loses_nothing_on_files(tmp_path, monkeypatch, step):
    for sequence in range(9):
        FileBackend(tmp_path).append_block("run", 0, block(sequence))
    compaction.merge(FileBackend(tmp_path), "run", 0, 0, 3)
    replace, calls = publication.replace, itertools.count()

    def killed(path: Path, chunks: list[bytes]) -> None:
        if next(calls) == step:
            raise Killed
        replace(path, chunks)

    with monkeypatch.context() as patch, pytest.raises(Killed) if step < 2 else patch.context():
        patch.setattr(publication, "replace", killed)
        compaction.merge(FileBackend(tmp_path), "run", 0)
    left = FileBackend(tmp_path)
    assert sum(sizes(left)) == 18
    assert [one.sequence for one in left.outlines("run", 0)] == [b.sequence for b in left.blocks("run", 0)]
    left.append_block("run", 0, block(9))
    compaction.merge(FileBackend(tmp_path), "run", 0)
    assert sizes(FileBackend(tmp_path)) == [18, 2]


def test_a_merger_killed_before_it_removes_loses_nothing_on_mongo(mongo, monkeypatch):
    backend = MongoBackend(mongo.uri, mongo.name)
    for sequence in range(9):
        backend.append_block("run", 0, block(sequence))
    write = backend._connection.write

    def killed(doing: str, action: Callable[[], object]) -> object:
        answer = write(doing, action)
        raise Killed(answer)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(backend._connection, "write", killed)
        compaction.merge(backend, "run", 0)
    other = MongoBackend(mongo.uri, mongo.name)
    assert sizes(other) == [16, 2] and len(other.outlines("run", 0)) == 2
    assert other.merge_blocks("run", 0, [merged([block(n) for n in range(8)])])
    raw = other._connection.collection("dacapo.stats")
    assert raw.count_documents({}) == 2


def test_two_mergers_at_once_lose_nothing_on_mongo(mongo, monkeypatch):
    """One is stopped after it has looked; what the other made of the same blocks stays."""
    for mine, other, expected in (((2, 5), (0, 5), [12, 2, 2, 2]), ((4, 7), (0, 5), None)):
        backend = MongoBackend(mongo.uri, mongo.name)
        blocks = [block(sequence) for sequence in range(9)]
        for one in blocks:
            backend.append_block("run", 0, one)
        ascending = merging._ascending

        def late(*arguments: object, other=other, blocks=blocks, ascending=ascending) -> object:
            monkeypatch.setattr(merging, "_ascending", ascending)
            found = list(ascending(*arguments))
            second = MongoBackend(mongo.uri, mongo.name)
            assert second.merge_blocks("run", 0, [merged(blocks[other[0] : other[1] + 1])])
            return iter(found)

        monkeypatch.setattr(merging, "_ascending", late)
        done = backend.merge_blocks("run", 0, [merged(blocks[mine[0] : mine[1] + 1])])
        found = StatsStore(MongoBackend(mongo.uri, mongo.name))
        backend.add_epoch("run", Epoch(0, 0))
        assert found.retrieve_training_stats("run").iterations.tolist() == list(range(18))
        if expected is not None:
            assert not done and sizes(backend) == expected
        envelope = found.retrieve_envelope("run")
        assert envelope is not None and envelope.measured.sum() == 18
        backend.remove_stats("run")


def test_a_damaged_log_is_not_merged(tmp_path, caplog):
    for sequence in range(4):
        FileBackend(tmp_path).append_block("run", 0, block(sequence))
    path = tmp_path / "stats/runs/run/0.iterations"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    assert compaction.merge(FileBackend(tmp_path), "run", 0) == 0
    assert path.read_bytes() == data
    assert not FileBackend(tmp_path).merge_blocks("none", 0, [merged([block(0), block(1)])])


def test_a_log_of_appends_that_is_lost_leaves_what_was_merged(tmp_path):
    for sequence in range(4):
        FileBackend(tmp_path).append_block("run", 0, block(sequence))
    compaction.merge(FileBackend(tmp_path), "run", 0)
    path = tmp_path / "stats/runs/run/0.iterations"
    path.write_bytes(b"")
    backend = FileBackend(tmp_path)
    assert backend.tail("run", 0).sequence == 3
    with pytest.raises(StoreError, match="append 4 was due, and it is at 3"):
        backend.append_block("run", 0, block(4))
    backend.append_block("run", 0, block(3))
    assert sizes(FileBackend(tmp_path)) == [6, 2]


def test_whoever_reads_what_a_killed_merge_left_sees_each_append_once(tmp_path: Path):
    """It has written what it merged, and not yet taken it out of the log of appends."""
    backend = FileBackend(tmp_path / "runs")
    for sequence in range(6):
        backend.append_block("run", 0, block(sequence))
    (log,) = (tmp_path / "runs").rglob("0.iterations")
    before = log.read_bytes()
    assert compaction.merge(backend, "run", 0) == 5
    log.write_bytes(before)
    for again in (FileBackend(tmp_path / "runs"), backend):
        assert [one.sequence for one in again.outlines("run", 0)] == [4, 5]
        assert np.concatenate([one.iterations for one in again.blocks("run", 0)]).tolist() == list(range(12))
        assert again.tail("run", 0).sequence == 6
    backend.append_block("run", 0, block(6))
    assert compaction.merge(FileBackend(tmp_path / "runs"), "run", 0) == 6
    assert sizes(FileBackend(tmp_path / "runs")) == [12, 2]


def test_what_is_damaged_is_not_merged(tmp_path: Path):
    backend = FileBackend(tmp_path / "runs")
    for sequence in range(6):
        backend.append_block("run", 0, block(sequence))
    (log,) = (tmp_path / "runs").rglob("0.iterations")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    there = [block(0), block(1)]
    assert not FileBackend(tmp_path / "runs").merge_blocks("run", 0, [merged(there)])
    assert log.read_bytes() == content
    assert not FileBackend(tmp_path / "runs").merge_blocks("other", 0, [merged(there)])


def with_metrics(sequence: int, count: int, *metrics: str) -> Block:
    at = np.arange(10 * sequence, 10 * sequence + count)
    return Block(sequence, at, dict.fromkeys(metrics, at * 1.0))


def test_how_much_becomes_one_block(monkeypatch):
    """As many iterations as fit, and as many numbers: a column for each metric, and the iterations."""
    backend = MemoryBackend(f"compaction {next(numbers)}")
    for sequence in range(7):
        backend.append_block("run", 0, with_metrics(sequence, 2, "loss", "a" if sequence < 3 else "b"))
    monkeypatch.setattr(compaction, "LARGEST", 18)  # six iterations of two metrics, or four of three
    assert compaction.merge(backend, "run", 0) == 6
    assert sizes(backend) == [6, 6, 2]
    assert [{"a", "b"} & {*one.columns} for one in backend.blocks("run", 0)[:2]] == [{"a"}, {"b"}]

    other = MemoryBackend(f"compaction {next(numbers)}")
    for sequence in range(7):
        other.append_block("run", 0, with_metrics(sequence, 2, "ab"[sequence % 2]))
    monkeypatch.setattr(compaction, "LARGEST", 12)  # four iterations of two metrics
    monkeypatch.setattr(compaction, "LONGEST", 4)
    assert compaction.merge(other, "run", 0) == 6
    assert sizes(other) == [4, 4, 4, 2]


def test_a_part_of_an_epoch_is_merged_up_to_its_end():
    backend = MemoryBackend(f"compaction {next(numbers)}")
    for sequence in range(8):
        backend.append_block("run", 0, block(sequence))
    assert compaction.merge(backend, "run", 0, 2, 4) == 3
    assert sizes(backend) == [2, 2, 6, 2, 2, 2]
    assert compaction.merge(backend, "run", 0, 7) == 0
    assert compaction.merge(backend, "other", 0) == 0


def test_large_blocks_are_not_counted_as_small(monkeypatch):
    monkeypatch.setattr(compaction, "SMALL", 3)
    monkeypatch.setattr(compaction, "MANY", 2)
    backend = MemoryBackend(f"compaction {next(numbers)}")
    counting = compaction.Compaction(backend)
    for sequence, count in enumerate((2, 3, 3, 2, 3, 2, 2)):
        one = with_metrics(sequence, count, "loss")
        backend.append_block("run", 0, one)
        counting.appended("run", 0, one)
    assert sizes(backend) == [13, 2, 2]  # with the third small one those before it became one
