"""What belongs to a run beside its stores goes where it goes: its history in the queue, and its spool."""

from __future__ import annotations

import pytest

from dacapo.errors import InvalidRequest
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.names import RunKey
from dacapo.store import beside, spool
from dacapo.store.backend import Epoch
from dacapo.store.changes import empty_trash, rename_run, restore_run, trash_run, trashed
from dacapo.store.check import check
from dacapo.store.deletion import delete_run
from dacapo.store.queue import Queue
from dacapo.store.spool import Spool
from stored_runs import PLACES, fill, place_of, run_config, scored, stores_of


@pytest.fixture(params=PLACES)
def stores(request, tmp_path):
    """The stores; those in files are where the spool is too, as they usually are."""
    return stores_of(place_of(request.param, request, tmp_path / "runs")(), tmp_path / "arrays")


def spooled(base, name: str = "run") -> Spool:
    """Keep four iterations and their scores for delivery."""
    stats = TrainingStats([TrainingIterationStats(at, 0.5, 1.0) for at in range(4)])
    made = Spool(base, name)
    made.write(Epoch(0, 0), stats, scored(0.5), None)
    return made


def queued_once(stores, run: str) -> None:
    """Let a run have been in the queue and taken out again."""
    queue = Queue(stores.configs)
    queue.add(run, 3)
    queue.cancel(run)


def test_all_of_it_is_renamed_trashed_restored_and_removed(stores, tmp_path):
    fill(stores, run_config())
    queued_once(stores, "run")
    spooled(tmp_path / "runs")
    rename_run("run", "other", stores)
    queue = Queue(stores.configs)
    assert [(one.run, one.state) for one in queue.entries()] == [("other", "stopped")]
    assert len(queue.entry("other").changes) == 2 and queue.entry("other").place.priority == 3
    assert not Spool(tmp_path / "runs", "run") and Spool(tmp_path / "runs", "other")
    trash_run("other", stores)
    assert queue.entries() == [] and not Spool(tmp_path / "runs", "other")
    restore_run("other", stores, "run")
    assert [one.run for one in queue.entries()] == ["run"]
    there = Spool(tmp_path / "runs", "run")
    assert there
    assert there.deliver(stores.stats, stores.weights)
    assert len(stores.stats.retrieve_training_stats("run")) == 4
    spooled(tmp_path / "runs")
    trash_run("run", stores)
    empty_trash(stores)
    assert stores.configs.backend.all_changes() == {} and not list((tmp_path / "runs").glob("*/undelivered"))


def test_deleting_for_good_takes_all_of_it(stores, tmp_path):
    fill(stores, run_config())
    queued_once(stores, "run")
    spooled(tmp_path / "runs")
    gone = delete_run("run", *stores)
    assert {"history in the queue", "undelivered"} <= {*gone}
    spooled(tmp_path / "runs")
    assert delete_run("run", *stores) == ["undelivered"]


def test_a_run_in_the_queue_stays_where_it_is(stores):
    fill(stores, run_config())
    queue = Queue(stores.configs)
    queue.add("run")
    for change in (lambda: rename_run("run", "other", stores), lambda: trash_run("run", stores)):
        with pytest.raises(
            InvalidRequest, match=r"run run is in the queue, waiting; .*dacapo queue cancel run"
        ):
            change()
    assert queue.claim("worker", {}) is not None
    with pytest.raises(InvalidRequest, match=r"run run is in the queue, taken; before you rename it"):
        rename_run("run", "other", stores)
    assert stores.configs.names("runs") == ["run"] and trashed(stores.configs) == []


def test_check_names_what_waits(stores, tmp_path):
    fill(stores, run_config())
    spooled(tmp_path / "runs")
    spooled(tmp_path / "runs", "gone")
    found = [one for one in check(stores) if "undelivered" in one.problem]
    assert [one.about for one in found] == ["run gone", "run run"]
    assert found[1].remedy == "dacapo train run  delivers it" and "delete it" in found[0].remedy


@pytest.mark.parametrize("at", ["move_tree", "remove_if_empty", "move_run"])
def test_a_spool_that_is_half_moved_is_moved_on(tmp_path, monkeypatch, at):
    made = spooled(tmp_path)
    with monkeypatch.context() as patch:
        broken = spool.FileBackend if at == "move_run" else spool
        patch.setattr(broken, at, lambda *given: pytest.fail("broken off"))
        with pytest.raises(pytest.fail.Exception):
            made.move("~other~1")
    Spool(tmp_path, "run").move("~other~1")
    other = beside.Spool.of_key(tmp_path, "~other~1")
    assert other and not Spool(tmp_path, "run") and other._backend.logged_runs() == ["~other~1"]
    Spool.of_key(tmp_path, RunKey("~other~1")).move("run")
    assert Spool(tmp_path, "run")._backend.logged_runs() == ["run"]
