"""Workers: what they take, what they write about it, and what is left when they are stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dacapo import worker
from dacapo.documents import TYPE, documents
from dacapo.errors import LeaseLost, StoreUnreachable
from dacapo.experiments.run_config import RunConfig
from dacapo.stopping import StopRequest
from dacapo.store.create_store import create_queue, create_stats_store, create_weights_store
from dacapo.store.queue import Queue
from dacapo.testing import tiny_run
from dacapo.worker import Worker, work

# Stands for  dacapo train : does what the name of the run says.
VERB = """
import os, pathlib, signal, sys, time
run = sys.argv[1].partition(":")[0]
print("some message", file=sys.stderr)
if run == "waits":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
    pathlib.Path("begun").touch()
    time.sleep(100)
if run == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print("error: last words of", *sys.argv[1:], file=sys.stderr)
sys.exit({"done": 0, "failed": 1, "stopped": 75, "held": 6, "interrupted": 130}[run])
"""


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Return the queue of a store in files."""
    return create_queue()


def store(queue: Queue, *names: str, **changes: Any) -> None:
    """Store runs and queue them."""
    for name in names:
        config = tiny_run(Path("data"), name=name, **changes)
        queue.config_store.store_run_config(config)
        queue.add(name)


def worker_of(queue: Queue, *arguments: str) -> Worker:
    """Return a worker that does what the names of runs say."""
    return Worker(queue, {"gpus": 0}, arguments, 0.01, verb=(sys.executable, "-c", VERB))


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
    return found


def states(queue: Queue) -> dict[str, tuple[str, str]]:
    return {entry.run: (entry.state, entry.last.reason) for entry in queue.entries()}


def test_exit_codes_become_states(queue: Queue, capfd: pytest.CaptureFixture[str]):
    store(queue, "done", "failed", "stopped", "interrupted", "killed", "held")
    one = worker_of(queue, "--device", "cpu")
    with one.alive():
        one.go(StopRequest(), once=False, idle_exit=0.0)
    words = "last words of {}:0 --device cpu"
    assert states(queue) == {
        "done": ("done", ""),
        "failed": ("failed", f"exit code 1: {words.format('failed')}"),
        "stopped": ("stopped", words.format("stopped")),
        "interrupted": ("stopped", words.format("interrupted")),
        "killed": ("failed", "killed by SIGKILL: some message"),
        "held": ("queued", words.format("held")),
    }
    assert len(one.finished) == 6
    entry = queue.entry("done")
    assert entry is not None
    assert [change.state for change in entry.changes] == ["queued", "claimed", "running", "done"]
    assert all(change.pid == os.getpid() for change in entry.changes)
    assert capfd.readouterr().err.count("some message") == 6


def test_once_takes_one_run_and_none_leaves_at_once(queue: Queue):
    assert work(once=True, arguments=()) == []
    store(queue, "done", "failed")
    one = worker_of(queue)
    with one.alive():
        one.go(StopRequest(), once=True, idle_exit=None)
    assert [state for state, _ in states(queue).values()] == ["queued", "done"]


def test_a_run_with_parts_that_are_missing_here_waits_for_others(queue: Queue, caplog):
    document = documents.write(tiny_run(Path("data"), name="done"))
    document["task_config"] |= {TYPE: "acme.SkeletonTaskConfig", "__from__": "acme-dacapo==1.4.2"}
    queue.config_store.store_run_config(documents.read(document, RunConfig))
    queue.add("done", priority=5)
    store(queue, "stopped")
    one = worker_of(queue)
    with one.alive():
        one.go(StopRequest(), once=False, idle_exit=0.0)
    assert [entry.run for entry in one.finished] == ["stopped"]
    entry = queue.entry("done")
    assert entry is not None and entry.state == "queued" and entry.place.priority == 5
    assert "passed over by a worker on " in entry.last.reason
    assert "acme-dacapo" in entry.last.reason and entry.last.reason in caplog.text


def test_a_deleted_run_does_not_stop_the_queue(queue: Queue):
    store(queue, "done", "stopped")
    queue.config_store.delete_run_config("done")
    one = worker_of(queue)
    with one.alive():
        one.go(StopRequest(), once=False, idle_exit=0.0)
    assert [entry.run for entry in one.finished] == ["stopped"]
    assert "run done: no such config" in states(queue)["done"][1]


