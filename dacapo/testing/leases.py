"""What every backend has to do so that a run has one writer at a time; a part of ``stores.CHECKS``."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from dacapo.errors import LeaseHeld, LeaseLost
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.backend import Block, Claim, Epoch, Past, ScoresRecord, StoreBackend
from dacapo.store.lease import Lease, take
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore

Opener = Callable[[], StoreBackend]
Check = Callable[[Opener], None]
LABELS = ScoreLabels(("a",), ("p",), (Criterion("dice", True),))
BRIEF = 0.2  # seconds


def a_number_is_claimed_once(open_backend: Opener) -> None:
    """Of two that take the same number one is told so, and numbers only rise."""
    backend = open_backend()
    assert backend.newest_claim("run") is None
    assert backend.claim("run", Claim(3, {"user": "ärger", "pid": 2**33}))
    assert not open_backend().claim("run", Claim(3, {"user": "b"}))
    assert not backend.claim("run", Claim(2, {"user": "b"}))
    found = open_backend().newest_claim("run")
    assert found == Claim(3, {"user": "ärger", "pid": 2**33})
    assert found is not None and (found.idle is not None or not backend.keeps_time)
    assert open_backend().claim("run", Claim(4, {"user": "b"}), found)
    assert not backend.claim("run", Claim(4, {"user": "c"}), found)
    assert backend.newest_claim("run") == Claim(4, {"user": "b"})
    assert backend.newest_claim("run:1") is None


def a_sign_of_life_is_seen(open_backend: Opener) -> None:
    """Who read a claim before its holder gave a sign of life cannot end it."""
    backend = open_backend()
    backend.claim("run", Claim(0, {}))
    before = open_backend().newest_claim("run")
    assert backend.renew_claim("run", 0) and open_backend().renew_claim("run", 0)
    after = open_backend().newest_claim("run")
    assert after is not None and after.beat == 2
    assert not open_backend().claim("run", Claim(1, {}), before)
    assert backend.renew_claim("run", 0)
    assert open_backend().claim("run", Claim(1, {}), backend.newest_claim("run"))
    assert not backend.renew_claim("run", 0)
    assert backend.renew_claim("run", 1)
    assert not backend.renew_claim("run", 2) and not backend.renew_claim("other", 0)


def claims_are_released(open_backend: Opener) -> None:
    """A claim that was released is not open, gives no more signs of life, and its number stays taken."""
    backend = open_backend()
    for run in ("run", "run:1", "other"):
        backend.claim(run, Claim(0, {"user": run}))
    backend.release_claim("run", 0)
    backend.release_claim("run", 0)
    backend.release_claim("unknown", 0)
    newest = open_backend().newest_claim("run")
    assert newest is not None and newest.released
    assert not backend.renew_claim("run", 0)
    assert open_backend().open_claims() == {run: Claim(0, {"user": run}) for run in ("other", "run:1")}
    assert list(open_backend().open_claims("run")) == ["run:1"]
    assert not backend.claim("run", Claim(0, {}))
    assert backend.claim("run", Claim(1, {}), newest)
    backend.release_claim("run", 0)  # too late: it is another's by now
    assert backend.renew_claim("run", 1) and "run" in backend.open_claims()
    unheld = Claim(2, {"user": "b"}, released=True)
    assert backend.claim("run", unheld, backend.newest_claim("run"))
    assert open_backend().newest_claim("run") == unheld
    assert not backend.renew_claim("run", 2) and "run" not in backend.open_claims()


def epochs_keep_what_they_found(open_backend: Opener) -> None:
    """An epoch comes back with what it left of those before it, or without if it did not look."""
    past = (Past(0, 20, 20, 3, "manifest-0-1.json"), Past(2, 7, 20, 0, None))
    backend = open_backend()
    backend.add_epoch("run", Epoch(0, 0))
    backend.add_epoch("run", Epoch(1, 0, ()))
    backend.add_epoch("run", Epoch(3, 20, past))
    assert [epoch.past for epoch in open_backend().epochs("run")] == [None, (), past]


def a_later_epoch_wins(open_backend: Opener) -> None:
    """What an epoch published is replaced by itself and by later ones, and by no earlier one."""
    backend, key = open_backend(), "run/a%2Fdice"
    assert backend.put("best", key, {"x": 0})
    assert backend.publish("best", key, {"x": 1}, 3)
    assert open_backend().publish("best", key, {"x": 2}, 3)
    assert open_backend().publish("best", key, {"x": 3}, 10)
    assert not backend.publish("best", key, {"x": 4}, 9)
    assert open_backend().get("best", key) == {"x": 3}
    assert open_backend().keys("best", "run/") == [key]
    assert not backend.put("best", key, {"x": 5})
    assert backend.put("best", key, {"x": 6}, replace=True)
    assert open_backend().get("best", key) == {"x": 6}
    assert backend.publish("best", key, {"x": 7}, 0)
    assert backend.remove("best", key) and not backend.remove("best", key)
    assert open_backend().get("best", key) is None and open_backend().keys("best", "run/") == []
    assert backend.publish("best", key, {"x": 8}, 5)
    backend.move_run("run", "other")
    assert not backend.publish("best", "other/a%2Fdice", {"x": 9}, 4)
    assert open_backend().get("best", "other/a%2Fdice") == {"x": 8}
    assert backend.publish("best", key, {"x": 10}, 0)


# With the stores on top


def a_run_has_one_holder(open_backend: Opener) -> None:
    """Who comes second is told who has the run; once that one has let go, it is free at once."""
    with take(open_backend(), "run", "train") as lease:
        try:
            take(open_backend(), "run", "validate")
        except LeaseHeld as error:
            assert lease.holder.user in str(error) and f"pid {lease.holder.pid}" in str(error)
        else:
            raise AssertionError("two hold the run")
        take(open_backend(), "run:1", "train").release()
    with take(open_backend(), "run", "delete") as later:
        assert later.number == lease.number + 1


def a_holder_that_lives_keeps_its_run(open_backend: Opener) -> None:
    """Signs of life go on by themselves, for longer than the lease would last without them."""
    with take(open_backend(), "run", "train", seconds=BRIEF) as lease:
        time.sleep(3 * BRIEF)
        lease.confirm()
        try:
            take(open_backend(), "run", "train")
        except LeaseHeld:
            lease.confirm()
        else:
            raise AssertionError("a run was taken from a holder that lives")


def who_slept_is_never_seen(open_backend: Opener) -> None:
    """Whatever a holder writes that slept past its lease is refused, or never read."""
    backend = open_backend()
    sleeper = asleep(backend)
    write(backend, sleeper, 0, 40, 1.0)
    time.sleep(2 * BRIEF)
    with take(open_backend(), "run", "train") as lease:
        assert lease.number == sleeper.number + 1
        late_writes(backend, sleeper.number, 40)  # nobody has begun since: but it is too late already
        write(open_backend(), lease, 20, 60, 2.0)
        late_writes(backend, sleeper.number, 20)
        late_writes(backend, sleeper.number, 60)
        for attempt in (lambda: sleeper.begin(10), lambda: write(backend, sleeper, 40, 50, 99.0)):
            try:
                attempt()
            except LeaseLost as error:
                assert lease.holder.host in str(error)
            else:
                raise AssertionError("who slept was not told")
    assert_untouched(open_backend(), [1.0] * 20 + [2.0] * 40, {20: 1.0, 40: 2.0, 60: 2.0})


def an_epoch_begun_too_late_is_never_seen(open_backend: Opener) -> None:
    """Who took a run, slept, and begins to write when another has begun, is not read at all."""
    backend = open_backend()
    with take(backend, "run", "train") as first:
        write(backend, first, 0, 40, 1.0)
    sleeper = asleep(backend)
    time.sleep(2 * BRIEF)
    with take(open_backend(), "run", "train") as lease:
        write(open_backend(), lease, 40, 60, 2.0)
    assert backend.add_epoch("run", Epoch(sleeper.number, 10, (Past(first.number, 10, 10, 0, ""),)))
    late_writes(backend, sleeper.number, 10)
    late_writes(backend, sleeper.number, 60)
    assert_untouched(open_backend(), [1.0] * 40 + [2.0] * 20, {20: 1.0, 40: 1.0, 60: 2.0})


def asleep(backend: StoreBackend) -> Lease:
    """Take the run for a holder that gives no signs of life from now on."""
    lease = take(backend, "run", "train", seconds=BRIEF)
    lease.stop_beating()
    return lease


def write(backend: StoreBackend, lease: Lease, begin: int, end: int, value: float) -> None:
    """Write stats, and every twenty iterations scores and a checkpoint, as a trainer does."""
    stats_store, weights_store = StatsStore(backend), WeightsStore(backend)
    stats_store.write_under(lease)
    weights_store.write_under(lease)
    stats = stats_store.retrieve_training_stats("run")
    scores = ValidationScores.labelled(LABELS)
    scores.scores = stats_store.retrieve_validation_iteration_scores("run")
    stats_store.begin_epoch("run", begin, weights_store.manifest("run", begin))
    stats.delete_after(begin)
    scores.delete_after(begin + 1)
    for reached in range(begin + 20, end + 1, 20):
        stats.append(np.arange(reached - 20, reached), {"loss": np.full(20, value), "time": np.ones(20)})
        stats_store.store_training_stats("run", stats)
        weights_store.store_weights("run", reached, Weights({"value": np.array([value])}))
        scores.add_iteration_scores(ValidationIterationScores(reached, [[[value]]]))
        stats_store.store_validation_iteration_scores("run", scores)
        weights_store.store_best("run", reached, "a", "dice", value=value)


def late_writes(backend: StoreBackend, epoch: int, iteration: int) -> None:
    """Write what nobody should see, as somebody does who does not look whether the lease is lost."""
    due = backend.tail("run", epoch).sequence
    losses = {"loss": np.full(9, 99.0), "time": np.ones(9)}
    backend.append_block("run", epoch, Block(due, np.arange(iteration, iteration + 9), losses))
    criterion = {"name": "dice", "higher_is_better": True, "bounds": [0.0, 1.0], "store_best": True}
    words = {"words": "p", "document": None}
    backend.append_scores(
        "run", epoch, ScoresRecord(iteration, "a", [words], [criterion], np.array([[99.0]]))
    )
    backend.put_blob("run", f"iterations/{iteration}/manifest-{epoch}-99.json", [b"late"])
    backend.publish("best", "run/a%2Fdice", {"iteration": iteration, "value": 99.0}, epoch)


def assert_untouched(backend: StoreBackend, losses: list[float], scored: dict[int, float]) -> None:
    """Demand that exactly these stats, scores and checkpoints are read."""
    stats_store, weights_store = StatsStore(backend), WeightsStore(backend)
    assert stats_store.retrieve_training_stats("run").columns["loss"].tolist() == losses
    found = stats_store.retrieve_validation_scores("run")
    assert {one.iteration: one.scores[0][0][0] for one in found.scores} == scored
    assert weights_store.iterations("run") == list(scored)
    for iteration, value in scored.items():
        assert weights_store.retrieve_weights("run", iteration).model["value"].tolist() == [value]
    newest = max(scored)
    (best,) = weights_store.best("run")
    assert (best.iteration, best.value) == (newest, scored[newest])


CHECKS: tuple[Check, ...] = (
    a_number_is_claimed_once,
    a_sign_of_life_is_seen,
    claims_are_released,
    epochs_keep_what_they_found,
    a_later_epoch_wins,
    a_run_has_one_holder,
    a_holder_that_lives_keeps_its_run,
    who_slept_is_never_seen,
    an_epoch_begun_too_late_is_never_seen,
)
