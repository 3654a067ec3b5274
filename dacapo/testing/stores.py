"""What every backend of the stores has to do, as checks that anybody can run.

A backend passes if every check passes on a fresh place::

    @pytest.mark.parametrize("check", stores.CHECKS, ids=lambda check: check.__name__)
    def test_backend(check, tmp_path):
        check(lambda: MyBackend(tmp_path))

Each check is given a function that opens the backend; called twice, it opens one and the
same place twice, as two processes would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dacapo.documents import Document
from dacapo.errors import StoreError
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.backend import Block, Epoch, ScoresRecord
from dacapo.store.blocks import merged
from dacapo.store.previews import Outline, outline_of
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore

from . import standings, store_listing
from .leases import CHECKS as LEASE_CHECKS
from .leases import Check, Opener
from .queue_checks import QUEUE_CHECKS

DOCUMENT = {
    "name": "näme 日本 🧠",
    "texts": [
        "",
        "yes",
        "1e5",
        "2026-01-01",
        "null",
        "~",
        "a: b",
        "line\nbreak",
        "tab\t",
        " spaces ",
        "#",
        "\x07",
    ],
    "numbers": [0, -1, 2**53 + 1, 0.1, -0.0, 1e308, 5e-324, 1e-5, math.inf, -math.inf, math.nan],
    "others": [True, False, None, [], {}, [[]], {"__tuple__": [1, 2]}],
    "nested": {"deeper": {"and": {"deeper": [{"x": 1}, {"x": 2}]}}},
}


def is_alike(one: Any, other: Any) -> bool:
    """Say whether plain data is the same in value and type, NaN and the sign of zero included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(is_alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_alike, one, other))
    if isinstance(one, float):
        return (
            math.isnan(one)
            and math.isnan(other)
            or (one, math.copysign(1, one))
            == (
                other,
                math.copysign(1, other),
            )
        )
    return bool(one == other)


def documents_come_back_as_they_were(open_backend: Opener) -> None:
    """A document is the same afterwards, in every type and value."""
    assert open_backend().put("tasks", "a", DOCUMENT)
    assert is_alike(open_backend().get("tasks", "a"), DOCUMENT)


def a_key_is_given_once(open_backend: Opener) -> None:
    """Without ``replace`` the first document stays; with it the last."""
    backend = open_backend()
    assert backend.put("tasks", "a", {"x": 1})
    assert not open_backend().put("tasks", "a", {"x": 2})
    assert backend.get("tasks", "a") == {"x": 1}
    assert backend.put("tasks", "a", {"x": 3}, replace=True)
    assert open_backend().get("tasks", "a") == {"x": 3}
    assert backend.put("tasks", "b", {"x": 4}, replace=True)


def keys_are_listed_by_prefix(open_backend: Opener) -> None:
    """Keys are sorted, of their own collection only, and found by how they begin."""
    backend = open_backend()
    for key in ("run:1", "run", "other", "run-2", "run.yaml"):
        backend.put("runs", key, {})
    backend.put("tasks", "task", {})
    assert backend.keys("runs") == sorted(["run:1", "run", "other", "run-2", "run.yaml"])
    assert backend.keys("runs", "run:") == ["run:1"]
    assert backend.keys("arrays") == []
    for key in ("run/a%2Fdice", "run/b%2Fdice", "run:1/a%2Fdice"):
        backend.put("best", key, {"key": key})
    assert backend.keys("best", "run/") == ["run/a%2Fdice", "run/b%2Fdice"]
    assert backend.get("best", "run:1/a%2Fdice") == {"key": "run:1/a%2Fdice"}


def documents_are_removed(open_backend: Opener) -> None:
    """What is removed is gone for everybody, and nothing else is."""
    backend = open_backend()
    backend.put("tasks", "a", {"x": 1})
    backend.put("tasks", "b", {"x": 2})
    assert backend.remove("tasks", "a")
    assert not backend.remove("tasks", "a")
    assert backend.get("tasks", "a") is None
    assert open_backend().keys("tasks") == ["b"]
    assert backend.put("tasks", "a", {"x": 3})


