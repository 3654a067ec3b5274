"""What people read when something cannot be done, word for word: what, whose, and what to do next."""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dacapo import provenance
from dacapo.errors import DacapoError
from dacapo.store import framed_log
from dacapo.store.backend import Claim
from dacapo.store.framed_log import Frame, FramedLog
from dacapo.store.holder import Holder
from dacapo.store.intents import change_now, intend
from dacapo.store.manifest import seal, unseal
from dacapo.store.memory import MemoryBackend
from dacapo.store.queue import CLAIMED, Queue
from dacapo.store.remarks import Remarks, check_tag
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore, expendable
from dacapo.testing.stores import stats_of
from stored_runs import run_config, stores_of

numbers = itertools.count()
ME = f"{provenance.user()}@{socket.gethostname()}, process {os.getpid()}"


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend(f"messages {next(numbers)}")


def message(act: Callable[[], object]) -> str:
    """Return what an act is refused with, times left out."""
    with pytest.raises(DacapoError) as refused:
        act()
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]+\+00:00", "<time>", str(refused.value))


def test_of_the_queue(backend, tmp_path: Path):
    stores = stores_of(backend, tmp_path)
    stores.configs.store_run_config(run_config("run"))
    queue = Queue(stores.configs)
    assert repr(queue) == f"Queue({backend!r})"
    assert message(lambda: queue.add("other")) == (f"run other: no such config in {backend!r}; there are run")
    assert message(lambda: queue.cancel("run")) == (
        f"run run was never queued in {backend!r}; see  dacapo queue list"
    )
    queue.add("run")
    assert message(lambda: queue.add("run")) == (
        f"run run is queued already, since <time> by {ME}; "
        "to change its place, first  dacapo queue cancel run"
    )
    claimed = queue.claim("@worker", {})
    assert claimed is not None and claimed.state == CLAIMED
    assert backend.claim("@worker", Claim(0, Holder.here("work").write()))
    stop = (
        f"to stop it, type  kill -TERM {os.getpid()}  on {socket.gethostname()}: the worker makes the run "
        "keep a checkpoint and ends; the run can be queued again, and goes on from there"
    )
    assert message(lambda: queue.add("run")) == f"run run is claimed already, since <time> by {ME}; {stop}"
    assert message(lambda: queue.cancel("run")) == (
        f"run run is claimed, since <time> by {ME}, so it is too late to cancel it; {stop}"
    )
    assert message(lambda: queue.entries(["lazy"])) == (
        "'lazy' is no state of a run; there are queued, claimed, running, stopped, done, failed, lost"
    )
    queue.change(claimed, "done")
    assert message(lambda: queue.cancel("run")) == "run run is not queued: it is done since <time>"
    assert message(lambda: queue.change(claimed, "running")) == (
        f"run run does not belong to this worker any more: it is done now, by {ME}; this worker leaves it "
        "alone. See what happened with  dacapo queue list --json"
    )
    queue.delete("run")
    assert message(lambda: queue.change(claimed, "running")) == (
        "run run does not belong to this worker any more: it was taken out of the queue; this worker leaves "
        "it alone. See what happened with  dacapo queue list --json"
    )


def test_of_tags_and_notes(backend):
    remarks = Remarks(backend)
    assert message(lambda: check_tag("Oh no!")) == (
        "'Oh no!' cannot be a tag: it should begin with a letter or digit, and may hold these and '.', '_' "
        "and '-'"
    )
    assert message(lambda: check_tag("x" * 25)) == (
        f"the tag '{'x' * 25}' is longer than 24 bytes; write it as a note"
    )
    assert check_tag("X" * 24) == "x" * 24
    assert message(lambda: remarks.tag("runs", "a", ["y", "x"], ["x", "y"])) == (
        "the tag x cannot be given and taken away at once; choose"
    )
    assert message(lambda: remarks.note("runs", "a", "  ")) == (
        "a note should have 1 to 10000 characters, and has 0"
    )
    assert "and has 10001" in message(lambda: remarks.note("runs", "a", "x" * 10_001))
    remarks.note("runs", "a", "x" * 10_000)