@pytest.mark.parametrize("requeue", [False, True])
def test_a_stop_is_passed_on_and_the_run_can_go_on(queue: Queue, requeue: bool):
    store(queue, "waits", "done")
    one, stop = worker_of(queue), StopRequest()

    def ask() -> None:
        wait_for(lambda: Path("begun").exists())
        stop.hear(signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    with one.alive():
        one.go(stop, once=False, idle_exit=None, requeue=requeue)
    asking.join()
    assert states(queue)["waits"][0] == ("queued" if requeue else "stopped")
    assert states(queue)["done"][0] == "queued"
    if not requeue:
        queue.add("waits")
    assert states(queue)["waits"][0] == "queued"


def test_a_run_that_is_stopped_before_it_began_is_stopped(queue: Queue):
    """The signal reaches it while it still imports what it needs."""
    store(queue, "killed")
    one, stop = worker_of(queue), StopRequest()
    with one.alive():
        entry = one.take()
        assert entry is not None
        stop.hear(signal.SIGTERM)
        assert one._end(entry, -signal.SIGTERM, "", False, stop).state == "stopped"
    assert states(queue)["killed"] == ("stopped", "ended by SIGTERM before it began")


def test_an_idle_worker_stops_when_asked(queue: Queue):
    code = "from dacapo.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "worker", "--poll", "0.05"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    wait_for(lambda: "looks for runs" in process.stderr.readline())
    process.send_signal(signal.SIGUSR1)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 75 and "was asked to stop by SIGUSR1, and did" in message


def test_a_claim_whose_answer_got_lost_is_found_again(queue: Queue, monkeypatch):
    store(queue, "done")
    one = worker_of(queue)
    claim, failures = queue.claim, [1]

    def claim_and_fail(*arguments):
        found = claim(*arguments)
        if failures:
            failures.pop()
            raise StoreUnreachable("no answer")
        return found

    monkeypatch.setattr(queue, "claim", claim_and_fail)
    with one.alive():
        one.go(StopRequest(), once=False, idle_exit=0.0)
    assert [entry.state for entry in one.finished] == ["done"]


def test_a_store_out_of_reach_is_waited_for_unless_one_should_stop(queue: Queue, monkeypatch):
    one, stop = worker_of(queue), StopRequest()

    def fail() -> None:
        if not stop:
            stop.hear(signal.SIGTERM)
        raise StoreUnreachable("no answer")

    monkeypatch.setattr(worker, "_SECONDS_TO_REPORT", 0.0)
    with pytest.raises(StoreUnreachable):
        one._insist(fail, stop)


def test_a_worker_that_was_taken_for_dead_leaves_the_run_alone(queue: Queue, caplog):
    store(queue, "done")
    one = worker_of(queue)
    with one.alive():
        entry = one.take()
        assert entry is not None
        queue.change(entry, "lost", "on purpose", "@other")
        with pytest.raises(LeaseLost):
            queue.change(entry, "running", worker=one.key)
        assert one.train(entry, StopRequest()) == entry
    assert states(queue)["done"] == ("lost", "on purpose")
    assert "does not belong to this worker any more" in caplog.text


def test_a_worker_trains_what_is_queued_to_the_end(queue: Queue, dacapo_command):
    store(queue, "first", "second", num_iterations=2, validation_interval=2)
    assert dacapo_command("worker", "--idle-exit", "0", "--device", "cpu", "--no-snapshots").returncode == 0
    assert states(queue) == {"first": ("done", ""), "second": ("done", "")}
    for run in ("first", "second"):
        assert create_stats_store().retrieve_training_stats(run).trained_until() == 2


@pytest.fixture
def dacapo_command():
    """Return a function that runs ``dacapo`` in a process of its own."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dacapo", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return call


def trained(run: str) -> int:
    last = create_stats_store().retrieve_last_training_stats(run)
    return last.iteration + 1 if last else 0


def begin() -> subprocess.Popen[str]:
    """Begin a worker that trains for a long time if nothing happens."""
    command = [sys.executable, "-m", "dacapo", "worker", "--once", "--device", "cpu", "--no-snapshots"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_a_run_goes_on_after_its_worker_was_killed_and_after_one_was_stopped(queue: Queue, dacapo_command):
    store(queue, "tiny", num_iterations=1000, validation_interval=1000, checkpoint_interval=2)
    first = begin()
    wait_for(lambda: reached("tiny"), first)
    child = int(children(first.pid)[0])
    first.kill()
    os.kill(child, signal.SIGKILL)
    first.communicate()
    wait_for(lambda: states(queue)["tiny"][0] == "lost")

    second, before = begin(), reached("tiny")
    wait_for(lambda: reached("tiny") > before, second)
    second.send_signal(signal.SIGTERM)
    message = second.communicate(timeout=120)[1]
    assert second.returncode == 75, message
    state, reason = states(queue)["tiny"]
    assert state == "stopped" and f"iteration {reached('tiny')} of 1000 is kept as a checkpoint" in reason

    config = queue.config_store.retrieve_run_config("tiny").replace(num_iterations=reached("tiny") + 1)
    queue.config_store.store_run_config(config, replace=True)
    queue.add("tiny")
    done = dacapo_command("worker", "--once", "--device", "cpu", "--no-validation")
    assert done.returncode == 0, done.stderr
    entry = queue.entry("tiny")
    assert entry is not None
    taken = ["queued", "claimed", "running"]
    found = [change.state for change in entry.changes]
    assert found == [*taken, "lost", *taken, "stopped", *taken, "done"]
    stats = create_stats_store().retrieve_training_stats("tiny")
    assert stats.iterations.tolist() == list(range(config.num_iterations))


def reached(run: str) -> int:
    """Return the newest checkpoint of a run, or 0."""
    return create_weights_store().latest_iteration(run) or 0


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