def epochs_are_counted_once(open_backend: Opener) -> None:
    """Of two that begin the same epoch, one is told that it is too late."""
    backend = open_backend()
    assert backend.epochs("run") == []
    assert backend.newest_epoch("run") is None
    assert backend.add_epoch("run", Epoch(0, 0))
    assert not open_backend().add_epoch("run", Epoch(0, 7))
    assert backend.add_epoch("run", Epoch(1, 40))
    assert backend.add_epoch("run", Epoch(10, 20))
    assert open_backend().epochs("run") == [Epoch(0, 0), Epoch(1, 40), Epoch(10, 20)]
    assert open_backend().newest_epoch("run") == 10
    assert backend.epochs("run:1") == []


def blocks_come_back_in_order(open_backend: Opener) -> None:
    """Columns are the same to the bit, in the order they were appended."""
    backend = open_backend()
    backend.add_epoch("run", Epoch(0, 0))
    strange = np.array([math.nan, -0.0, math.inf])
    blocks = [
        Block(0, np.arange(3), {"loss": strange, "time": np.ones(3)}),
        Block(1, np.array([3, 5, 9]), {"loss": strange[::-1], "ünknown name": np.zeros(3)}),
        Block(2, np.array([7]), {}),
        Block(3, np.array([10]), {"loss": np.array([5e-324])}),
    ]
    for block in blocks:
        backend.append_block("run", 0, block)
    found = open_backend().blocks("run", 0)
    assert len(found) == len(blocks)
    for one, other in zip(found, blocks, strict=True):
        assert one.sequence == other.sequence
        assert one.iterations.tolist() == other.iterations.tolist()
        assert list(one.columns) == list(other.columns)
        for name, column in one.columns.items():
            assert column.tobytes() == other.columns[name].tobytes()
    tail = open_backend().tail("run", 0)
    assert tail.sequence == 4 and tail.block is not None
    assert tail.block.iterations.tolist() == [10]
    assert open_backend().tail("run", 1).block is None
    assert open_backend().blocks("run", 1) == []


def a_sequence_is_used_once(open_backend: Opener) -> None:
    """Two writers of one epoch cannot both append; the second is refused, and nothing is lost."""
    first, second = open_backend(), open_backend()
    first.add_epoch("run", Epoch(0, 0))
    first.append_block("run", 0, Block(0, np.array([0]), {"loss": np.array([1.0])}))
    assert second.tail("run", 0).sequence == 1
    second.append_block("run", 0, Block(1, np.array([1]), {"loss": np.array([2.0])}))
    for sequence in (0, 1, 3):
        try:
            first.append_block("run", 0, Block(sequence, np.array([9]), {"loss": np.array([9.0])}))
        except StoreError:
            continue
        raise AssertionError(f"sequence {sequence} was accepted where 2 was due")
    assert [block.iterations.tolist() for block in first.blocks("run", 0)] == [[0], [1]]


def small_blocks_become_one(open_backend: Opener) -> None:
    """Merged blocks hold the same numbers, appending goes on behind them, and the newest is never merged."""
    backend = open_backend()
    backend.add_epoch("run", Epoch(0, 0))
    blocks = [Block(n, np.array([2 * n, 2 * n + 1]), {"loss": np.array([n, math.nan])}) for n in range(6)]
    for block in blocks:
        backend.append_block("run", 0, block)
    assert not backend.merge_blocks("run", 0, [merged(blocks[2:])])
    for one in (merged(blocks[1:3]), merged(blocks[:4]), merged(blocks[:4])):
        assert backend.merge_blocks("run", 0, [one])
    assert not open_backend().merge_blocks("run", 0, [merged(blocks[1:3])])
    assert not open_backend().merge_blocks("run", 0, [merged(blocks[3:5])])
    backend.append_block("run", 0, blocks[-1])
    backend.append_block("run", 0, Block(6, np.array([12]), {"loss": np.array([6.0])}))
    found = open_backend().blocks("run", 0)
    assert [(one.begin, one.sequence) for one in found] == [(0, 3), (4, 4), (5, 5), (6, 6)]
    expected = np.concatenate([block.columns["loss"] for block in blocks[:4]])
    assert found[0].columns["loss"].tobytes() == expected.tobytes()
    assert found[0].iterations.tolist() == list(range(8))
    assert [one.sequence for one in open_backend().blocks("run", 0, 4, 5)] == [4, 5]
    copy = open_backend()
    copy.add_epoch("copy", Epoch(0, 0))
    for block in [*found, found[-1]]:
        copy.append_block("copy", 0, block)
    assert [(one.begin, one.sequence) for one in copy.blocks("copy", 0)] == [(0, 3), (4, 4), (5, 5), (6, 6)]
    assert copy.tail("copy", 0).sequence == 7
    try:
        copy.append_block("copy", 0, Block(8, np.array([13]), {}, span=3))
    except StoreError:
        pass
    else:
        raise AssertionError("a block was accepted that stands for an append already there")
    assert backend.remove_stats("run") and backend.blocks("run", 0) == []