def test_of_changes_that_are_not_finished(backend):
    intend(backend, change_now("rename", "run", "new", {}, None))
    assert message(lambda: intend(backend, change_now("delete", "run", "run", {}, None))) == (
        f"run run: {provenance.user()} began to rename it at <time>, and that is going on or was broken off; "
        "finish it with  dacapo store check --repair"
    )
    assert "began to rename it" in message(
        lambda: intend(backend, change_now("erase", "run", "run", {}, None))
    )
    assert backend.get("changes", "run")["to"] == "new"


def test_of_twins(backend, tmp_path: Path):
    configs = stores_of(backend, tmp_path).configs
    configs.store_run_config(run_config("Run"))
    configs.store_task_config(run_config().task_config)
    same = (
        "and the names differ only in upper and lower case or in how letters are encoded, so that many file "
        "systems take them for one. Choose a name that differs more, or "
    )
    assert message(lambda: configs.store_run_config(run_config("run"))) == (
        f"run run cannot be stored in {backend!r}: run Run is there, {same}"
        "rename that one with  dacapo run rename Run NEW"
    )
    assert message(lambda: configs.store_task_config(run_config(task="Mito").task_config)) == (
        f"task Mito cannot be stored in {backend!r}: task mito is there, {same}delete that one first"
    )


def test_of_stats(backend):
    StatsStore(backend).store_training_stats("run", stats_of(0, 5))
    assert message(lambda: StatsStore(backend).store_training_stats("run", stats_of(0, 3, loss=7.0))) == (
        "the stats of run run are stored up to iteration 5, and these are not their continuation; to train "
        "again from an earlier iteration, retrieve them and delete_after it, or call  "
        "begin_epoch(run, iteration)"
    )


def test_of_checkpoints(backend):
    weights = WeightsStore(backend)
    assert repr(weights) == f"WeightsStore({backend!r})"
    nothing = f"run run has no whole checkpoint in {backend!r}; train it first"
    assert message(lambda: weights.retrieve_weights("run")) == nothing
    assert message(lambda: weights.retrieve_weights_by("run", "latest")) == nothing
    assert message(lambda: weights.iteration_by("run", "latest")) == nothing
    absent = f"run run has no checkpoint of iteration 7 in {backend!r}; there are: "
    assert message(lambda: weights.retrieve_weights("run", 7)) == f"{absent}none"
    for iteration in (1, 2):
        weights.store_weights("run", iteration, Weights({"x": np.ones(2)}))
    for attempt in (
        lambda: weights.retrieve_weights("run", 7),
        lambda: weights.remove("run", 7),
        lambda: weights.store_best("run", 7, "a", "dice"),
    ):
        assert message(attempt) == f"{absent}1, 2"
    assert message(lambda: weights.retrieve_best("run", "a", "dice")) == (
        "run run has no best checkpoint by a/dice; recorded are: none"
    )
    weights.store_best("run", 1, "a", "dice")
    weights.store_best("run", 2, "b", "dice")
    assert message(lambda: weights.retrieve_best("run", SimpleNamespace(name="c"), "dice")) == (
        "run run has no best checkpoint by c/dice; recorded are: a/dice, b/dice"
    )
    choose = "choose an iteration (1, 2), latest, or a score that ranks them; recorded are: a/dice, b/dice"
    assert message(lambda: weights.iteration_by("run", "dice")) == (
        f"run run has several best checkpoints by 'dice'; {choose}"
    )
    assert message(lambda: weights.iteration_by("run", "voi")) == (
        f"run run has no best checkpoints by 'voi'; {choose}"
    )
    assert message(lambda: weights.iteration_by("other", "voi")) == (
        "run other has no best checkpoints by 'voi'; choose an iteration (there is none yet), latest, or a "
        "score that ranks them; recorded are: none; see  dacapo validate other --help"
    )
    assert message(lambda: weights.iteration_by("run", 7)) == (  # type: ignore[arg-type]
        "7 chooses no weights: give an iteration as a text, latest, or a criterion"
    )


