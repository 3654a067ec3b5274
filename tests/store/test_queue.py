"""The queue: its order, its states, and that nothing is claimed twice, on every backend."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dacapo.errors import InvalidRequest, LeaseLost, NotFound
from dacapo.experiments.architectures import DummyArchitectureConfig
from dacapo.experiments.datasplits import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DummyTaskConfig
from dacapo.experiments.trainers import DummyTrainerConfig
from dacapo.options import Options
from dacapo.store import lease
from dacapo.store.backend import Claim
from dacapo.store.create_store import create_queue
from dacapo.store.holder import Holder
from dacapo.store.queue import MOST_LOSSES, Queue
from dacapo.store.queue_backend import Place

CLAIMER = """
import sys
from dacapo.store.create_store import create_queue
queue = create_queue()
print("ready", flush=True)
sys.stdin.readline()
while (entry := queue.claim("@" + sys.argv[1], {})) is not None:
    print(entry.run, flush=True)
"""


@pytest.fixture(params=["memory", "files", "mongo"])
def options(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Return the options of a store, also set in the environment for other processes."""
    given = request.getfixturevalue("mongo").options if request.param == "mongo" else {"type": request.param}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in given.items():
            patch.setenv(f"DACAPO_{key.upper()}", value)
        yield given


def run_config(name: str, repetition: int = 0) -> RunConfig:
    return RunConfig(
        DummyTaskConfig("task", embedding_dims=1, detection_threshold=0.5),
        DummyArchitectureConfig("net", num_in_channels=1, num_out_channels=1),
        DummyTrainerConfig("trainer", batch_size=1, learning_rate=0.1, mirror_augment=False),
        DummyDataSplitConfig("split"),
        name, repetition, 4,
    )  # fmt: skip


@pytest.fixture
def queue(options: dict[str, str]) -> Queue:
    """Return a queue of a store with the runs a to d."""
    opened = create_queue()
    for name in "abcd":
        opened.config_store.store_run_config(run_config(name))
    return opened


def worker(queue: Queue, name: str = "@worker", seconds: float = 60.0) -> str:
    """Begin to give signs of life once, and return the key that a worker claims with."""
    newest = queue.backend.newest_claim(name)
    number = newest.number + 1 if newest else 0
    holder = Holder(user="somebody", host="elsewhere", pid=1, doing="work", seconds=seconds)
    assert queue.backend.claim(name, Claim(number, holder.write()), newest)
    return name