def outlines_tell_what_blocks_hold(open_backend: Opener) -> None:
    """An outline has the least, largest, sum, number and first of each row, to the bit."""
    backend, values = open_backend(), np.sin(np.arange(600.0))
    values[:200] = math.nan
    backend.add_epoch("run", Epoch(0, 0))
    columns = {"loss": values, "a.$b": -values}
    pieces = [np.arange(300), np.arange(300, 310), np.arange(310, 600) * 2]
    for sequence, piece in enumerate(pieces):
        these = {name: column[np.minimum(piece, 599)] for name, column in columns.items()}
        backend.append_block("run", 0, Block(sequence, piece, these))
    blocks = open_backend().blocks("run", 0)
    for metric in (None, "a.$b", "unknown"):
        for found, block in zip(open_backend().outlines("run", 0, metric), blocks, strict=True):
            expected = outline_of(block, metric)
            assert type(found) is type(expected) and found.sequence == block.sequence
            if isinstance(found, Outline) and isinstance(expected, Outline):
                assert (found.first, found.last, found.span) == (expected.first, expected.last, expected.span)
                assert found.previews.keys() == expected.previews.keys()
                for name, table in found.previews.items():
                    assert table.tobytes() == expected.previews[name].tobytes()


def scores_come_back_in_order(open_backend: Opener) -> None:
    """Scores keep their labels, whatever a dataset is called."""
    backend = open_backend()
    backend.add_epoch("run", Epoch(0, 0))
    values = np.array([[0.5, math.nan, math.inf], [1.0, -0.0, 2.0]])
    parameters: list[Document] = [
        {"words": "t_0.5", "document": {"threshold": math.inf}},
        {"words": "t_1", "document": None},
    ]
    criteria: list[Document] = [{"name": name, "bounds": [0.0, None]} for name in ("dice", "voi", "ch__f1")]
    for iteration, dataset in ((20, "../a/b"), (10, "c"), (20, "../a/b")):
        backend.append_scores("run", 0, ScoresRecord(iteration, dataset, parameters, criteria, values))
    found = open_backend().scores("run", 0)
    assert [(one.iteration, one.dataset) for one in found] == [(20, "../a/b"), (10, "c"), (20, "../a/b")]
    assert is_alike(found[0].parameters, parameters)
    assert is_alike(found[0].criteria, criteria)
    assert found[0].values.tobytes() == values.tobytes()


def scores_of_several_datasets_are_added_at_once(open_backend: Opener) -> None:
    """Several records come in their order, behind what others have added meanwhile."""
    first, other = open_backend(), open_backend()
    first.add_epoch("run", Epoch(0, 0))

    def record(iteration: int, dataset: str) -> ScoresRecord:
        labels: list[Document] = [{"words": dataset, "document": None}]
        return ScoresRecord(iteration, dataset, labels, labels, np.array([[float(iteration)]]))

    for iteration, backend in enumerate((first, other, other, first)):
        backend.append_scores("run", 0, record(iteration, "a"), record(iteration, "b"))
    found = open_backend().scores("run", 0)
    assert [(one.iteration, one.dataset) for one in found] == [(n, name) for n in range(4) for name in "ab"]
    for one in found:
        assert one.values[0, 0] == one.iteration and one.parameters[0]["words"] == one.dataset


def logs_are_removed(open_backend: Opener) -> None:
    """Stats and scores go one by one, and those of another repetition stay."""
    backend = open_backend()
    for run in ("run", "run:1"):
        backend.add_epoch(run, Epoch(0, 0))
        backend.append_block(run, 0, Block(0, np.array([0]), {"loss": np.array([1.0])}))
        backend.append_scores(run, 0, ScoresRecord(1, "a", [], [], np.empty((0, 0))))
    assert backend.logged_runs() == ["run", "run:1"]
    assert backend.logged_runs("run:") == ["run:1"]
    assert backend.remove_stats("run") and not backend.remove_stats("run")
    assert open_backend().blocks("run", 0) == []
    assert len(open_backend().scores("run", 0)) == 1
    assert backend.remove_scores("run") and not backend.remove_scores("run")
    assert open_backend().logged_runs() == ["run:1"]
    assert open_backend().epochs("run") == []
    assert len(open_backend().blocks("run:1", 0)) == 1
    backend.add_epoch("run", Epoch(0, 0))
    backend.append_block("run", 0, Block(0, np.array([0]), {"loss": np.array([2.0])}))
    assert backend.blocks("run", 0)[0].columns["loss"].tolist() == [2.0]


