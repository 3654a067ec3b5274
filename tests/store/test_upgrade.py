"""Old stores rewritten in the present format: nothing is lost, whenever it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.experiments.run import Run
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.files import FileBackend
from dacapo.store.legacy.files import OldFiles
from dacapo.store.legacy.import_pickles import import_pickles
from dacapo.store.legacy.reading import WithOldData
from dacapo.store.legacy.rewriting import rewritten
from dacapo.store.legacy.upgrade import upgrade
from dacapo.store.mongo import MongoBackend
from dacapo.store.place import place_of
from mongo_places import MongoPlace
from old_stores import (
    NAME,
    OldFileStore,
    OldMongoStore,
    array_document,
    fill,
    run_document,
    scores_of,
    stats_of,
    write_best,
    write_checkpoint,
)

WRITES = ("put", "append_block", "append_scores", "add_epoch", "put_blobs")
MOVES = ("remember", "retire", "set_aside", "put_log_aside")


@pytest.fixture(params=["mongo", "files"])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Iterator[Any]:
    if request.param == "files":
        yield OldFileStore(tmp_path / "runs")
        return
    mongo: MongoPlace = request.getfixturevalue("mongo")
    for key, value in mongo.options.items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
    store = OldMongoStore(mongo)
    yield store
    store.client.close()


def everything(old: Any) -> list[str]:
    """Do all that there is for a place."""
    return [*import_pickles(place_of()), *upgrade(place_of())]


def plain(value: Any) -> Any:
    """Return a document as databases and YAML hold it: with lists in place of tuples."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))
    if not items:
        yield path, value


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        if isinstance(step, str) and step not in document:
            step = step.removeprefix("_")
        document = document[step]
    return document


