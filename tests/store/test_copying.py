"""Copying between places: everything read back is the same, whatever kept it, and whatever interrupted it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from dacapo.errors import (
    CorruptData,
    DuplicateNameError,
    InvalidOptions,
    InvalidRequest,
    LeaseHeld,
    LeaseLost,
    NotFound,
)
from dacapo.names import RunKey
from dacapo.store import copying
from dacapo.store.backend import Block, Claim, Epoch, StoreBackend
from dacapo.store.config_store import ConfigStore
from dacapo.store.copying import COPIED, IN_PART, REFUSED, THERE, TO_COPY, copy, refused
from dacapo.store.files import FileBackend
from dacapo.store.lease import Lease, take
from dacapo.store.memory import MemoryBackend
from dacapo.store.mongo import MongoBackend
from dacapo.store.place import Place, open_place
from dacapo.store.remarks import Remarks
from dacapo.store.run_content import StoredRun
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore
from moved_runs import everything, fill, fill_run, run_config, stats_of

numbers = itertools.count()
WAYS = [
    *itertools.permutations(("files", "memory", "mongo"), 2),
    ("files", "files"),
    ("mongo", "mongo"),
    ("files", "mongo with files"),
    ("mongo with files", "mongo"),
]


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Place]:
    """Return a function that makes a new place of some sort."""

    def place(kind: str) -> Place:
        number = next(numbers)
        files = FileBackend(tmp_path / f"place{number}")
        if kind == "files":
            return Place(files, files)
        if kind == "memory":
            memory = MemoryBackend(f"copying {number}")
            return Place(memory, memory)
        mongo = request.getfixturevalue("mongo")
        backend = MongoBackend(mongo.uri, f"{mongo.name}_{number}")
        request.addfinalizer(lambda: backend._connection.client.drop_database(backend._connection.name))
        return Place(backend, files if "files" in kind else backend)

    return place


def copied(source: Place, target: Place, *patterns: str, **options: Any) -> dict[str, str]:
    return {row.what: row.state for row in copy(source, target, patterns, **options)}


@pytest.mark.parametrize("source, target", WAYS)
def test_all_of_it_arrives_wherever_it_goes(make, source: str, target: str):
    here, there = make(source), make(target)
    fill(here)
    rows = list(copy(here, there))
    assert {row.what: row.state for row in rows} == dict.fromkeys(
        ("tasks", "trainers", "run first", "run first:1"), COPIED
    )
    run = next(row for row in rows if row.what == "run first")
    assert run.counts == {
        "configs": 1,
        "epochs": 3,
        "iterations": 65,
        "scores": 4,
        "checkpoints": 3,
        "best": 3,
        "remarks": 2,
    }
    assert everything(there) == everything(here)
    assert set(copied(here, there).values()) == {THERE}


def test_what_came_since_is_copied_too(make):
    here, there = make("files"), make("memory")
    fill(here)
    list(copy(here, there))
    store = StatsStore(here.documents)
    stats = store.retrieve_training_stats("first:0")
    stats.append(*stats_of(55, 70, 3.0).since(0))
    store.store_training_stats("first:0", stats)
    store.begin_epoch("first:0", 60)
    WeightsStore(here.weights).store_weights("first:0", 60, Weights({"layer": np.ones(2)}))
    row = next(row for row in copy(here, there) if row.what == "run first")
    assert row.counts == {"epochs": 1, "iterations": 15, "checkpoints": 1}
    assert everything(there) == everything(here)


def test_how_stats_are_cut_into_blocks_does_not_count(make):
    here, there = make("memory"), make("memory")
    for place, cuts in ((here, (0, 7, 10)), (there, (0, 2, 4, 9))):
        place.documents.add_epoch("run", Epoch(0, 0))
        for sequence, (begin, end) in enumerate(itertools.pairwise(cuts)):
            columns = {"loss": np.arange(begin, end) / 3}
            place.documents.append_block("run", 0, Block(sequence, np.arange(begin, end), columns))
    row = next(iter(copy(here, there)))
    assert (row.counts["iterations"], row.state) == (1, COPIED)
    assert [block.iterations.tolist() for block in there.documents.blocks("run", 0)][-1] == [9]
    assert copied(there, here) == {"run run": THERE}


def test_tags_and_notes_of_both_places_stay(make):
    here, there = make("memory"), make("files")
    fill(here)
    list(copy(here, there))
    Remarks(there.documents).tag("runs", "first", ["theirs"])
    Remarks(here.documents).tag("runs", "first", ["mine"])
    row = next(row for row in copy(here, there) if row.what == "run first")
    assert row.counts == {"remarks": 1}
    assert [tag.text for tag in Remarks(there.documents).tags("runs", "first")] == ["good", "mine", "theirs"]


class Interrupted(Exception):
    """Stands for a kill."""


class Dying:
    """A backend that is killed before, or right after, its n-th write."""

    WRITES = ("put", "add_epoch", "append_block", "append_scores", "put_blob", "remove_blobs")

    def __init__(self, backend: StoreBackend, writes: int, after: bool) -> None:
        self._backend, self._left, self._after = backend, writes, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        return self._counted(method) if name in self.WRITES else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._after:
                raise Interrupted
            answer = method(*args, **options)
            if self._left < 0:
                raise Interrupted
            return answer

        return write


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_the_same_copy_goes_on(make, after: bool):
    here = make("memory")
    fill(here)
    whole = everything(here)
    for writes in itertools.count():
        there = make("memory")
        dying = Dying(there.documents, writes, after)
        try:
            list(copy(here, Place(dying, dying)))  # type: ignore[arg-type]
        except Interrupted:
            for key in there.documents.keys("runs"):  # what is listed is whole
                assert everything(there)["runs"][key] == whole["runs"][key]
            list(copy(here, there))
            assert everything(there) == whole
            continue
        break
    assert writes > 30


SLOW_COPY = """
import sys, time
from dacapo.store.copying import copy
from dacapo.store.files import FileBackend
from dacapo.store.place import open_place
put = FileBackend.put_blob
def slow(self, run, name, chunks):
    put(self, run, name, chunks)
    print(name, flush=True)
    time.sleep(0.05)