def blobs_come_back_whole(open_backend: Opener) -> None:
    """A blob is its chunks one after the other, in a buffer that may be changed."""
    backend = open_backend()
    chunks = [b"abc", np.arange(5.0).data, b"", bytearray(b"z" * 300_000)]
    whole = b"abc" + np.arange(5.0).tobytes() + b"z" * 300_000
    backend.put_blob("run", "iterations/10/model", chunks)
    backend.put_blob("run", "empty", [])
    for mapped in (False, True):
        buffer = open_backend().get_blob("run", "iterations/10/model", mapped=mapped)
        assert bytes(buffer) == whole
        buffer[0:1] = b"X"
        empty = open_backend().get_blob("run", "empty", mapped=mapped)
        assert empty is not None and len(empty) == 0
        assert open_backend().get_blob("run", "missing", mapped=mapped) is None
    assert bytes(open_backend().get_blob("run", "iterations/10/model")) == whole
    backend.put_blobs("run", {"iterations/10/model": [b"new"], "iterations/11/model": [b"ot", b"her"]})
    for name, data in (("iterations/10/model", b"new"), ("iterations/11/model", b"other")):
        assert bytes(open_backend().get_blob("run", name)) == data


def a_blob_is_never_half_there(open_backend: Opener) -> None:
    """If making a blob fails, the old one stays, and no trace of the new one is seen."""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("on purpose")

    backend = open_backend()
    backend.put_blob("run", "a", [b"old"])
    for name in ("a", "b"):
        try:
            backend.put_blob("run", name, broken())
        except RuntimeError:
            continue
        raise AssertionError("the failure was swallowed")
    assert bytes(open_backend().get_blob("run", "a")) == b"old"
    assert open_backend().blobs("run") == ["a"]


def blobs_are_listed_and_removed_by_prefix(open_backend: Opener) -> None:
    """Blobs are found by how their names begin; those of other runs and documents stay."""
    backend = open_backend()
    names = ["iterations/1/model", "iterations/10/manifest", "iterations/10/model", "trace"]
    for name in names:
        backend.put_blob("run", name, [b"x"])
    backend.put_blob("run:1", "trace", [b"x"])
    backend.put("best", "run/a%2Fdice", {})
    assert backend.blobs("run") == names
    assert backend.blobs("run", "iterations/10/") == names[1:3]
    assert backend.blobs("run", "iterations/1") == names[:3]
    assert backend.blob_runs() == ["run", "run:1"]
    assert backend.blob_runs("run:") == ["run:1"]
    assert backend.remove_blobs("run", "iterations/10/manifest")
    assert backend.remove_blobs("run", "iterations/10/")
    assert not backend.remove_blobs("run", "iterations/10/")
    assert open_backend().blobs("run") == ["iterations/1/model", "trace"]
    assert backend.remove_blobs("run")
    assert not backend.remove_blobs("run")
    assert open_backend().blob_runs() == ["run:1"]
    for prefix in ("iterations/10/", "iterations/1"):  # as good as never there
        backend.put_blob("run-2", "iterations/10/model", [b"x"])
        assert backend.remove_blobs("run-2", prefix)
        assert open_backend().blob_runs() == ["run:1"] and not backend.remove_blobs("run-2")
    assert open_backend().keys("best", "run/") == ["run/a%2Fdice"]


# With the stores on top


def stats_of(begin: int, end: int, loss: float = 1.0) -> TrainingStats:
    """Make stats of iterations that can be told apart."""
    stats = TrainingStats()
    for i in range(begin, end):
        stats.add_iteration_stats(TrainingIterationStats(i, loss / (i + 1), 0.5, {"gradient": float(i)}))
    return stats


