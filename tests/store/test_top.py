"""Which runs are best: on every backend, while runs go on, are cut, moved, deleted, were never compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pymongo
import pytest
import yaml

from dacapo.errors import InvalidDocument, InvalidRequest, LeaseLost, NotFound, StoreUnreachable
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.names import RunKey
from dacapo.store import ranking
from dacapo.store.archive import export_run
from dacapo.store.archive_reading import opened_archive
from dacapo.store.backend import ScoresRecord, StoreBackend
from dacapo.store.changes import Stores, empty_trash, rename_run, restore_run, trash_run
from dacapo.store.check import check
from dacapo.store.copying import copy, copy_run
from dacapo.store.deletion import delete_run
from dacapo.store.files import FileBackend
from dacapo.store.lease import take
from dacapo.store.listing import Query
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.place import Place
from dacapo.store.run_content import StoredRun
from dacapo.store.standings import Standing
from dacapo.store.stats_store import StatsStore
from mongo_places import MongoPlace
from stored_runs import PLACES, fill, place_of, run_config, stores_of

LABELS = ScoreLabels(
    ("crop7", "crop8"),
    ("t_0.3", "t_0.5"),
    (Criterion("mito__f1_score", True), Criterion("er__f1_score", True), Criterion("mito__voi", False)),
)
NAN = math.nan


@pytest.fixture(params=PLACES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Stores]:
    place = place_of(request.param, request, tmp_path / "runs")
    return lambda: stores_of(place(), tmp_path / "runs")


def scores_at(iteration: int, value: float, labels: ScoreLabels = LABELS) -> ValidationScores:
    """Return scores of one iteration, all of one value."""
    scores = ValidationScores.labelled(labels)
    scores.add_iteration_scores(ValidationIterationScores(iteration, np.full(labels.shape, value).tolist()))
    return scores


def score(stores: Stores, run: str, iteration: int, *values: float) -> None:
    """Store scores of a run, an iteration a value, all of its scores being that value."""
    scores = ValidationScores.labelled(LABELS)
    for number, value in enumerate(values):
        matrix = np.full(LABELS.shape, value).tolist()
        scores.add_iteration_scores(ValidationIterationScores(iteration + 10 * number, matrix))
    stores.stats.store_validation_iteration_scores(run, scores)


def top(stores: Stores, criterion: str = "mito__f1_score", *args: Any, **asked: Any) -> list[tuple[Any, ...]]:
    return [(one.run, one.value, one.iteration) for one in stores.stats.best_runs(criterion, *args, **asked)]


def assert_nothing_is_wrong(stores: Stores) -> None:
    for run in stores.stats.backend.logged_runs():
        assert ranking.is_right(stores.stats.backend, run), run


def test_the_best_of_each_run_is_found_with_where_it_was_reached(opened):
    stores = opened()
    for run, reached in {"a": 0.5, "b": 0.75, "c": 0.0}.items():
        scores = ValidationScores.labelled(LABELS)
        for iteration, better in ((10, 0.0), (20, 0.125), (30, 0.0625)):
            # datasets x parameters x criteria
            matrix = [[[NAN, 0.2, 9], [reached + better, NAN, 2]], [[0.01, NAN, 3], [0.02, NAN, reached]]]
            scores.add_iteration_scores(ValidationIterationScores(iteration, matrix))
            stores.stats.store_validation_iteration_scores(run, scores)
    found = opened().stats.best_runs("mito__f1_score", "crop7")
    assert [(one.run, one.value) for one in found] == [("b", 0.875), ("a", 0.625), ("c", 0.125)]
    first = Standing("b", "crop7", "mito__f1_score", 0.875, 20, "t_0.5", True, 0)
    assert found[0] == first and opened().stats.best_runs("mito__f1_score", "crop7", 1) == [first]
    assert top(opened(), "mito__voi", "crop8") == [("c", 0.0, 10), ("a", 0.5, 10), ("b", 0.75, 10)]
    assert top(opened(), "mito__voi") == [("c", 0.0, 10), ("a", 0.5, 10), ("b", 0.75, 10)]
    assert top(opened(), "er__f1_score", "crop7") == [(run, 0.2, 10) for run in "abc"]
    # The short name means every channel, and every run is there once.
    assert [one.criterion for one in opened().stats.best_runs("f1_score")] == [
        "mito__f1_score",
        "mito__f1_score",
        "er__f1_score",
    ]
    assert_nothing_is_wrong(opened())


def test_only_what_was_measured_counts(opened):
    score(opened(), "nothing", 10, NAN)
    score(opened(), "least", 10, NAN, -math.inf, NAN)
    score(opened(), "most", 10, NAN, math.inf)
    assert top(opened()) == [("most", math.inf, 20), ("least", -math.inf, 20)]
    assert top(opened(), "mito__voi") == [("least", -math.inf, 20), ("most", math.inf, 20)]
    scores = ValidationScores.labelled(LABELS)
    scores.add_iteration_scores(ValidationIterationScores(10, [[[NAN, 1, 1], [-math.inf, 1, 1]]] * 2))
    opened().stats.store_validation_iteration_scores("mixed", scores)
    assert opened().stats.best_runs("mito__f1_score")[-1].parameters == "t_0.5"
    assert_nothing_is_wrong(opened())


def test_what_is_unknown_is_named_with_what_is_meant(opened):
    with pytest.raises(NotFound, match="no run in .* has scores to be compared by; .* dacapo store init"):
        top(opened())
    score(opened(), "a", 10, 0.5)
    with pytest.raises(NotFound, match="'f1_scor'; did you mean f1_score.* there are er__f1_score, mito__f1"):
        top(opened(), "f1_scor")
    with pytest.raises(NotFound, match="mito__voi on the dataset 'crop9'; did you mean crop8 or crop7"):
        top(opened(), "mito__voi", "crop9")
    with pytest.raises(InvalidRequest, match="at least one run"):
        top(opened(), "voi", count=0)
    odd: Any = {"$ne": 1}
    with pytest.raises(InvalidRequest, match="a criterion should be given as a text"):
        top(opened(), odd)
    with pytest.raises(InvalidRequest, match="a dataset should be given as a text"):
        top(opened(), "voi", odd)


def test_runs_are_chosen_as_in_lists(opened):
    stores = opened()
    for number in range(6):
        stores.configs.store_run_config(run_config(f"run-{number}", task="mito" if number % 2 else "er"))
        score(stores, f"run-{number}", 10, number / 10)
    score(stores, "orphan", 10, 0.01)
    stores.configs.tag("runs", "run-3", ["good"])
    stores.configs.tag("runs", "run-5", ["archived"])

    def names(*args: Any, **asked: Any) -> list[str]:
        return [one[0] for one in top(opened(), "f1_score", *args, **asked)]

    assert names() == ["run-4", "run-3", "run-2", "run-1", "orphan", "run-0"]
    assert names(archived=True)[0] == names("crop7", 1, archived=True)[0] == "run-5"
    assert names(count=2) == names("crop8", 2) == ["run-4", "run-3"]
    assert names(query=Query({"task": ["mito"]})) == ["run-3", "run-1"]
    assert names(query=Query({"task": ["mito"]}), archived=True) == ["run-5", "run-3", "run-1"]
    assert names(query=Query(match="*-?"), tags=["good"]) == ["run-3"]
    assert names(query=Query(until="2000-01-01")) == names(query=Query({"owner": ["nobody"]})) == []
    assert names("crop7", 1, Query({"task": ["er"]})) == ["run-4"]


def test_many_archived_runs_do_not_hide_the_best_of_the_others(opened):
    stores = opened()
    for number in range(12):
        run = f"run-{number:02}"
        stores.configs.store_run_config(run_config(run))
        score(stores, run, 10, 1 - number / 100)
        if number < 10:
            stores.configs.tag("runs", run, ["archived"])
    trash_run("run-10", opened())
    assert top(opened(), count=1) == [("run-11", 0.89, 10)]
    assert len(top(opened(), archived=True)) == 11


def test_an_epoch_that_cuts_scores_cuts_what_is_best(opened):
    stores = opened()
    score(stores, "run", 10, 0.5, 0.75, 0.9, 0.6)
    score(stores, "other", 10, 0.8)
    assert top(opened()) == [("run", 0.9, 30), ("other", 0.8, 10)]
    opened().stats.begin_epoch("run", 20)
    assert top(opened()) == [("other", 0.8, 10), ("run", 0.75, 20)]
    assert {one.epoch for one in opened().stats.backend.standings("run")} == {1}
    score(opened(), "run", 30, 0.85)
    assert top(opened()) == [("run", 0.85, 30), ("other", 0.8, 10)]
    opened().stats.begin_epoch("run", 5)
    assert top(opened()) == [("other", 0.8, 10)] and opened().stats.backend.standings("run") == []
    assert_nothing_is_wrong(opened())
    opened().stats.begin_epoch("other", 10)  # goes on where it was
    assert top(opened()) == [("other", 0.8, 10)]


def test_a_lease_that_goes_on_from_an_earlier_iteration_cuts_too(opened):
    score(opened(), "run", 10, 0.5, 0.9)
    with take(opened().stats.backend, "run", "train") as lease:
        lease.begin(10)
    assert top(opened()) == [("run", 0.5, 10)]
    assert_nothing_is_wrong(opened())


def test_scores_that_are_scored_again_count_as_they_are_now(opened):
    score(opened(), "run", 10, 0.5, 0.9)
    scores = scores_at(20, 0.1)
    stats = opened().stats
    stats.store_validation_iteration_scores("run", scores)
    assert top(opened()) == [("run", 0.5, 10)]
    again = scores_at(10, 0.3)
    stats.store_validation_iteration_scores("run", again)
    assert top(opened()) == [("run", 0.3, 10)]
    scores.add_iteration_scores(ValidationIterationScores(20, np.full(LABELS.shape, NAN).tolist()))
    stats.store_validation_iteration_scores("run", again)
    assert_nothing_is_wrong(opened())


def test_who_comes_late_is_not_seen(opened):
    """A writer that slept past its lease writes scores and standings, and then to a run that has none."""
    backend, late = opened().stats.backend, opened().stats.backend
    score(opened(), "run", 10, 0.5)
    for cut in (10, 5):
        epoch = backend.newest_epoch("run")
        opened().stats.begin_epoch("run", cut)
        before = top(opened()) if cut == 10 else []
        criteria: list[dict[str, Any]] = [{"name": "mito__f1_score", "higher_is_better": True}]
        record = ScoresRecord(5, "crop7", [{"words": "late"}], criteria, np.array([[99.0]]))
        late.append_scores("run", epoch, record)
        standing = Standing("run", "crop9", "mito__f1_score", 99.0, 5, "late", True, epoch)
        late.rank("run", epoch, [standing], [standing])
        late.rank("run", epoch, [standing])
        found = top(opened()) if cut == 10 else [one for one in _all(backend) if _is_sure(backend, one)]
        assert found == before


def _all(backend: StoreBackend) -> list[Standing]:
    return backend.ranked(backend.rated(), None, 9)


def _is_sure(backend: StoreBackend, standing: Standing) -> bool:
    return standing.epoch == backend.newest_epoch(standing.run)


def test_standings_that_an_epoch_left_behind_are_looked_through_when_they_are_read(opened, monkeypatch):
    """Killed before the standings of a new epoch are written, they say too much, and nobody believes them."""
    score(opened(), "run", 10, 0.5, 0.9)
    score(opened(), "gone", 20, 0.95)
    score(opened(), "other", 10, 0.7)
    with monkeypatch.context() as patch:
        patch.setattr(ranking, "epoch_began", lambda *_: None)
        opened().stats.begin_epoch("run", 10)
        opened().stats.begin_epoch("gone", 10)
    assert top(opened()) == [("other", 0.7, 10), ("run", 0.5, 10)]
    assert top(opened(), count=1) == [("other", 0.7, 10)]
    stale = [one.about for one in check(opened(), deep=True) if "dacapo top" in one.problem]
    assert stale == ["run gone", "run run"]
    for one in check(opened(), deep=True):
        if one.repair and "dacapo top" in one.problem:
            one.repair()
    assert_nothing_is_wrong(opened())


@pytest.mark.parametrize("error", [StoreUnreachable, InvalidDocument])
def test_scores_are_stored_even_if_they_cannot_be_compared(opened, error, monkeypatch, caplog):
    def refuse(*_: Any, **__: Any) -> bool:
        raise error("no")

    stores, scores = opened(), scores_at(10, 0.5)
    score(opened(), "other", 10, 0.4)
    with monkeypatch.context() as patch:
        patch.setattr(type(stores.stats.backend), "rank", refuse)
        stores.stats.store_validation_iteration_scores("run", scores)
    assert "its scores are stored, but not yet compared" in caplog.text
    assert opened().stats.retrieve_validation_scores("run").iterations == [10]
    assert top(opened()) == [("other", 0.4, 10)]
    [found] = [one for one in check(opened()) if one.repair]
    assert found.about == "run run" and "dacapo top" in found.problem
    # The next scores make up for it, even if they are worse.
    scores.add_iteration_scores(ValidationIterationScores(20, np.full(LABELS.shape, 0.1).tolist()))
    stores.stats.store_validation_iteration_scores("run", scores)
    assert top(opened()) == [("run", 0.5, 10), ("other", 0.4, 10)]


def test_only_what_got_better_is_written(opened, monkeypatch):
    stores, scores = opened(), scores_at(10, 0.5)
    written: list[int | None] = []
    backend = type(stores.stats.backend)
    rank = backend.rank

    def counted(self: Any, run: str, epoch: int, standings: Any, changed: Any = None) -> bool:
        written.append(None if changed is None else len(changed))
        return rank(self, run, epoch, standings, changed)

    monkeypatch.setattr(backend, "rank", counted)
    for iteration, better in ((10, 0.5), (20, 0.5), (30, 0.75), (40, 0.25), (50, 0.75)):
        scores.add_iteration_scores(
            ValidationIterationScores(iteration, np.full(LABELS.shape, better).tolist())
        )
        stores.stats.store_validation_iteration_scores("run", scores)
    # First everything; of f1 and voi on two datasets: more, then less.
    assert written == [None, 4, 2]
    assert top(opened()) == [("run", 0.75, 30)] and top(opened(), "voi") == [("run", 0.25, 40)]


def test_what_happens_to_a_run_happens_to_its_place(opened):
    for run, value in (("a", 0.5), ("b", 0.75)):
        fill(opened(), run_config(run), value)
    assert top(opened(), "dice") == [("b", 0.75, 1), ("a", 0.5, 1)]
    rename_run("b", "c", opened())
    assert top(opened(), "dice") == [("c", 0.75, 1), ("a", 0.5, 1)]
    trash_run("c", opened())
    fill(opened(), run_config("c"), 0.25)
    assert top(opened(), "dice") == top(opened(), "dice", archived=True) == [("a", 0.5, 1), ("c", 0.25, 1)]
    restore_run("c", opened(), "d")
    assert top(opened(), "dice") == [("d", 0.75, 1), ("a", 0.5, 1), ("c", 0.25, 1)]
    delete_run("a", *opened())
    trash_run("c", opened())
    empty_trash(opened())
    assert top(opened(), "dice") == [("d", 0.75, 1)] and opened().stats.backend.ranked_runs() == ["d"]
    assert opened().stats.delete_validation_scores("d")
    with pytest.raises(NotFound):
        top(opened(), "dice")
    assert [one.problem for one in check(opened(), deep=True)] == []


def test_copies_and_imports_are_compared(opened, tmp_path):
    fill(opened(), run_config("a"), 0.5, 0.75)
    fill(opened(), run_config("b"), 0.7)
    opened().stats.begin_epoch("a", 1)
    source, target = (
        Place(one, one) for one in (opened().stats.backend, MemoryBackend(f"{tmp_path} target"))
    )
    expected = top(opened(), "dice")
    assert expected == [("b", 0.7, 1), ("a", 0.5, 1)]
    list(copy(source, target, dry_run=True))
    assert target.documents.ranked_runs() == []
    list(copy(source, target))
    assert top(stores_of(target.documents, tmp_path), "dice") == expected
    export_run(StoredRun(source, RunKey("a")), tmp_path / "a.zip")
    with opened_archive(tmp_path / "a.zip") as content:
        copy_run(content, target, RunKey("new"))
    assert top(stores_of(target.documents, tmp_path), "dice") == [*expected, ("new", 0.5, 1)]


def test_what_was_stored_before_there_were_standings_is_compared_when_asked(opened, monkeypatch):
    for run in ("a", "b"):
        fill(opened(), run_config(run), 0.5)
        opened().stats.backend.unrank(run)
    score(opened(), "new", 10, 0.5)
    with pytest.raises(NotFound, match="there are er__f1_score"):
        top(opened(), "dice")
    found = [one for one in check(opened()) if one.repair]
    assert [one.about for one in found] == ["run a", "run b"]
    assert found[0].repair is not None
    found[0].repair()
    assert top(opened(), "dice") == [("a", 0.5, 1)]
    assert ranking.complete(opened().stats.backend) == 1 and ranking.complete(opened().stats.backend) == 0
    assert top(opened(), "dice") == [("a", 0.5, 1), ("b", 0.5, 1)]


def test_scores_that_are_stored_while_a_run_is_compared_anew_are_not_forgotten(opened, monkeypatch):
    score(opened(), "run", 10, 0.5)
    backend = opened().stats.backend
    rank, between = type(backend).rank, [0.9]

    def interrupted(self: Any, run: str, *rest: Any) -> bool:
        if between:
            value = between.pop()
            score(opened(), "run", 20, value)
        return bool(rank(self, run, *rest))

    monkeypatch.setattr(type(backend), "rank", interrupted)
    ranking.renew(backend, "run")
    assert top(opened()) == [("run", 0.9, 20)]


def test_wrong_standings_are_found_by_a_deep_check_and_made_anew(opened):
    score(opened(), "run", 10, 0.5)
    backend = opened().stats.backend
    wrong = [attrs.evolve(one, value=0.9) for one in backend.standings("run")]
    backend.rank("run", 0, wrong)
    backend.rank("nothing", 3, [attrs.evolve(wrong[0], run="nothing")])
    assert top(opened()) == [("run", 0.9, 10)]
    assert [one.about for one in check(opened()) if one.repair] == ["run nothing"]
    for one in check(opened(), deep=True):
        if one.repair is not None:
            one.repair()
    assert top(opened()) == [("run", 0.5, 10)] and backend.ranked_runs() == ["run"]


def test_a_damaged_file_of_standings_is_passed_over_and_replaced(tmp_path, caplog):
    stores = stores_of(FileBackend(tmp_path), tmp_path)
    for run in ("a", "b"):
        score(stores, run, 10, 0.5)
    path = tmp_path / "stats/standings/a.yaml"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9", 1))
    assert top(stores_of(FileBackend(tmp_path), tmp_path)) == [("b", 0.5, 10)]
    assert "standing a is left out" in caplog.text
    [found] = [one for one in check(stores, deep=True) if one.repair]
    assert found.about == "run a" and found.repair is not None
    found.repair()
    assert top(stores_of(FileBackend(tmp_path), tmp_path)) == [("a", 0.5, 10), ("b", 0.5, 10)]
    assert yaml.safe_load(path.read_bytes())["standings"][0]["parameters"] == "t_0.3"


# MongoDB


def bests(count: int) -> list[dict[str, Any]]:
    """Return the entries of as many runs as the store would write them."""
    made = []
    for number in range(count):
        run = f"run-{number:05}"
        for dataset in ("crop7", "crop8"):
            one = Standing(run, dataset, "mito__f1_score", (number * 7919 % count) / count, 10, "t", True, 0)
            made.append({"_id": f"{run}/{dataset}", **attrs.asdict(one), "rank": one.rank})
    return made


def test_mongo_answers_from_the_index(mongo: MongoPlace):
    """Of 2 000 runs the best 20 are found by looking at 20 entries, in the order of the index."""
    backend = MongoBackend(mongo.uri, mongo.name)
    with pymongo.MongoClient(mongo.uri) as client:
        database = client[mongo.name]
        database["dacapo.standings"].insert_many(bests(2000))
        database["dacapo.epochs"].insert_many(
            [
                {"_id": f"run-{n:05}/{0:010}", "run": f"run-{n:05}", "epoch": 0, "start": 0, "token": "t"}
                for n in range(2000)
            ]  # fmt: skip
        )
        database.command("profile", 2)
        assert len(StatsStore(backend).best_runs("f1_score", "crop7")) == 20
        assert len(StatsStore(backend).best_runs("f1_score", count=5)) == 5
        few = [f"run-{number:05}" for number in range(3)]
        assert len(backend.ranked(["mito__f1_score"], "crop7", 20, few)) == 3
        database.command("profile", 0)
        asked = list(database["system.profile"].find({"ns": f"{mongo.name}.dacapo.standings"}))
    queries = [one for one in asked if one["op"] == "query"]
    assert [one["docsExamined"] for one in queries[:2]] == [20, 5]
    assert queries[-1]["docsExamined"] == 3
    assert all(one["planSummary"].startswith("IXSCAN") and not one.get("hasSortStage") for one in queries)
    distinct = [one for one in asked if one["op"] != "query"]
    assert distinct and all(one["keysExamined"] <= 10 for one in distinct)


def test_mongo_plans_without_sorting(mongo: MongoPlace):
    MongoBackend(mongo.uri, mongo.name)
    with pymongo.MongoClient(mongo.uri) as client:
        there = client[mongo.name]["dacapo.standings"]
        there.insert_many(bests(500))
        for dataset in ({}, {"dataset": "crop7"}):
            cursor = there.find({"criterion": {"$in": ["a", "mito__f1_score"]}, **dataset})
            plan = cursor.sort([("rank", 1), ("run", 1)]).limit(20).explain()
            stats = plan["executionStats"]
            assert stats["totalDocsExamined"] == 20 and stats["totalKeysExamined"] <= 22
            assert "SORT'" not in str(plan["queryPlanner"]["winningPlan"])


def test_a_lost_lease_compares_nothing(opened):
    stores = opened()
    with take(stores.stats.backend, "run", "train", seconds=60) as lease:
        stores.stats.write_under(lease)
        score(stores, "run", 10, 0.5)
        lease.stop_beating()
        lease.backend.release_claim("run", lease.number)
        opened().stats.begin_epoch("run", 10)
        with pytest.raises(LeaseLost):
            score(stores, "run", 20, 0.9)
    assert top(opened()) == [("run", 0.5, 10)]