def written(path: tuple[Any, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def assert_nothing_is_lost(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Compare field by field: each is at its place, or kept word for word."""
    kept = after["__meta__"].get("kept", {})
    for path, value in leaves(plain(before)):
        if written(path) in kept:
            assert kept[written(path)] == value
        else:
            assert at(after, path) == value, path


def test_no_field_of_a_config_is_lost_and_everything_is_read_as_before(old, tmp_path):
    run = fill(old, tmp_path / "data")
    strange = {"__type__": "AffinitiesTaskOfSomebody", "name": "strange", "deep": {"_x": [1, [2.5]]}}
    old.config("tasks", strange)
    doubled = array_document("doubled", Path("x"), "raw") | {"file_name": "/a//b/./c.zarr"}
    old.config("arrays", doubled)
    before = create_config_store().retrieve_run_config(NAME)
    lines = list(upgrade(place_of()))
    assert f"run {NAME}: config" in lines
    store = create_config_store()
    inner = store.backend.inner if isinstance(store.backend, WithOldData) else store.backend
    assert_nothing_is_lost(run, inner.get("runs", NAME))
    assert_nothing_is_lost(strange, inner.get("tasks", "strange"))
    assert_nothing_is_lost(doubled, inner.get("arrays", "doubled"))
    assert inner.get("arrays", "doubled")["__meta__"]["kept"] == {"file_name": "/a//b/./c.zarr"}
    assert "upgraded" in inner.get("tasks", "strange")["__meta__"]
    assert store.retrieve_run_config(NAME) == before
    assert store.retrieve_task_config("strange").document["deep"] == strange["deep"]
    assert [line for line in upgrade(place_of()) if "config" in line] == []


def test_a_dry_run_says_the_same_and_changes_nothing(old, tmp_path):
    fill(old, tmp_path / "data")
    root = tmp_path / "runs"
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 4)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    said = list(upgrade(place_of(), dry_run=True))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files
    assert list(upgrade(place_of(), dry_run=True)) == said
    done = list(upgrade(place_of()))
    assert [line for line in done if not line.endswith(" scores") or "until" in line] == said


def state(root: Path) -> tuple[Any, ...]:
    """Read a run as people do, with stores opened anew."""
    stats, weights = create_stats_store(), create_weights_store()
    series, scores = stats.retrieve_training_stats(NAME), stats.retrieve_validation_scores(NAME)
    config = create_config_store().retrieve_run_config(NAME)
    run = Run(config)
    run.load_weights(weights.retrieve_weights(run, 4), training=True)
    tensors = [tensor.sum().item() for tensor in run.model.state_dict().values()]
    best = [(one.dataset, one.criterion, one.iteration) for one in weights.best(run)]
    columns = {name: column.tolist() for name, column in series.columns.items()}
    return config, columns, np.nan_to_num(scores.array, nan=-1).tolist(), scores.labels, tensors, best


@pytest.fixture
def killed(monkeypatch) -> Callable[[Callable[[], Any], int], str]:
    """Return a function that ends an action after so many writes, as a kill does, and says after which."""
    budget = [10**9]

    def counted(method: Any) -> Any:
        def write(*arguments: Any, **options: Any) -> Any:
            answer = method(*arguments, **options)
            if answer is not False:
                budget[0] -= 1
                if budget[0] < 0:
                    raise KeyboardInterrupt(method.__name__)
            return answer

        return write

    for cls, names in ((FileBackend, WRITES), (MongoBackend, WRITES), (OldFiles, MOVES)):
        for name in names:
            monkeypatch.setattr(cls, name, counted(getattr(cls, name)))

    def run(action: Callable[[], Any], writes: int) -> str:
        budget[0] = writes - 1
        try:
            action()
        except KeyboardInterrupt as kill:
            return str(kill)
        finally:
            budget[0] = 10**9
        return ""

    return run


@pytest.mark.parametrize("repetition", [0, 2])
def test_an_upgrade_that_is_killed_after_every_write_loses_nothing(old, tmp_path, killed, repetition):
    fill(old, tmp_path / "data", repetition=repetition)
    root = tmp_path / "runs"
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 4)
    write_best(root, "validate", "ball__voi", 4)
    before = state(root)
    is_mongo = isinstance(old, OldMongoStore)
    kills, writes = [], 1
    while last := killed(lambda: everything(old), writes):
        found = state(root)
        assert (found[0], found[4]) == (before[0], before[4])
        assert set(before[5]) <= set(found[5])
        if is_mongo:
            assert found[:4] == before[:4]
        kills.append(last)
        # Moves and the parts of a checkpoint are done again each time, so go one further then.
        writes = writes + 1 if last in (*MOVES, "put_blobs") else 1
    assert {"put", "append_block", "append_scores", "add_epoch", "put_blobs"} <= set(kills)
    assert len(kills) > 12
    store = create_stats_store()
    assert len(store.retrieve_training_stats(NAME)) == 6
    assert store.retrieve_validation_scores(NAME).iterations == [4]
    [best] = store.best_runs("ball__f1_score", "validate")
    assert (best.run.partition(":")[0], best.iteration) == (NAME, 4)
    left = everything(old)
    assert left == []
    if is_mongo:
        assert old.database.training_stats.count_documents({}) == 6
        assert old.database.runs.count_documents({}) == 1
    else:
        assert (root / "configs" / ".before-upgrade" / "runs" / f"{NAME}.yaml").is_file()
        assert (root / "stats" / ".before-upgrade" / "training_stats" / NAME).is_file()
    # That of another repetition is in nobody's way.
    kept = "iterations" if repetition else ".before-upgrade"
    assert (root / NAME / "checkpoints" / kept / "4").is_file()


def test_a_run_that_went_on_here_keeps_one_series_after_the_upgrade(old, tmp_path):
    fill(old, tmp_path / "data")
    store = create_stats_store()
    store.begin_epoch(NAME, 4)
    from dacapo.experiments.training_stats import TrainingStats

    store.store_training_stats(NAME, TrainingStats.of([4, 5], {"loss": [7.0, 8.0], "time": [1.0, 1.0]}))
    everything(old)
    found = create_stats_store().retrieve_training_stats(NAME)
    assert found.columns["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4, 7.0, 8.0]
    scores = create_stats_store().retrieve_validation_scores(NAME)
    assert scores.iterations == [4] and scores.dataset_names == ["validate"]


def test_the_best_checkpoints_are_recorded_from_the_scores(old, tmp_path):
    fill(old, tmp_path / "data")
    write_checkpoint(tmp_path / "runs", create_config_store().retrieve_run_config(NAME), 4)
    assert create_weights_store().best(NAME) == []
    everything(old)
    best = {one.criterion: one for one in create_weights_store().best(NAME)}
    assert best.keys() == {"ball__f1_score", "ball__voi"}
    assert create_weights_store().retrieve_best(NAME, "validate", "ball__jaccard") == 4
    assert (best["ball__f1_score"].iteration, best["ball__f1_score"].value) == (4, 4.2)
    assert str(best["ball__f1_score"].parameters) == "threshold_127.0"


def test_what_cannot_be_upgraded_is_said_and_left(old, tmp_path):
    fill(old, tmp_path / "data")
    old.stats("nobody", stats_of("nobody", 2))
    broken = tmp_path / "runs" / NAME / "checkpoints" / "iterations" / "4"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"cut short")
    lines = everything(old)
    assert any("stats of 'nobody': left as they are: there is no run of that name" in line for line in lines)
    assert any(f"run {NAME}: checkpoint 4 left as it is" in line for line in lines)
    assert broken.read_bytes() == b"cut short"


def test_a_damaged_config_is_left(tmp_path):
    store = OldFileStore(tmp_path / "runs")
    path = store.root / "configs" / "tasks" / "broken.yaml"
    path.write_text("a: [1\n")
    (line,) = upgrade(place_of())
    assert line.startswith("task broken: left as it is: ")
    assert path.read_text() == "a: [1\n"


def test_values_that_fit_no_type_stay_word_for_word(tmp_path):
    document = run_document(tmp_path / "data")["task_config"] | {"scale_factor": -1}
    made = rewritten(document, "tasks")
    assert {key: value for key, value in made.items() if key != "__meta__"} == document


def test_a_run_of_the_present_format_is_not_overwritten_by_an_import(tmp_path):
    store = OldFileStore(tmp_path / "runs")
    fill(store, tmp_path / "data")
    backend = FileBackend(tmp_path / "runs")
    from dacapo.experiments.training_stats import TrainingStats
    from dacapo.store.stats_store import StatsStore

    StatsStore(backend).store_training_stats(NAME, TrainingStats.of([0], {"loss": [5.0], "time": [1.0]}))
    (line,) = import_pickles(place_of())
    assert "the run has stats of its own from the beginning" in line
    assert create_stats_store().retrieve_training_stats(NAME).columns["loss"].tolist() == [5.0]
    assert (store.root / "stats" / "training_stats" / NAME).is_file()


def test_scores_of_a_series_are_all_imported(tmp_path):
    store = OldFileStore(tmp_path / "runs")
    fill(store, tmp_path / "data")
    store.scores(NAME, scores_of(NAME, 4, 2, 4))
    (line,) = import_pickles(place_of())
    assert line == f"run {NAME}: stats until iteration 6, scores of 2 iterations"
    assert create_stats_store().retrieve_validation_scores(NAME).iterations == [2, 4]