def stats_are_read_as_they_were_stored(open_backend: Opener) -> None:
    """Stored piece by piece, read by another process, gone on with: always the same numbers."""
    stats = TrainingStats()
    writer = StatsStore(open_backend())
    for begin in range(0, 100, 10):
        for one in stats_of(begin, begin + 10).iteration_stats:
            stats.add_iteration_stats(one)
        writer.store_training_stats("run", stats)
        writer.store_training_stats("run", stats)
    reader = StatsStore(open_backend())
    assert reader.retrieve_training_stats("run") == stats
    assert reader.retrieve_last_training_stats("run") == stats.last
    again = reader.retrieve_training_stats("run")
    again.append(*stats_of(100, 120).since(0))
    reader.store_training_stats("run", again)
    assert StatsStore(open_backend()).retrieve_training_stats("run") == stats_of(0, 120)


def a_late_writer_is_never_seen(open_backend: Opener) -> None:
    """Once a run was gone on with elsewhere, whatever its old trainer still writes stays unseen."""
    frozen, backend = StatsStore(open_backend()), open_backend()
    frozen.store_training_stats("run", stats_of(0, 40))
    successor = StatsStore(backend)
    stats = successor.retrieve_training_stats("run")
    successor.begin_epoch("run", 20)
    stats.delete_after(20)
    stats.append(*stats_of(20, 30, loss=7.0).since(0))
    successor.store_training_stats("run", stats)
    try:
        frozen.store_training_stats("run", stats_of(0, 60))
    except StoreError:
        pass
    else:
        raise AssertionError("the late writer was not told")
    tail = backend.tail("run", 0)
    backend.append_block("run", 0, Block(tail.sequence, np.arange(40, 50), {"loss": np.full(10, 99.0)}))
    assert StatsStore(open_backend()).retrieve_training_stats("run") == stats


def scores_keep_their_meaning(open_backend: Opener) -> None:
    """Scores are read with their labels, a repeated validation replaces the first."""
    labels = ScoreLabels(("a", "b"), ("t1", "t2"), (Criterion("dice", True), Criterion("voi", False)))
    scores = ValidationScores.labelled(labels)
    store = StatsStore(open_backend())
    for iteration, value in ((20, 0.5), (10, 0.25), (20, 0.75)):
        matrix = [[value, 1.0 - value], [math.nan, value]]
        scores.add_iteration_scores(ValidationIterationScores(iteration, [matrix, matrix]))
        store.store_validation_iteration_scores("run", scores)
    found = StatsStore(open_backend()).retrieve_validation_scores("run")
    assert found.iterations == [10, 20]
    assert np.array_equal(found.array, scores.array, equal_nan=True)
    assert found.labels.axes == labels.axes
    assert found.labels.criteria == labels.criteria


def checkpoints_come_back_whole(open_backend: Opener) -> None:
    """The newest whole checkpoint is found, and a damaged one is passed over."""
    backend = open_backend()
    store = WeightsStore(backend)
    for iteration in (10, 20, 30):
        store.store_weights("run", iteration, Weights({"value": np.full(4, float(iteration))}))
    model = next(name for name in backend.blobs("run", "iterations/30/") if "model" in name)
    data = bytearray(backend.get_blob("run", model))
    data[-1] ^= 1
    backend.put_blob("run", model, [data])
    reader = WeightsStore(open_backend())
    assert reader.iterations("run") == [10, 20, 30]
    assert reader.latest_iteration("run") == 20
    assert reader.retrieve_weights("run").model["value"].tolist() == [20.0] * 4
    store.store_best("run", 10, "a/b", "dice", value=0.5)
    assert reader.retrieve_best("run", "a/b", "dice") == 10
    assert store.delete("run")
    assert reader.iterations("run") == [] and reader.best("run") == []


CHECKS: tuple[Check, ...] = (
    documents_come_back_as_they_were,
    a_key_is_given_once,
    keys_are_listed_by_prefix,
    documents_are_removed,
    epochs_are_counted_once,
    blocks_come_back_in_order,
    a_sequence_is_used_once,
    small_blocks_become_one,
    outlines_tell_what_blocks_hold,
    scores_come_back_in_order,
    scores_of_several_datasets_are_added_at_once,
    logs_are_removed,
    blobs_come_back_whole,
    a_blob_is_never_half_there,
    blobs_are_listed_and_removed_by_prefix,
    stats_are_read_as_they_were_stored,
    a_late_writer_is_never_seen,
    scores_keep_their_meaning,
    checkpoints_come_back_whole,
    *QUEUE_CHECKS,
    *LEASE_CHECKS,
    *store_listing.CHECKS,
    *standings.CHECKS,
)
