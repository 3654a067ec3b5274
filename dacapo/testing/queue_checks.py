"""What every backend has to do for the queue; part of the checks in ``dacapo.testing.stores``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Thread
from typing import TYPE_CHECKING, Any

from dacapo.store.queue_backend import SETTLED, TAKEN, WAITING, Place

if TYPE_CHECKING:
    from dacapo.store.backend import StoreBackend

    from .leases import Opener

CLAIM = {"state": "claimed", "by": "näme"}


def claimed_run(backend: StoreBackend, has: dict[str, int], skip: Collection[str] = ()) -> str | None:
    """Claim a run, look at what is told of its history, and return which it was."""
    claimed = backend.claim_next(CLAIM, has, skip)
    if claimed is None:
        return None
    run, history = claimed
    assert history[-1] == CLAIM and history == backend.changes(run)
    return run


def changes_are_counted_once(open_backend: Opener) -> None:
    """Of two that add the same change, one is told that it is too late; the history is kept in order."""
    backend = open_backend()
    assert backend.changes("run") == [] and backend.all_changes() == {}
    assert not backend.add_change("run", 1, {"state": "early"})
    assert backend.add_change("run", 0, {"state": "queued", "why": "ä\n\x07"}, place=Place())
    assert not open_backend().add_change("run", 0, {"state": "queued", "why": "late"}, place=Place(5))
    assert backend.add_change("run", 1, {"state": "stopped"})
    assert not backend.add_change("run", 1, {"state": "late"})
    assert not backend.add_change("run", 3, {"state": "early"})
    history = [{"state": "queued", "why": "ä\n\x07"}, {"state": "stopped"}]
    assert open_backend().changes("run") == history
    assert open_backend().all_changes() == {"run": history}
    assert backend.claim_next(CLAIM, {}) is None


def runs_are_claimed_in_order(open_backend: Opener) -> None:
    """High priorities come first, then small tickets; nobody gets what was claimed."""
    backend = open_backend()
    places = {"d": Place(0, 4), "b": Place(0, 3), "a": Place(-1, 0), "run:1": Place(7, 9), "c": Place(0, 3)}
    for run, place in places.items():
        backend.add_change(run, 0, {"state": "queued"}, place=place)
    assert backend.next_ticket() > 9
    claimers = [backend, open_backend()]
    for number, run in enumerate(("run:1", "b", "c", "d", "a")):
        assert claimed_run(claimers[number % 2], {}) == run
    for claimer in claimers:
        assert claimer.claim_next(CLAIM, {}) is None
    assert backend.changes("b") == [{"state": "queued"}, CLAIM]
    assert backend.next_ticket() > 9


def what_comes_later_is_claimed_in_order_too(open_backend: Opener) -> None:
    """A run that is added, or put back where it was, is claimed before those that wait behind it."""
    backend, other = open_backend(), open_backend()
    for ticket, run in enumerate("abc"):
        backend.add_change(run, 0, {}, place=Place(0, ticket))
    assert claimed_run(backend, {}) == "a"
    other.add_change("urgent", 0, {}, place=Place(1, 3))
    assert claimed_run(backend, {}) == "urgent"
    assert backend.add_change("a", 2, {}, place=Place(0, 0))
    assert claimed_run(backend, {}) == "a"
    assert claimed_run(other, {}) == "b"


def needs_are_met(open_backend: Opener) -> None:
    """A run goes to those who have all that it needs; others, and runs to skip, are passed over."""
    backend = open_backend()
    backend.add_change("large", 0, {}, place=Place(9, 0, {"gpus": 2, "memory": 64}))
    backend.add_change("odd", 0, {}, place=Place(8, 1, {"a100": 1}))
    backend.add_change("small", 0, {}, place=Place(7, 2, {"gpus": 1}))
    backend.add_change("free", 0, {}, place=Place(6, 3))
    for has in ({}, {"gpus": 0}, {"memory": 99}):
        assert open_backend().claim_next(CLAIM, has, ["free"]) is None
    assert claimed_run(backend, {"gpus": 1, "memory": 64}, {"small"}) == "free"
    assert claimed_run(backend, {"gpus": 4, "memory": 32}) == "small"
    assert claimed_run(backend, {"gpus": 2, "memory": 64}) == "large"
    assert backend.claim_next(CLAIM, {"gpus": 2, "memory": 64}) is None
    assert claimed_run(backend, {"a100": 1}) == "odd"


def how_runs_stand_is_known(open_backend: Opener) -> None:
    """Runs are listed by how they stand after their newest change, and removed with their places."""
    backend = open_backend()
    for ticket, run in enumerate(("claimed", "waiting", "stopped", "gone")):
        backend.add_change(run, 0, {}, place=Place(0, ticket))
    assert claimed_run(backend, {}) == "claimed"
    backend.add_change("claimed", 2, {"state": "running"}, taken=True)
    backend.add_change("direct", 0, {"state": "running"}, taken=True)
    backend.add_change("stopped", 1, {})
    assert backend.remove_changes("gone") and not backend.remove_changes("gone")
    reader = open_backend()
    assert list(reader.all_changes()) == ["claimed", "direct", "stopped", "waiting"]
    assert list(reader.all_changes(TAKEN)) == ["claimed", "direct"]
    assert list(reader.all_changes(WAITING)) == ["waiting"]
    assert list(reader.all_changes(SETTLED)) == ["stopped"]
    backend.add_change("claimed", 3, {"state": "done"})
    assert list(reader.all_changes(TAKEN)) == ["direct"]
    assert claimed_run(reader, {}) == "waiting"
    assert reader.claim_next(CLAIM, {}) is None
    backend.add_change("gone", 0, {}, place=Place(0, 0))
    assert claimed_run(reader, {}) == "gone"


def each_run_goes_to_one_claimer(open_backend: Opener) -> None:
    """Several that claim at once share the runs, and none gets one twice."""
    backend = open_backend()
    runs = [f"run-{number}" for number in range(24)]
    for ticket, run in enumerate(runs):
        backend.add_change(run, 0, {}, place=Place(ticket % 2, ticket))
    claimed: list[Any] = []

    def claim_all(claimer: Any) -> None:
        while (found := claimer.claim_next(CLAIM, {})) is not None:
            claimed.append(found[0])

    threads = [Thread(target=claim_all, args=(open_backend(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(runs)


QUEUE_CHECKS: tuple[Callable[[Opener], None], ...] = (
    changes_are_counted_once,
    runs_are_claimed_in_order,
    what_comes_later_is_claimed_in_order_too,
    needs_are_met,
    how_runs_stand_is_known,
    each_run_goes_to_one_claimer,
)