def until_recovered(queue: Queue, seconds: float = 20.0) -> list[tuple[str, str]]:
    """Look for lost runs until there are some."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := [(entry.run, entry.state) for entry in queue.recover("@other")]:
            return found
        time.sleep(0.02)
    return []


def test_runs_are_claimed_by_priority_and_age(queue: Queue):
    queue.config_store.store_run_config(run_config("a", 1))
    for run, priority in (("a:0", 0), ("b", 2), ("c", 0), ("a:1", 2)):
        queue.add(run, priority)
    assert [entry.run for entry in queue.entries()] == ["b", "a:1", "a", "c"]
    claimed = [create_queue().claim("@worker", {}) for _ in range(4)]
    assert [entry.run for entry in claimed if entry] == ["b", "a:1", "a", "c"]
    assert queue.claim("@worker", {}) is None


def test_what_happened_to_a_run_is_kept(queue: Queue):
    key = worker(queue)
    queue.add("a", 1, {"gpus": 1})
    assert queue.claim(key, {"gpus": 0}) is None
    claimed = queue.claim(key, {"gpus": 2})
    assert claimed is not None
    running = queue.change(claimed, "running", worker=key)
    queue.change(running, "stopped", "asked to stop", key)
    entry = queue.add("a")
    assert [change.state for change in entry.changes] == ["queued", "claimed", "running", "stopped", "queued"]
    assert create_queue().entry("a") == entry
    stopped = entry.changes[3]
    assert (stopped.reason, stopped.pid, stopped.worker) == ("asked to stop", os.getpid(), key)
    assert stopped.time.endswith("+00:00") and stopped.user and stopped.host
    assert entry.changes[0].place == {"priority": 1, "ticket": 0, "needs": {"gpus": 1}}
    assert entry.place.needs == {}
    assert create_queue().entries(["queued"]) == [entry] and queue.entries(["done"]) == []
    assert entry.as_document()["changes"][3]["reason"] == "asked to stop"
    assert queue.delete("a") and not queue.delete("a") and queue.entries() == []


def test_what_makes_no_sense_is_refused(queue: Queue):
    key = worker(queue)
    with pytest.raises(NotFound, match=r"run x: no such config .*; there are a, b, c, d"):
        queue.add("x")
    with pytest.raises(NotFound, match="run a was never queued in"):
        queue.cancel("a")
    queue.add("a")
    with pytest.raises(
        InvalidRequest, match="run a is queued already, since 2.* first  dacapo queue cancel a"
    ):
        queue.add("a", 5)
    assert queue.cancel("a").state == "stopped"
    with pytest.raises(InvalidRequest, match="run a is not queued: it is stopped since 2"):
        queue.cancel("a")
    assert queue.claim(key, {}) is None
    queue.add("a")
    claimed = queue.claim(key, {})
    assert claimed is not None
    for state in ("claimed", "running"):
        stop = rf"to stop it, type  kill -TERM {os.getpid()}  on "
        with pytest.raises(InvalidRequest, match=rf"run a is {state}, .* too late to cancel it; {stop}"):
            queue.cancel("a")
        with pytest.raises(InvalidRequest, match=rf"run a is {state} already, .*{stop}"):
            queue.add("a")
        if state == "claimed":
            queue.change(claimed, "running", worker=key)
    with pytest.raises(InvalidRequest, match="'lazy' is no state of a run; there are queued, claimed"):
        queue.entries(["lazy"])


def test_a_run_that_is_put_back_keeps_its_place(queue: Queue):
    for run in "abc":
        queue.add(run)
    first = queue.claim("@worker", {})
    assert first is not None and first.run == "a"
    assert queue.put_back(first, "passed over").last.reason == "passed over"
    again = queue.claim("@worker", {})
    assert again is not None and again.run == "a"
    queue.put_back(again, "passed over")
    passed = queue.claim("@worker", {}, {"a"})
    assert passed is not None and passed.run == "b"


def test_a_run_whose_worker_vanished_is_lost_and_taken_again(queue: Queue):
    gone, alive = worker(queue, "@gone", seconds=0.1), worker(queue, "@alive")
    for run in "ab":
        queue.add(run, 3, {"gpus": 1})
    lost, kept = (queue.claim(key, {"gpus": 1}) for key in (gone, alive))
    assert lost is not None and kept is not None
    lost = queue.change(lost, "running", worker=gone)
    assert until_recovered(queue) == [("a", "queued")]
    assert list(queue.recover("@other")) == []
    again = queue.entry("a")
    assert again is not None and again.place == Place(3, 0, {"gpus": 1})
    assert [change.state for change in again.changes][2:] == ["running", "lost", "queued"]
    assert "no sign of life from its worker, " in again.changes[-1].reason
    with pytest.raises(LeaseLost, match="run a does not belong to this worker any more: it is queued now"):
        queue.change(lost, "done")
    second = queue.claim(alive, {"gpus": 1})
    assert second is not None and second.run == "a"
    assert [entry.state for entry in queue.entries()] == ["claimed", "claimed"]


def test_a_run_that_is_still_trained_is_not_lost(queue: Queue):
    queue.add("a")
    claimed = queue.claim(worker(queue, seconds=0.1), {})
    assert claimed is not None
    queue.change(claimed, "running", worker="@worker")
    with lease.take(queue.backend, "a", "train"):
        time.sleep(0.15)
        for _ in range(20):
            assert list(queue.recover("@other")) == []
            time.sleep(0.01)
    assert until_recovered(queue) == [("a", "queued")]


def test_a_run_that_workers_vanish_with_is_left_alone_in_the_end(queue: Queue):
    queue.add("a")
    for loss in range(1, MOST_LOSSES + 1):
        assert queue.claim(worker(queue, f"@{loss}", seconds=0.05), {}) is not None
        assert until_recovered(queue) == [("a", "lost" if loss == MOST_LOSSES else "queued")]
    assert queue.claim("@worker", {}) is None and list(queue.recover("@other")) == []
    entry = queue.add("a")
    assert entry.losses == 0 and entry.state == "queued"
    assert queue.claim(worker(queue), {}) is not None


@pytest.mark.parametrize("options", ["files", "mongo"], indirect=True)
def test_processes_that_claim_at_once_share_the_runs(queue: Queue):
    runs = [f"run-{number}" for number in range(60)]
    for ticket, run in enumerate(runs):
        queue.backend.add_change(run, 0, {"state": "queued"}, place=Place(ticket % 2, ticket))
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, f"{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for claimer in claimers:
        assert claimer.stdout and claimer.stdout.readline() == "ready\n"
    told = []
    for claimer in claimers:
        assert claimer.stdin
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    for claimer in claimers:
        told += claimer.communicate()[0].split()
        assert claimer.returncode == 0
    assert sorted(told) == sorted(runs)
    assert all(len(changes) == 2 for changes in queue.backend.all_changes().values())


def test_a_damaged_change_does_not_keep_a_run_from_being_queued_again(tmp_path: Path):
    queue = create_queue(runs_base_dir=tmp_path)
    queue.config_store.store_run_config(run_config("a"))
    queue.add("a")
    (tmp_path / "stats/queue/runs/a/0.json").write_bytes(b"")
    (entry,) = queue.entries()
    assert (entry.state, entry.last.reason) == ("lost", "what was written about this change is damaged")
    assert queue.add("a").state == "queued"
    claimed = queue.claim("@worker", {})
    assert claimed is not None and len(claimed.changes) == 3


def test_options_choose_the_store(tmp_path: Path):
    assert str(tmp_path / "runs") in repr(create_queue(Options.instance()))


def test_how_a_run_stands_as_plain_data(queue: Queue):
    queue.add("a", priority=3, needs={"gpus": 1})
    claimed = queue.claim(worker(queue), {"gpus": 2})
    assert claimed is not None and queue.claimed_by("@worker") == claimed
    assert queue.claimed_by("@other") is None
    document = claimed.as_document()
    first, second = document.pop("changes")
    assert document == {
        "run": "a",
        "state": "claimed",
        "since": claimed.last.time,
        "reason": "",
        "by": claimed.last.actor,
        "priority": 3,
        "needs": {"gpus": 1},
    }
    assert (first["state"], first["place"]["priority"]) == ("queued", 3)
    assert (second["state"], second["worker"], second["place"]) == ("claimed", "@worker", None)
    running = queue.change(claimed, "running", worker="@worker")
    assert queue.claimed_by("@worker") is None
    failed = queue.change(running, "failed", "out of memory")
    assert (failed.as_document()["state"], failed.as_document()["reason"]) == ("failed", "out of memory")
