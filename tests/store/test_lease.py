"""Leases: who is refused and told what, who is found to be dead, and what happens to those who come late."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import attrs
import pytest

from dacapo import provenance
from dacapo.errors import LeaseHeld, LeaseLost, StoreError, StoreUnreachable
from dacapo.store import lease as lease_module
from dacapo.store.backend import Claim
from dacapo.store.files import FileBackend
from dacapo.store.holder import Holder
from dacapo.store.lease import Watch, take
from dacapo.store.memory import MemoryBackend
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore
from dacapo.testing.stores import stats_of

ELSEWHERE = Holder(
    user="ann", host="gpu7", pid=41, job="SLURM job 7", doing="validate", since="Monday", seconds=0.2
)


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path)


def claimed(backend: FileBackend | MemoryBackend, holder: Holder, run: str = "run") -> None:
    assert backend.claim(run, Claim(0, holder.write()))


def away(run: str, number: int) -> bool:
    raise StoreUnreachable("the server is away")


def ended_process() -> Holder:
    """Return the holder that a process which has ended was."""
    code = (
        "from dacapo.store.holder import Holder; import json; print(json.dumps(Holder.here('train').write()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Holder(**json.loads(done.stdout))


def test_who_is_refused_is_told_who_has_the_run_and_what_to_do(backend):
    claimed(backend, attrs.evolve(ELSEWHERE, seconds=60.0))
    with pytest.raises(LeaseHeld) as refused:
        take(backend, "run", "train")
    for part in (
        "run run cannot be taken to train it",
        "ann on gpu7 (pid 41, SLURM job 7) to validate it since Monday, last sign of life 0 s ago",
        "Wait for its end, or stop it there",
        "60 s after its last sign of life",
    ):
        assert part in str(refused.value)
    assert refused.value.exit_code == 6


def test_a_holder_says_who_it_is(monkeypatch):
    for name in ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert Holder.here("train").job is None
    monkeypatch.setenv("LSB_JOBID", "12")
    assert Holder.here("train").job == "LSF job 12"
    assert f"(pid {os.getpid()}, LSF job 12)" in str(Holder.here("train"))
    assert str(Holder()) == "somebody on an unknown host"


def test_what_a_claim_says_badly_is_left_open():
    for seconds in ("soon", 0, -1, None, 1e9):
        assert Holder.read({"seconds": seconds, "stranger": 1}) == Holder()


def test_a_holder_of_this_machine_that_is_gone_is_not_waited_for(backend):
    gone = attrs.evolve(ended_process(), seconds=1000.0)
    claimed(backend, gone)
    assert gone.is_gone() and not Holder.here("train").is_gone()
    with take(backend, "run", "train") as lease:
        assert lease.number == 1


@pytest.mark.parametrize("change", [{"machine": "another boot"}, {"machine": None}, {"started": None}])
def test_of_other_machines_nothing_is_known(backend, change):
    holder = attrs.evolve(ended_process(), **change)
    assert not holder.is_gone()
    claimed(backend, holder)
    with pytest.raises(LeaseHeld):
        take(backend, "run", "train")


def test_a_pid_given_to_another_since_is_told_apart():
    assert attrs.evolve(Holder.here("train"), started="0").is_gone()


def test_a_holder_in_files_that_beats_while_it_is_watched_is_alive(backend):
    holder = attrs.evolve(ELSEWHERE, seconds=0.5)
    claimed(backend, holder)
    claim_file = next(backend.stats.rglob("0.claim"))
    os.utime(claim_file, (1, 1))  # as if it had been quiet for years
    beats = threading.Timer(0.2, lambda: backend.renew_claim("run", 0))
    beats.start()
    begun = time.monotonic()
    with pytest.raises(LeaseHeld):
        take(FileBackend(backend.root), "run", "train")
    assert time.monotonic() - begun < 10
    beats.join()


def test_clocks_of_hosts_do_not_matter(backend, monkeypatch):
    claimed(backend, ELSEWHERE)
    claim_file = next(backend.stats.rglob("0.claim"))
    for skew in (3600, -3600):
        monkeypatch.setattr(time, "time", lambda skew=skew: 1e9 + skew)
        os.utime(claim_file, (time.time(), time.time()))
        watch = Watch()
        assert not watch.has_ceased(backend, "run", backend.newest_claim("run"))
    with take(backend, "run", "train", seconds=0.3) as lease:
        assert lease.number == 1
        time.sleep(0.6)
        with pytest.raises(LeaseHeld):
            take(FileBackend(backend.root), "run", "train")


def test_a_claim_from_the_future_is_watched_and_not_believed(backend):
    claimed(backend, ELSEWHERE)
    claim_file = next(backend.stats.rglob("0.claim"))
    os.utime(claim_file, (time.time() + 3600,) * 2)
    assert backend.newest_claim("run").idle is None
    take(backend, "run", "train").release()


def test_a_watch_looks_only_once_each_time_and_at_each_run(backend):
    watch, runs = Watch(), ("run", "other")
    for run in runs:
        claimed(backend, ELSEWHERE, run)
    for run in runs:
        with pytest.raises(LeaseHeld, match=f"run {run} cannot be taken to train it"):
            take(backend, run, "train", watch=watch)
    time.sleep(0.3)
    for run in runs:
        take(backend, run, "train", watch=watch).release()


def test_who_has_just_given_a_sign_of_life_is_not_watched(backend, monkeypatch):
    claimed(backend, ELSEWHERE)
    claim = attrs.evolve(backend.newest_claim("run"), idle=ELSEWHERE.seconds)
    monkeypatch.setattr(backend, "newest_claim", lambda run: claim)
    with pytest.raises(LeaseHeld):
        take(backend, "run", "train")


def test_who_was_quicker_than_one_who_watched_is_named(backend, monkeypatch):
    claimed(backend, attrs.evolve(ELSEWHERE, seconds=100.0))
    monkeypatch.setattr(lease_module, "_LOOKS", 1000)
    dead = attrs.evolve(backend.newest_claim("run"), idle=None)
    ben = attrs.evolve(dead, number=1, holder=attrs.evolve(ELSEWHERE, user="ben").write())
    seen = iter([dead, dead, ben])
    monkeypatch.setattr(backend, "newest_claim", lambda run: next(seen))
    with pytest.raises(LeaseHeld, match=r"run run cannot be taken to train it: it is held by ben on gpu7"):
        take(backend, "run", "train")


def test_a_damaged_claim_still_stands(backend):
    claimed(backend, ELSEWHERE)
    next(backend.stats.rglob("0.claim")).write_bytes(b"\x00garbage")
    with pytest.raises(LeaseHeld, match="somebody on an unknown host"):
        take(backend, "run", "train")


def test_a_store_that_cannot_be_written_does_not_say_how_long_ago(backend, monkeypatch):
    claimed(backend, ELSEWHERE)

    def refuse(self: Path, **options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "touch", refuse)
    assert backend.newest_claim("run").idle is None


def test_a_lease_that_was_released_is_no_lease(backend):
    store = StatsStore(backend)
    with take(backend, "run", "train") as lease:
        store.write_under(lease)
        store.store_training_stats("run", stats_of(0, 5))
    for attempt in (lease.check, lease.begin, lambda: store.store_training_stats("run", stats_of(0, 9))):
        with pytest.raises(LeaseLost, match="was released; take another one"):
            attempt()
    lease.release()
    assert len(store.retrieve_training_stats("run")) == 5


def test_a_lease_that_is_forgotten_ends_with_everything_else(backend):
    with take(backend, "run", "train"):
        [beside] = [thread for thread in threading.enumerate() if thread.name == "lease of run"]
        assert beside.daemon


def test_who_lost_the_lease_is_told_by_the_thread_beside(backend, caplog):
    lease = take(backend, "run", "train", seconds=0.2)
    assert backend.claim("run", Claim(1, ELSEWHERE.write()))
    for _ in range(200):
        time.sleep(0.02)
        try:
            lease.raise_if_lost()
        except LeaseLost as error:
            assert "taken over by ann on gpu7" in str(error)
            assert [record.getMessage() for record in caplog.records] == [str(error)]
            break
    else:
        pytest.fail("nobody noticed")
    lease.release()
    assert not backend.newest_claim("run").released


def test_a_lease_whose_record_is_gone_is_lost(tmp_path):
    memory = MemoryBackend(str(tmp_path))
    lease = take(memory, "run", "train")
    memory._content.claims.clear()
    with pytest.raises(LeaseLost, match="its record is gone"):
        lease.confirm()


def test_a_store_that_does_not_answer_takes_no_lease_away(backend, monkeypatch, caplog):
    with take(backend, "run", "train", seconds=0.1) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(backend, "renew_claim", away)
            time.sleep(0.3)
            lease.raise_if_lost()
            with pytest.raises(StoreUnreachable):
                lease.check()
        lease.check()
        lease.begin(0)
        monkeypatch.setattr(backend, "release_claim", away)
    told = {record.getMessage() for record in caplog.records}
    assert told >= {
        "run run: no sign of life could be given: the server is away",
        "run run: its lease could not be released, and ends by itself in 0.1 s: the server is away",
    }


def test_what_could_not_be_released_is_not_waited_for(backend, monkeypatch):
    lease = take(backend, "run", "train", seconds=1000.0)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "release_claim", away)
        lease.release()
    assert not backend.newest_claim("run").released
    elsewhere = FileBackend(backend.root / "another")
    claimed(elsewhere, lease.holder)
    with pytest.raises(LeaseHeld):
        take(elsewhere, "run", "train", watch=Watch())
    with take(backend, "run", "train") as again:
        assert again.number == 1


def test_what_is_written_without_a_lease_waits_for_those_who_have_one(backend):
    with take(backend, "run", "train"):
        for attempt in (
            lambda: StatsStore(backend).begin_epoch("run", 0),
            lambda: StatsStore(backend).store_training_stats("run", stats_of(0, 5)),
            lambda: WeightsStore(backend).store_weights("run", 1, Weights({})),
        ):
            with pytest.raises(LeaseHeld):
                attempt()
    StatsStore(backend).store_training_stats("run", stats_of(0, 5))
    WeightsStore(backend).store_weights("run", 1, Weights({}))


def test_going_back_under_a_lease_takes_the_next_number(backend):
    store = StatsStore(backend)
    with take(backend, "run", "train") as lease:
        store.write_under(lease)
        stats = stats_of(0, 20)
        store.store_training_stats("run", stats)
        stats.delete_after(10)
        stats.append(*stats_of(10, 15, loss=3.0).since(0))
        store.store_training_stats("run", stats)
        assert lease.number == 1 and backend.newest_claim("run").number == 1
        assert StatsStore(backend).retrieve_training_stats("run") == stats
        assert backend.claim("run", Claim(2, ELSEWHERE.write()))
        stats.delete_after(5)
        stats.append(*stats_of(5, 6).since(0))
        with pytest.raises(LeaseLost, match="ann on gpu7"):
            store.store_training_stats("run", stats)
    assert [len(block.iterations) for block in backend.blocks("run", 0)] == [20]


def test_numbers_go_on_where_runs_have_epochs_without_claims(backend):
    StatsStore(backend).store_training_stats("run", stats_of(0, 5))
    with take(backend, "run", "train") as lease:
        assert lease.number == 1
        assert lease.begin() == 1
    assert len(StatsStore(backend).retrieve_training_stats("run")) == 5


def test_a_lease_that_begins_at_the_end_cuts_nothing(backend):
    store, weights = StatsStore(backend), WeightsStore(backend)
    store.store_training_stats("run", stats_of(0, 5))
    weights.store_weights("run", 5, Weights({}))
    for _ in range(2):
        with take(backend, "run", "validate") as lease:
            weights.write_under(lease)
            weights.store_best("run", 5, "a", "dice", 0.5)
    assert weights.retrieve_best("run", "a", "dice") == 5
    assert store.retrieve_training_stats("run") == stats_of(0, 5)
    assert weights.latest_iteration("run") == 5


def test_a_checkpoint_written_again_under_a_lease_takes_the_place_of_the_first(backend):
    weights = WeightsStore(backend)
    weights.store_weights("run", 5, Weights({"value": 0}))
    with take(backend, "run", "train") as lease:
        weights.write_under(lease)
        for value in (1, 2):
            weights.store_weights("run", 6, Weights({"value": value}))
        weights.store_weights("run", 5, Weights({"value": 3}))
    assert weights.retrieve_weights("run", 6).model == {"value": 2}
    assert weights.retrieve_weights("run", 5).model == {"value": 3}
    assert len(backend.blobs("run", "iterations/6/")) == 2
    WeightsStore(backend).store_weights("run", 6, Weights({"value": 4}))
    assert weights.retrieve_weights("run", 6).model == {"value": 4}


def test_a_run_that_is_held_is_not_deleted(backend, tmp_path):
    from dacapo.store.array_store import LocalArrayStore
    from dacapo.store.config_store import ConfigStore
    from dacapo.store.deletion import delete_run

    stores = (
        ConfigStore(backend), StatsStore(backend), WeightsStore(backend), LocalArrayStore(tmp_path)
    )  # fmt: skip
    stores[1].store_training_stats("run", stats_of(0, 5))
    with take(backend, "run", "train"), pytest.raises(LeaseHeld, match="cannot be taken to delete it"):
        delete_run("run", *stores)
    assert delete_run("run", *stores) == ["stats"]
    with take(backend, "run", "train") as lease:
        assert lease.number > 1  # numbers are never given again, so that whoever slept stays late
    with pytest.raises(StoreError, match="no such config"):
        delete_run("unknown", *stores)
    assert backend.newest_claim("unknown") is None


def test_messages_say_who_has_the_run_and_what_to_type(backend):
    claimed(backend, attrs.evolve(ELSEWHERE, seconds=60.0, since=None))
    with pytest.raises(LeaseHeld) as refused:
        take(backend, "run", "train")
    assert str(refused.value) == (
        "run run cannot be taken to train it: it is held by ann on gpu7 (pid 41, SLURM job 7) to validate "
        "it, last sign of life 0 s ago. Wait for its end, or stop it there; if it has died, its lease ends "
        "60 s after its last sign of life: then try again"
    )
    memory = MemoryBackend("messages of leases")
    lease = take(memory, "run", "train")
    assert repr(lease) == "Lease('run', 0, 'train')"
    assert memory.claim("run", Claim(1, ELSEWHERE.write()))
    with pytest.raises(LeaseLost) as lost:
        lease.confirm()
    assert str(lost.value).startswith(
        "run run: the lease on it is lost: it was taken over by ann on gpu7 (pid 41, SLURM job 7) to "
        "validate it since Monday"
    )
    assert str(lost.value).endswith(
        ". This process had given no sign of life for too long, and stops; nothing that it wrote since then "
        "counts. See who has the run with  dacapo run show run"
    )
    lease.release()
    with pytest.raises(LeaseLost, match="it was taken over by ann"):  # not: released
        lease.check()


def test_who_holds_a_run_is_told_in_words_and_as_data(backend):
    claimed(backend, attrs.evolve(ELSEWHERE, seconds=60.0))
    claim = backend.newest_claim("run")
    assert lease_module.in_words(claim) == "validate: ann on gpu7 (pid 41, SLURM job 7)"
    told = lease_module.held(claim)
    assert told.pop("idle") < 60
    assert told == {
        "state": "held", "doing": "validate", "user": "ann", "host": "gpu7", "pid": 41, "job": "SLURM job 7",
        "since": "Monday",
    }  # fmt: skip
    late = attrs.evolve(claim, idle=60.5)
    assert lease_module.held(late)["state"] == "lost"
    assert (
        lease_module.in_words(late) == "lost: ann on gpu7 (pid 41, SLURM job 7), last sign of life 60 s ago"
    )
    assert lease_module.held(attrs.evolve(claim, idle=60.0))["state"] == "held"
    unknown = attrs.evolve(claim, idle=None, holder=attrs.asdict(ended_process()))
    assert lease_module.held(unknown)["state"] == "lost"
    assert lease_module.in_words(unknown).startswith("lost: ") and "sign" not in lease_module.in_words(
        unknown
    )


def test_taking_over_is_watched_and_logged(backend, caplog):
    claimed(backend, ELSEWHERE)
    time.sleep(0.3)
    with take(backend, "run", "train") as lease:
        assert lease.number == 1
    told = r"ann on gpu7 \(pid 41, SLURM job 7\) to validate it since Monday, last sign of life \d+ s ago"
    watching, taken = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(f"run run: watching for 0.2 s whether {told} is alive", watching)
    assert re.fullmatch(f"run run: taken over from {told}", taken)


def test_a_holder_knows_itself():
    here = Holder.here("train", 5.0)
    assert (here.doing, here.seconds, here.pid) == ("train", 5.0, os.getpid())
    assert here.host == socket.gethostname() and here.user == provenance.user()
    assert datetime.fromisoformat(here.since).tzinfo is not None
    assert Holder.read(here.write()) == here
    assert str(Holder(user="ann", host="gpu7", job="LSF job 1")) == "ann on gpu7 (LSF job 1)"
    assert Holder() == Holder(user="somebody", host="an unknown host", doing="hold", seconds=60.0)
    assert Holder.read({"seconds": 1e6}).seconds == 60.0
    assert Holder.read({"seconds": 1}).seconds == 1


def test_next_number_is_that_of_the_next_lease(backend):
    assert lease_module.next_number(backend, "run") == 0
    with take(backend, "run", "train") as lease:
        assert lease.number == 0 and lease_module.next_number(backend, "run") == 1
        lease.begin(7)
    assert lease_module.next_number(backend, "run") == 1


def test_nobody_holds_what_the_dead_held(backend):
    lease_module.make_sure_that_nobody_holds(backend, "run", "copy")
    claimed(backend, attrs.evolve(ended_process(), seconds=1000.0))
    lease_module.make_sure_that_nobody_holds(backend, "run", "copy")
    assert backend.newest_claim("run").released
    with take(backend, "run", "train"), pytest.raises(LeaseHeld, match="cannot be taken to copy it"):
        lease_module.make_sure_that_nobody_holds(backend, "run", "copy")


def test_an_epoch_begun_without_a_lease_keeps_nobody_away(backend):
    assert lease_module.begin_unheld(backend, "run", 3) == 0
    assert lease_module.begin_unheld(backend, "run") == 1
    assert [epoch.start for epoch in backend.epochs("run")] == [3, 0]
    lease_module.begin_unheld(backend, "new")
    assert [epoch.start for epoch in backend.epochs("new")] == [0]
    take(backend, "run", "train").release()