FileBackend.put_blob = slow
list(copy(open_place(sys.argv[1]), open_place(sys.argv[2], new=True)))
"""


def test_a_killed_process_is_gone_on_with(make, tmp_path: Path):
    here = make("files")
    fill(here)
    target = str(tmp_path / "target")
    folder = str(here.documents.root)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_COPY, folder, target], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout
    for _ in range(3):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    there = open_place(target)
    assert there.documents.keys("runs") == []
    assert copied(here, there)["run first"] == COPIED
    assert everything(there) == everything(here)


def test_a_dry_run_says_what_is_missing_and_writes_nothing(make):
    here, there = make("files"), make("files")
    fill(here)
    before = everything(there)
    rows = list(copy(here, there, dry_run=True))
    assert {row.state for row in rows} == {TO_COPY}
    assert sum(row.counts["checkpoints"] for row in rows) == 6
    assert everything(there) == before
    assert not there.documents.root.exists()


def test_only_runs_that_fit_are_copied(make):
    here, there = make("memory"), make("memory")
    fill(here)
    fill_run(here, run_config("other"))
    assert copied(here, there, "first:*", "oth*") == {"run first:1": COPIED, "run other": COPIED}
    assert there.documents.keys("tasks") == []
    with pytest.raises(
        NotFound, match="no run in the memory of this process.* fits 'secnd'; there are: first"
    ):
        copied(here, there, "secnd")


def change_config(place: Place, source: Place) -> None:
    ConfigStore(place.documents).store_run_config(run_config(iterations=7), replace=True)


def change_best(place: Place, source: Place) -> None:
    WeightsStore(place.weights).store_best("first:0", 20, "c", "voi", value=0.75)


def change_checkpoint(place: Place, source: Place) -> None:
    WeightsStore(place.weights).store_weights("first:0", 20, Weights({"layer": np.zeros((3, 4))}))


def change_score(place: Place, source: Place) -> None:
    place.documents.remove_scores("first")
    record = StoredRun(source, RunKey("first")).scores(0)[0]
    values = record.values.copy()
    values[0, 0] = 1234.5
    place.documents.append_scores("first", 0, attrs.evolve(record, values=values))


def change_stats(place: Place, source: Place) -> None:
    content = StoredRun(source, RunKey("first"))
    place.documents.remove_stats("first")
    place.documents.remove_scores("first")
    for epoch in content.epochs():
        place.documents.add_epoch("first", epoch)
    block = content.blocks(1)[0]
    columns = dict(block.columns) | {"loss": np.full(5, 4.5)}
    place.documents.append_block("first", 1, Block(0, block.iterations, columns))


def change_start(place: Place, source: Place) -> None:
    place.documents.remove_stats("first")
    place.documents.remove_scores("first")
    place.documents.add_epoch("first", Epoch(0, 3))


def change_past(place: Place, source: Place) -> None:
    epochs = StoredRun(source, RunKey("first")).epochs()
    place.documents.remove_stats("first")
    place.documents.remove_scores("first")
    place.documents.add_epoch("first", attrs.evolve(epochs[1], past=()))


def go_on(place: Place, source: Place) -> None:
    store = StatsStore(place.documents)
    store.begin_epoch("first:0", 55)
    number = place.documents.epochs("first")[-1].number
    place.documents.append_block("first", number, Block(0, np.arange(55, 60), {"loss": np.ones(5)}))
    StatsStore(source.documents).begin_epoch("first:0", 60)
    StatsStore(source.documents).begin_epoch("first:0", 61)


def go_on_elsewhere(place: Place, source: Place) -> None:
    StatsStore(place.documents).begin_epoch("first:0", 55)
    WeightsStore(source.weights).store_weights("first:0", 50, Weights({"layer": np.ones(1)}))
    record = StoredRun(source, RunKey("first")).scores(0)[0]
    source.documents.append_scores("first", 0, record)


@pytest.mark.parametrize(
    "change, says",
    [
        (change_config, "num_iterations: 7 -> 100"),
        (change_best, "best c/voi.iteration|best c/voi.value: 0.75 -> 0.5"),
        (change_checkpoint, "checkpoint 20, model: SHA-256 [0-9a-f]{12}... -> [0-9a-f]{12}..."),
        (change_score, r"scores of epoch 0, iteration 20 on crop a/b.values\[0\]\[0\]: 1234.5 -> 20.0"),
        (change_stats, "stats of epoch 1, iteration 50, loss: 4.5 -> nan"),
        (change_start, "epoch 0.start: 3 -> 0"),
        (change_past, r"epoch 1.past: \[\] -> "),
        (go_on, "epoch [0-9]+.start: 55 -> 60"),
        (go_on_elsewhere, "epoch [0-9]+: present -> absent"),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "files"])
def test_what_is_different_is_refused_with_the_difference(make, kind: str, change, says: str):
    here, there = make(kind), make("memory")
    fill(here)
    list(copy(here, there))
    change(there, here)
    before = everything(there)["runs"]["first"]
    fill_run(here, run_config("third"))
    rows = list(copy(here, there))
    states = {row.what: row.state for row in rows}
    assert states["run first"] == REFUSED and states["run third"] == COPIED
    assert everything(there)["runs"]["first"] == before
    error = refused(rows)
    assert isinstance(error, DuplicateNameError)
    with pytest.raises(DuplicateNameError, match=says):
        raise error


def test_a_run_that_is_trained_at_the_target_is_refused(make):
    here, there = make("memory"), make("memory")
    fill(here)
    with take(there.documents, RunKey("first"), "train"):
        rows = list(copy(here, there))
        assert {row.what: row.state for row in rows}["run first"] == REFUSED
        with pytest.raises(LeaseHeld, match="run first cannot be taken to copy it: it is held by"):
            raise refused(rows) or AssertionError
    assert copied(here, there)["run first"] == COPIED
    assert everything(there) == everything(here)
    newest = there.documents.newest_claim("first")
    assert newest is not None and newest.released
    list(copy(here, there))
    assert there.documents.newest_claim("first").number == newest.number  # what is there needs no lease


def test_what_happens_between_comparing_and_writing_is_seen(make, monkeypatch):
    here, there = make("memory"), make("memory")
    fill(here)
    compare, calls = copying.steps_of_run, []

    def compared(content: StoredRun, place: Place, key: RunKey) -> list[Any]:
        calls.append(key)
        steps = compare(content, place, key)
        if calls == ["first"]:
            take(place.documents, key, "validate").release()
        return steps

    monkeypatch.setattr(copying, "steps_of_run", compared)
    list(copy(here, there))
    assert calls == ["first", "first", "first:1"]
    assert everything(there) == everything(here)


def test_who_loses_the_run_while_copying_stops(make, monkeypatch):
    here, there = make("memory"), make("memory")
    fill(here)
    put = MemoryBackend.put_blob

    def stolen(self: MemoryBackend, run: str, name: str, chunks: Any) -> None:
        put(self, run, name, chunks)
        self.claim(run, Claim(99, {}))

    monkeypatch.setattr(MemoryBackend, "put_blob", stolen)
    monkeypatch.setattr(Lease, "check", Lease._renew)  # asks the store each time
    rows = list(copy(here, there, ["first"]))
    assert rows[0].state == REFUSED and isinstance(rows[0].refusals[0], LeaseLost)
    assert there.documents.keys("runs") == []


def test_several_refusals_are_told_together(make):
    here, there = make("memory"), make("memory")
    fill(here)
    list(copy(here, there))
    change_config(there, here)
    there.documents.put("tasks", "task", {"name": "task", "x": 1}, replace=True)
    rows = list(copy(here, there))
    error = refused(rows)
    assert error is not None and str(error).startswith(
        "2 were refused:\n- task task is already in the memory"
    )
    assert {row.what: row.state for row in rows}["tasks"] == IN_PART


def damage(place: Place, iteration: int = 20, part: str = "model") -> str:
    name = next(name for name in place.weights.blobs("first", f"iterations/{iteration}/") if part in name)
    data = bytearray(place.weights.get_blob("first", name))
    data[-1] ^= 1
    place.weights.put_blob("first", name, [data])
    return name


@pytest.mark.parametrize("part", ["model", "manifest"])
def test_a_damaged_checkpoint_stays_behind_and_is_named(make, part: str):
    here, there = make("files"), make("memory")
    fill(here)
    damage(here, part=part)
    rows = list(copy(here, there))
    row = next(row for row in rows if row.what == "run first")
    assert (row.state, row.counts["checkpoints"]) == (IN_PART, 2)
    with pytest.raises(CorruptData, match="checkpoint 20 of run first in .* fails its checksum"):
        raise refused(rows) or AssertionError
    assert WeightsStore(there.weights).iterations("first:0") == [10, 40]
    assert there.weights.blobs("first", "iterations/20/") == []
    assert ConfigStore(there.documents).retrieve_run_config("first:0") == run_config()


@pytest.mark.parametrize("part", ["model", "manifest"])
def test_a_checkpoint_that_was_damaged_at_the_target_is_mended(make, part: str):
    here, there = make("memory"), make("files")
    fill(here)
    list(copy(here, there))
    damage(there, part=part)
    row = next(row for row in copy(here, there) if row.what == "run first")
    assert row.counts == {"checkpoints": 1}
    assert everything(there) == everything(here)


def test_what_an_earlier_attempt_left_in_a_checkpoint_is_swept(make):
    here, there = make("memory"), make("memory")
    fill(here)
    there.weights.put_blob("first", "iterations/20/model-0000.safetensors", [b"left"])
    list(copy(here, there))
    assert there.weights.blobs("first") == here.weights.blobs("first")


def test_a_place_is_not_copied_to_itself(tmp_path: Path, make):
    place = make("files")
    fill(place)
    with pytest.raises(InvalidRequest, match="source and target are the same place"):
        list(copy(place, open_place(str(place.documents.root))))


def test_places_are_opened_by_what_people_type(tmp_path: Path, mongo, monkeypatch):
    folder = tmp_path / "runs"
    with pytest.raises(NotFound, match="does not exist; give an options file"):
        open_place(str(folder))
    assert open_place(str(folder), new=True).documents.root == folder
    monkeypatch.setenv("DACAPO_TYPE", "nonsense")  # what is in force here does not count
    options = tmp_path / "lab.yaml"
    options.write_text(f"type: mongo\nmongo_db_host: {mongo.uri}\nmongo_db_name: {mongo.name}\n"
                       f"runs_base_dir: {folder}\n")  # fmt: skip
    place = open_place(str(options))
    assert isinstance(place.documents, MongoBackend) and isinstance(place.weights, FileBackend)
    assert str(place) == f"{place.documents.place} and the files below {folder}"
    by_uri = open_place(f"{mongo.uri}{mongo.name}?appName=x")
    assert str(by_uri) == place.documents.place and isinstance(by_uri.weights, MongoBackend)
    with pytest.raises(NotFound, match="missing.yaml does not exist"):
        open_place(str(tmp_path / "missing.yaml"), new=True)


@pytest.mark.parametrize("text", ["mongodb://me:hunter2@host:27017", "s3://me:hunter2@bucket/runs"])
def test_what_is_no_place_is_refused_without_its_password(text: str):
    with pytest.raises(InvalidOptions, match="mongodb://host:27017/da") as caught:
        open_place(text)
    assert "hunter2" not in str(caught.value)


def test_a_third_backend_need_not_be_known(make):
    class Elsewhere(MemoryBackend):
        """Offers the primitive operations and nothing else."""

        def __getattribute__(self, name: str) -> Any:
            known = {
                *StoreBackend.__abstractmethods__,
                "newest_epoch",
                "twins",
                "keeps_time",
                "add",
                "rank",
                "unrank",
            }
            assert name.startswith("_") or name in (*known, "name"), name
            return super().__getattribute__(name)

    here = make("files")
    fill(here)
    backend = Elsewhere(f"elsewhere {next(numbers)}")
    list(copy(here, Place(backend, backend)))
    back = make("files")
    list(copy(Place(backend, backend), back))
    assert everything(back) == everything(here)