def test_of_what_is_no_checkpoint(backend):
    weights = WeightsStore(backend)
    assert message(lambda: weights.store_weights("run", 1)) == (
        "there is nothing to store for run: give its weights, or the run itself"
    )
    for odd in (-1, True, 1.5, "1"):
        assert message(lambda odd=odd: weights.store_weights("run", odd, Weights({}))) == (
            f"an iteration should be a number from 0 on, and is {odd!r}"
        )
    weights.store_weights("run", 0, Weights({}))
    assert message(lambda: weights.store_best("run", 0, 7, "dice")) == (
        "a dataset should be given as a text or by its config, and not as 7"
    )
    assert message(lambda: weights.store_best("run", 0, "a", 7)) == (  # type: ignore[arg-type]
        "a criterion should be given as a text, and not as 7"
    )
    for last, every in ((0, None), (1, 0)):
        assert message(lambda last=last, every=every: expendable([1], [], last, every)) == (
            "keep_last and keep_every should be at least 1: the newest checkpoint always stays"
        )


def test_of_manifests_that_are_damaged():
    whole = seal({"parts": {}})
    assert unseal(whole, "checkpoint 1") == {"format": 1, "parts": {}}
    assert message(lambda: unseal(whole[:-1], "checkpoint 1")) == (
        "checkpoint 1: its manifest fails its checksum; use another checkpoint"
    )
    assert message(lambda: unseal(seal({"parts": []}), "checkpoint 1")) == (
        "checkpoint 1: its manifest was not written by DaCapo; use another checkpoint"
    )
    assert message(lambda: unseal(seal({"format": 2, "parts": {}}), "checkpoint 1")) == (
        "checkpoint 1 was written by a newer DaCapo, in format 2; this one knows 1. "
        "Upgrade with  pip install --upgrade dacapo"
    )


def test_of_a_twin_that_came_in_between(backend, tmp_path: Path, monkeypatch):
    configs, looks = stores_of(backend, tmp_path).configs, iter([[], ["Run"]])
    monkeypatch.setattr(backend, "twins", lambda kind, key: next(looks))
    assert message(lambda: configs.store_run_config(run_config("run"))).startswith(
        f"run run cannot be stored in {backend!r}: run Run is there, and the names differ only in"
    )
    assert configs.names("runs") == []


def test_of_writing_to_a_run_that_somebody_holds(backend):
    assert backend.claim("run", Claim(0, Holder.here("train").write()))
    for attempt in (
        lambda: WeightsStore(backend).store_weights("run", 1, Weights({})),
        lambda: StatsStore(backend).store_training_stats("run", stats_of(0, 5)),
    ):
        assert message(attempt).startswith("run run cannot be taken to write to it: it is held by ")
    assert message(lambda: StatsStore(backend).begin_epoch("run", 0)).startswith(
        "run run cannot be taken to begin an epoch of it: it is held by "
    )


def test_of_logs_of_a_newer_version(tmp_path: Path, monkeypatch):
    log = FramedLog(tmp_path / "log")
    with monkeypatch.context() as patch:
        patch.setattr(framed_log, "FORMAT", 2)
        log.append(Frame(1, 0, 0, 0, 1, b"body"))
    assert message(FramedLog(log.path).frames) == (
        f"{log.path} was written by a newer DaCapo, in format 2; this one knows 1. "
        "Upgrade with  pip install --upgrade dacapo"
    )
    assert message(lambda: FramedLog(tmp_path / "none").append(Frame(1, 3, 0, 0, 1, b""))) == (
        f"{tmp_path / 'none'} was written by another process meanwhile: append 3 was due, and it is at 0; "
        "make sure that only one process trains a run"
    )
