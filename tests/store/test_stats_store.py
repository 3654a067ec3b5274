"""The stats store: only what is new is written, nothing is lost, numbers keep their meaning."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dacapo.errors import CorruptData, InvalidRequest, StoreError, StoreUnreachable
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.post_processors.parameters import ThresholdPostProcessorParameters
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.backend import Block, Epoch
from dacapo.store.file_stats_store import FileStatsStore
from dacapo.store.files import FileBackend
from dacapo.store.memory import MemoryBackend
from dacapo.store.parameter_sets import StoredParameters, read_parameters, write_parameters
from dacapo.store.stats_store import StatsStore


def stats_of(begin: int, end: int, loss: float = 1.0) -> TrainingStats:
    return TrainingStats(TrainingIterationStats(i, loss * i, 0.5, {"rate": 0.1}) for i in range(begin, end))


def scores_at(*iterations: int, value: float = 0.5, datasets: tuple[str, ...] = ("a",)) -> ValidationScores:
    labels = ScoreLabels(datasets, ("t1",), (Criterion("dice", True), Criterion("voi", False)))
    scores = ValidationScores.labelled(labels)
    for iteration in iterations:
        matrix = [[value, iteration / 100]]
        scores.add_iteration_scores(ValidationIterationScores(iteration, [matrix] * len(datasets)))
    return scores


@pytest.fixture
def store(tmp_path: Path) -> StatsStore:
    return StatsStore(FileBackend(tmp_path / "runs"))


def reopened(store: StatsStore) -> StatsStore:
    return StatsStore(FileBackend(store.backend.root))


def frames(store: StatsStore, epoch: int = 0, run: str = "run") -> list[list[int]]:
    return [block.iterations.tolist() for block in store.backend.blocks(run, epoch)]


# training stats


def test_nothing_is_known_of_an_unknown_run(store):
    assert len(store.retrieve_training_stats("run")) == 0
    assert store.retrieve_last_training_stats("run") is None
    assert store.epochs("run") == []
    assert not store.delete_training_stats("run")
    assert not store.backend.root.exists()


def test_only_new_iterations_are_written(store):
    stats = stats_of(0, 3)
    store.store_training_stats("run", stats)
    store.store_training_stats("run", stats)
    stats.append(*stats_of(3, 5).since(0))
    store.store_training_stats("run", stats)
    reopened(store).store_training_stats("run", stats)
    assert frames(store) == [[0, 1, 2], [3, 4]]
    assert reopened(store).retrieve_training_stats("run") == stats


def test_storing_reads_nothing_of_what_is_stored(store, monkeypatch):
    stats = stats_of(0, 100)
    store.store_training_stats("run", stats)
    monkeypatch.setattr(FileBackend, "blocks", None)
    for begin in range(100, 200, 10):
        stats.append(*stats_of(begin, begin + 10).since(0))
        store.store_training_stats("run", stats)
        reopened(store).store_training_stats("run", stats)
    monkeypatch.undo()
    assert store.retrieve_training_stats("run") == stats_of(0, 200)


def test_equal_is_not_behind(store):
    # Existing DaCapo deleted and rewrote everything when nothing was new (and B26 always).
    store.store_training_stats("run", stats_of(0, 5))
    before = (store.backend.stats / "runs/run/0.iterations").read_bytes()
    reopened(store).store_training_stats("run", stats_of(0, 5))
    reopened(store).store_training_stats("run", stats_of(0, 3))
    reopened(store).store_training_stats("run", TrainingStats())
    assert (store.backend.stats / "runs/run/0.iterations").read_bytes() == before


def test_taking_iterations_back_begins_an_epoch_and_erases_nothing(store):
    store.store_training_stats("run", stats_of(0, 45))
    other = reopened(store)
    stats = other.retrieve_training_stats("run")
    stats.delete_after(20)
    stats.append(*stats_of(20, 30, loss=7.0).since(0))
    other.store_training_stats("run", stats)
    assert other.epochs("run") == [Epoch(0, 0), Epoch(1, 20)]
    assert frames(other, 0) == [list(range(45))] and frames(other, 1) == [list(range(20, 30))]
    found = reopened(store).retrieve_training_stats("run")
    assert found == stats
    assert found.columns["loss"][19:21].tolist() == [19.0, 140.0]
    assert reopened(store).retrieve_last_training_stats("run") == stats.last


def test_repeated_iterations_are_taken_back_too(store):
    # B40: stores that slice by position skipped an iteration afterwards.
    stats = stats_of(0, 10)
    store.store_training_stats("run", stats)
    stats.add_iteration_stats(TrainingIterationStats(7, -1.0, 1.0))
    store.store_training_stats("run", stats)
    stats.add_iteration_stats(TrainingIterationStats(8, -2.0, 1.0))
    store.store_training_stats("run", stats)
    assert reopened(store).retrieve_training_stats("run") == stats
    assert stats.iterations.tolist() == list(range(9))


def test_taking_back_what_was_never_stored_changes_nothing(store):
    stats = stats_of(0, 10)
    store.store_training_stats("run", stats)
    stats.append(*stats_of(10, 20).since(0))
    stats.delete_after(15)
    store.store_training_stats("run", stats)
    assert store.epochs("run") == [Epoch(0, 0)]
    assert reopened(store).retrieve_training_stats("run") == stats_of(0, 15)


def test_taking_back_twice_before_storing_goes_back_furthest(store):
    stats = stats_of(0, 40)
    store.store_training_stats("run", stats)
    stats.delete_after(10)
    stats.append(*stats_of(10, 30, loss=2.0).since(0))
    stats.delete_after(20)
    store.store_training_stats("run", stats)
    assert store.epochs("run")[-1] == Epoch(1, 10)
    assert reopened(store).retrieve_training_stats("run") == stats


def test_going_on_after_nothing_is_left_starts_at_zero(store):
    stats = stats_of(0, 10)
    store.store_training_stats("run", stats)
    stats.delete_after(0)
    stats.append(*stats_of(0, 4, loss=3.0).since(0))
    store.store_training_stats("run", stats)
    assert reopened(store).retrieve_training_stats("run") == stats


def test_stats_that_are_no_continuation_are_refused(store):
    store.store_training_stats("run", stats_of(0, 10))
    for strange in (stats_of(0, 10, loss=2.0), stats_of(0, 20, loss=2.0), stats_of(0, 6, loss=2.0)):
        with pytest.raises(
            StoreError, match="stored up to iteration 10, and these are not their continuation"
        ):
            reopened(store).store_training_stats("run", strange)
    assert reopened(store).retrieve_training_stats("run") == stats_of(0, 10)


def test_stats_from_another_store_may_have_been_cut(store):
    store.store_training_stats("run", stats_of(0, 10))
    stats = reopened(store).retrieve_training_stats("run")
    stats.delete_after(4)
    stats.append(*stats_of(4, 7, loss=2.0).since(0))
    reopened(store).store_training_stats("run", stats)
    assert reopened(store).retrieve_training_stats("run") == stats


def test_stats_without_the_past_are_appended(store):
    store.store_training_stats("run", stats_of(0, 10))
    reopened(store).store_training_stats("run", stats_of(10, 15))
    reopened(store).store_training_stats("run", stats_of(20, 25))
    assert store.retrieve_training_stats("run").iterations.tolist() == [*range(15), *range(20, 25)]


def test_nan_losses_continue_themselves(store):
    stats = TrainingStats([TrainingIterationStats(0, math.nan, 1.0, {"x": math.nan})])
    store.store_training_stats("run", stats)
    stats.add_iteration_stats(TrainingIterationStats(1, math.nan, 1.0, {"x": 1.0}))
    reopened(store).store_training_stats("run", stats)
    assert reopened(store).retrieve_training_stats("run") == stats


def test_epochs_cut_what_comes_late(store):
    store.store_training_stats("run", stats_of(0, 40))
    assert store.begin_epoch("run", 20) == 1
    assert reopened(store).retrieve_training_stats("run") == stats_of(0, 20)
    assert reopened(store).retrieve_last_training_stats("run").iteration == 19
    assert store.begin_epoch("run", 30) == 2
    assert store.begin_epoch("run", 10) == 3
    found = reopened(store).retrieve_training_stats("run")
    assert found == stats_of(0, 10)
    stats = stats_of(0, 15)
    store.store_training_stats("run", stats)
    assert frames(store, 3) == [list(range(10, 15))]


def test_an_epoch_within_a_block_is_gone_on_with_exactly(store):
    store.store_training_stats("run", stats_of(0, 40))
    store.begin_epoch("run", 25)
    stats = stats_of(0, 30)
    other = reopened(store)
    other.store_training_stats("run", stats)
    assert frames(store, 1) == [list(range(25, 30))]
    assert other.retrieve_last_training_stats("run").iteration == 29


def test_an_epoch_before_everything_stored_in_the_last_block(store):
    for begin in (0, 10, 20):
        store.store_training_stats("run", stats_of(0, begin + 10))
    store.begin_epoch("run", 15)
    assert reopened(store).retrieve_last_training_stats("run").iteration == 14
    reopened(store).store_training_stats("run", stats_of(0, 18))
    assert frames(store, 1) == [[15, 16, 17]]
    with pytest.raises(StoreError, match="not their continuation"):
        reopened(store).store_training_stats("run", stats_of(0, 18, loss=3.0))


def test_whoever_was_replaced_is_told(store):
    store.store_training_stats("run", stats_of(0, 10))
    reopened(store).begin_epoch("run", 5)
    with pytest.raises(
        StoreError, match=r"another process has gone on with run run \(its epoch is 1, this one's 0\)"
    ):
        store.store_training_stats("run", stats_of(0, 12))


def test_two_who_begin_an_epoch_at_once_get_different_ones(store):
    first, second = reopened(store), reopened(store)
    second.backend.newest_epoch = lambda run: None  # type: ignore[method-assign]
    assert first.begin_epoch("run", 0) == 0
    assert second.begin_epoch("run", 0) == 1


def test_a_damaged_block_is_stored_again_by_whoever_has_it(store):
    stats = stats_of(0, 5)
    store.store_training_stats("run", stats)
    stats.append(*stats_of(5, 10).since(0))
    store.store_training_stats("run", stats)
    log = store.backend.stats / "runs/run/0.iterations"
    data = bytearray(log.read_bytes())
    data[-30] ^= 1
    log.write_bytes(data)
    assert reopened(store).retrieve_training_stats("run") == stats_of(0, 5)
    reopened(store).store_training_stats("run", stats)
    assert reopened(store).retrieve_training_stats("run") == stats


def test_a_damaged_epoch_file_is_read_from_its_copies_or_named(store, caplog):
    store.store_training_stats("run", stats_of(0, 10))
    store.begin_epoch("run", 5)
    path = store.backend.stats / "runs/run/1.epoch"
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 16
        path.write_bytes(damaged)
        assert reopened(store).epochs("run")[1] == Epoch(1, 5)
    path.write_bytes(b"rubbish")
    with pytest.raises(CorruptData, match=r"1\.epoch is damaged: .* delete the file to undo the cut"):
        reopened(store).retrieve_training_stats("run")


@pytest.mark.parametrize(
    ("count", "asked", "expected"),
    [(0, True, 0), (1, True, 1), (5, True, 5), (5000, True, 1000), (5000, 10, 10), (7, 1, 2)],
)
def test_subsampling_is_even_and_has_the_last(store, count: int, asked: bool | int, expected: int):
    # B42: a run of one iteration was a division by zero.
    stats = TrainingStats()
    if count:
        stats.append(np.arange(count), {"loss": np.arange(count), "time": np.ones(count)})
    store.store_training_stats("run", stats)
    sampled = store.retrieve_training_stats("run", subsample=asked)
    assert len(sampled) == expected
    if count:
        assert sampled.last.iteration == count - 1
        assert sampled.iterations[0] == 0
        assert np.array_equal(sampled.columns["loss"], sampled.iterations)
        gaps = np.diff(sampled.iterations)
        assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_blocks_of_different_metrics_are_read_together(store):
    stats = stats_of(0, 3)
    store.store_training_stats("run", stats)
    stats.append([3, 4], {"loss": [1.0, 2.0], "gradient": [3.0, 4.0]})
    store.store_training_stats("run", stats)
    assert reopened(store).retrieve_training_stats("run") == stats


# which run


def test_runs_are_told_by_name_and_repetition(store):
    for repetition in (1, 2):
        run = SimpleNamespace(name="run", repetition=repetition)
        store.store_training_stats(run, stats_of(0, repetition))
    assert len(store.retrieve_training_stats("run:2")) == 2
    assert len(store.retrieve_training_stats(SimpleNamespace(name="run", repetition=1))) == 1
    assert len(store.retrieve_training_stats("run:0")) == 0
    with pytest.raises(InvalidRequest, match="run:1, run:2"):
        store.retrieve_training_stats("run")
    assert store.delete_training_stats("run:1")
    assert len(store.retrieve_training_stats("run")) == 2
    # Writing never guesses.
    store.store_training_stats("run", stats_of(0, 5))
    assert len(store.retrieve_training_stats("run:2")) == 2


def test_nothing_of_a_deleted_run_is_picked_up(store):
    stats = stats_of(0, 10)
    store.store_training_stats("run", stats)
    store.begin_epoch("run", 5)
    store.store_validation_iteration_scores("run", scores_at(5))
    assert store.delete_training_stats("run")
    assert len(store.retrieve_training_stats("run")) == 0
    assert store.retrieve_validation_scores("run").iterations == [5]
    assert store.delete_validation_scores("run")
    assert store.epochs("run") == []
    fresh = stats_of(0, 3, loss=9.0)
    store.store_training_stats("run", fresh)
    assert reopened(store).retrieve_training_stats("run") == fresh
    assert reopened(store).retrieve_validation_scores("run").iterations == []


# validation scores


def test_scores_are_appended_once(store):
    scores = scores_at(10, 20)
    store.store_validation_iteration_scores("run", scores)
    log = store.backend.stats / "runs/run/0.scores"
    size = log.stat().st_size
    store.store_validation_iteration_scores("run", scores)
    reopened(store).store_validation_iteration_scores("run", scores)
    restored = ValidationScores.labelled(scores.labels)
    restored.scores = reopened(store).retrieve_validation_iteration_scores("run")
    reopened(store).store_validation_iteration_scores("run", restored)
    assert log.stat().st_size == size
    scores.add_iteration_scores(ValidationIterationScores(30, [[[0.1, 0.2]]]))
    store.store_validation_iteration_scores("run", scores)
    assert size < log.stat().st_size < 2 * size
    assert reopened(store).retrieve_validation_scores("run").iterations == [10, 20, 30]


def test_scores_stored_through_several_stores_are_appended_once(store):
    # Training stores what validation has just stored, through a store of its own.
    scores = scores_at(10)
    store.store_validation_iteration_scores("run", scores)
    for iteration in (20, 30):
        scores.add_iteration_scores(ValidationIterationScores(iteration, [[[0.5, 0.5]]]))
        for other in (reopened(store), store):
            other.store_validation_iteration_scores("run", scores)
    assert [record.iteration for record in store.backend.scores("run", 0)] == [10, 20, 30]
    scores.scores = store.retrieve_validation_iteration_scores("run")
    scores.add_iteration_scores(ValidationIterationScores(40, [[[0.5, 0.5]]]))
    store.store_validation_iteration_scores("run", scores)
    assert [record.iteration for record in store.backend.scores("run", 0)] == [10, 20, 30, 40]


def test_storing_scores_reads_what_is_stored_once(store, monkeypatch):
    scores = scores_at(10)
    store.store_validation_iteration_scores("run", scores)
    monkeypatch.setattr(FileBackend, "scores", None)
    for iteration in range(20, 100, 10):
        scores.add_iteration_scores(ValidationIterationScores(iteration, [[[0.5, 0.5]]]))
        reopened(store).store_validation_iteration_scores("run", scores)
    monkeypatch.undo()
    assert reopened(store).retrieve_validation_scores("run").iterations == list(range(10, 100, 10))


def test_scores_that_were_deleted_are_stored_again(store):
    scores = scores_at(10)
    store.store_validation_iteration_scores("run", scores)
    reopened(store).delete_validation_scores("run")
    store.store_validation_iteration_scores("run", scores)
    assert store.retrieve_validation_scores("run").iterations == [10]


def test_older_and_repeated_validations_are_kept_once(store):
    # B41: one store dropped them silently, the other kept two.
    store.store_validation_iteration_scores("run", scores_at(20))
    store.store_validation_iteration_scores("run", scores_at(10))
    store.store_validation_iteration_scores("run", scores_at(20, value=0.75))
    found = reopened(store).retrieve_validation_iteration_scores("run")
    assert [one.iteration for one in found] == [10, 20]
    assert [one.scores[0][0][0] for one in found] == [0.5, 0.75]


def test_scores_come_back_with_their_labels(store):
    store.store_validation_iteration_scores("run", scores_at(10, datasets=("a", "b/c")))
    found = reopened(store).retrieve_validation_scores("run")
    assert found.labels.axes == (("a", "b/c"), ("t1",), ("dice", "voi"))
    assert [criterion.higher_is_better for criterion in found.labels.criteria] == [True, False]
    assert found.best("b/c", "dice").value == 0.5


def test_labels_may_change_between_validations(store):
    store.store_validation_iteration_scores("run", scores_at(10, datasets=("a",)))
    store.store_validation_iteration_scores("run", scores_at(20, value=0.75, datasets=("b", "a")))
    found = reopened(store).retrieve_validation_scores("run")
    assert found.dataset_names == ["a", "b"]
    assert np.isnan(found.array[0, 1]).all()
    assert found.best("b", "dice").iteration == 20
    # A run that knows fewer labels than are stored does not lose the others by storing again.
    run = scores_at(datasets=("a",))
    run.scores = reopened(store).retrieve_validation_iteration_scores("run")
    reopened(store).store_validation_iteration_scores("run", run)
    assert reopened(store).retrieve_validation_scores("run").best("b", "dice").iteration == 20


def test_an_epoch_cuts_the_scores_of_weights_that_are_gone(store):
    store.store_validation_iteration_scores("run", scores_at(10, 20, 30))
    store.begin_epoch("run", 20)
    assert reopened(store).retrieve_validation_scores("run").iterations == [10, 20]
    store.store_validation_iteration_scores("run", scores_at(30, value=0.9))
    found = reopened(store).retrieve_validation_scores("run")
    assert found.iterations == [10, 20, 30]
    assert found.best("a", "dice").iteration == 30


def test_scores_that_an_epoch_cut_are_stored_again_if_they_come_out_the_same(store):
    scores = scores_at(10, 20, 30)
    store.store_validation_iteration_scores("run", scores)
    again = scores.scores[-1]
    scores.delete_after(21)
    store.begin_epoch("run", 20)
    assert store.retrieve_validation_scores("run").iterations == [10, 20]
    scores.add_iteration_scores(again)
    store.store_validation_iteration_scores("run", scores)
    assert store.retrieve_validation_scores("run").iterations == [10, 20, 30]


def test_scores_are_thinned_on_request(store):
    # B42: without an interval this was a TypeError.
    store.store_validation_iteration_scores("run", scores_at(*range(0, 100, 5)))
    retrieve = store.retrieve_validation_iteration_scores
    assert [one.iteration for one in retrieve("run", validation_interval=25)] == [0, 25, 50, 75]
    assert len(retrieve("run", subsample=True)) == 20
    thinned = [one.iteration for one in retrieve("run", subsample=4)]
    assert len(thinned) == 4 and thinned[0] == 0 and thinned[-1] == 95
    assert retrieve("other", subsample=True) == []


def test_parameter_sets_come_back_as_objects(store):
    parameters = [ThresholdPostProcessorParameters(id=i, threshold=i / 4) for i in range(3)]
    labels = ScoreLabels(("a",), tuple(parameters), (Criterion("dice", True),))
    scores = ValidationScores.labelled(labels)
    scores.add_iteration_scores(ValidationIterationScores(1, [[[0.1], [0.9], [0.5]]]))
    store.store_validation_iteration_scores("run", scores)
    best = reopened(store).retrieve_validation_scores("run").best("a", "dice")
    assert best.parameters == parameters[1]


def test_parameter_sets_that_cannot_be_read_keep_their_words():
    plain = write_parameters(ThresholdPostProcessorParameters(id=1, threshold=0.5))
    assert read_parameters(plain) == ThresholdPostProcessorParameters(id=1, threshold=0.5)
    for document in (
        {**plain["document"], "__type__": "gone.Parameters"},
        {**plain["document"], "threshold": "high"},
        {**plain["document"], "threshold": 0.75},  # its words would be others today
        {**plain["document"], "news": 1},
    ):
        found = read_parameters({"words": plain["words"], "document": document})
        assert isinstance(found, StoredParameters)
        assert str(found) == plain["words"]
        assert write_parameters(found) == {"words": plain["words"], "document": document}
    assert read_parameters(write_parameters("words")) == StoredParameters("words")


def test_the_file_store_keeps_everything_below_its_folder(tmp_path: Path):
    store = FileStatsStore(tmp_path / "somewhere")
    store.store_training_stats("run", stats_of(0, 2))
    assert store.path == tmp_path / "somewhere"
    assert (store.path / "runs/run/0.iterations").is_file()
    assert repr(store) == f"FileStatsStore(the files below {tmp_path})"


def test_a_conflict_within_an_epoch_is_refused(store):
    store.store_training_stats("run", stats_of(0, 5))
    stats = stats_of(0, 8)
    backend = FileBackend(store.backend.root)
    backend.append_block("run", 0, Block(1, np.arange(5, 7), {"loss": np.ones(2)}))
    with pytest.raises(StoreError, match="written by another process meanwhile"):
        store.store_training_stats("run", stats)


def test_very_many_iterations_are_cut_into_blocks_that_every_backend_can_keep(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("dacapo.store.stats_store.LARGEST", 40)
    store = StatsStore(MemoryBackend(str(tmp_path)))
    for until in (25, 35):
        store.store_training_stats("run", stats_of(0, until))
    assert [len(block.iterations) for block in store.backend.blocks("run", 0)] == [10, 10, 5, 10]
    assert StatsStore(store.backend).retrieve_training_stats("run") == stats_of(0, 35)


def test_after_an_append_of_unknown_outcome_what_is_stored_is_looked_at(tmp_path: Path):
    class Wavering(MemoryBackend):
        fails, does = False, False

        def append_block(self, run: str, epoch: int, block: Block) -> None:
            if self.does or not self.fails:
                super().append_block(run, epoch, block)
            if self.fails:
                raise StoreUnreachable("on purpose")

    for does in (False, True):
        backend = Wavering(f"{tmp_path}/{does}")
        store, stats = StatsStore(backend), stats_of(0, 10)
        for until, fails in ((10, False), (20, True), (30, True), (40, False)):
            stats.append(*stats_of(len(stats), until).since(0))
            backend.fails, backend.does = fails, does
            if fails:
                with pytest.raises(StoreUnreachable):
                    store.store_training_stats("run", stats)
            else:
                store.store_training_stats("run", stats)
        assert StatsStore(backend).retrieve_training_stats("run") == stats_of(0, 40)


def test_who_was_overtaken_while_out_of_reach_is_told(tmp_path: Path, monkeypatch):
    def fail(*_: object) -> None:
        raise StoreUnreachable("on purpose")

    backend = MemoryBackend(str(tmp_path))
    late, stats = StatsStore(backend), stats_of(0, 10)
    late.store_training_stats("run", stats)
    stats.append(*stats_of(10, 20).since(0))
    with monkeypatch.context() as patch, pytest.raises(StoreUnreachable):
        patch.setattr(backend, "append_block", fail)
        late.store_training_stats("run", stats)
    StatsStore(backend).begin_epoch("run", 5)
    with pytest.raises(StoreError, match="another process has gone on with run run"):
        late.store_training_stats("run", stats)
