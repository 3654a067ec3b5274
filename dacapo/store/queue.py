"""The queue of runs to train: who waits, who was claimed by which worker, and what became of them.

Each run that was ever queued has a history of changes of its state, which is never rewritten.
Every change is added under the condition that nothing changed since one looked, so a claim
that was taken over cannot be written to by the one who lost it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import attrs

from dacapo.documents import Document
from dacapo.errors import InvalidRequest, LeaseLost, NotFound
from dacapo.names import TRASHED, Repeated
from dacapo.provenance import user

from .config_store import RUNS, ConfigStore
from .lease import Watch
from .queue_backend import TAKEN, Place

QUEUED, CLAIMED, RUNNING, STOPPED, DONE, FAILED, LOST = STATES = (
    "queued", "claimed", "running", "stopped", "done", "failed", "lost",
)  # fmt: skip
# A run that made its workers vanish so often in a row is not given to a further one.
MOST_LOSSES = 3


@attrs.frozen
class Change:
    """One change of state: when, why, and by which process of whom; times are those of its host."""

    state: str
    time: str = ""
    reason: str = ""
    user: str = ""
    host: str = ""
    pid: int = 0
    worker: str = ""
    place: Document | None = None

    @classmethod
    def here(cls, state: str, reason: str = "", worker: str = "", place: Place | None = None) -> Change:
        """Return a change made now by this process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        where = attrs.asdict(place) if place else None
        return cls(state, now, reason, *_process(os.getpid()), worker, where)

    @classmethod
    def read(cls, document: Document) -> Change:
        """Return the change of a document; fields that a later version added are left out."""
        if "state" not in document:
            return cls(LOST, reason="what was written about this change is damaged")
        return cls(**{name: value for name, value in document.items() if name in _FIELDS})

    def write(self) -> Document:
        """Return the change as plain data."""
        return {name: getattr(self, name) for name in _FIELDS}

    @property
    def actor(self) -> str:
        """Who made the change."""
        return f"{self.user}@{self.host}, process {self.pid}" if self.user else "unknown"


_FIELDS = tuple(field.name for field in attrs.fields(Change))


@cache
def _process(pid: int) -> tuple[str, str, int]:
    """Return by whom and where this process runs; asking the system each time would slow claims down."""
    return user(), socket.gethostname(), pid


@attrs.frozen
class QueueEntry:
    """How one run stands in the queue, and all that happened to it there."""

    run: str
    changes: tuple[Change, ...]
    is_lost: bool = False  # its worker gives no sign of life, and nobody has written so yet

    @property
    def last(self) -> Change:
        """The newest change."""
        return self.changes[-1]

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return LOST if self.is_lost else self.last.state

    @property
    def place(self) -> Place:
        """Where the run waits, or waited last."""
        places = (change.place for change in reversed(self.changes) if change.place)
        return Place(**next(places, {}))

    @property
    def worker(self) -> str:
        """The key under which the worker that has the run gives signs of life."""
        return next((change.worker for change in reversed(self.changes) if change.worker), "")

    @property
    def losses(self) -> int:
        """How many workers vanished with the run since it ended in another way or was queued by hand."""
        states = [change.state for change in self.changes]
        begin = max((at for at, one in enumerate(states) if one in (STOPPED, DONE, FAILED)), default=-1)
        by_hand = max((at for at, one in enumerate(self.changes) if one.place and not one.worker), default=0)
        return states[max(begin, by_hand) :].count(LOST)

    def as_document(self) -> Document:
        """Return all of it as plain data."""
        changes = [change.write() for change in self.changes]
        summary = {"run": self.run, "state": self.state, "since": self.last.time, "reason": self.last.reason}
        place = self.place
        return {
            **summary,
            "by": self.last.actor,
            "priority": place.priority,
            "needs": dict(place.needs),
            "changes": changes,
        }


class Queue:
    """The queue of the runs in one store; ``create_queue`` opens it."""

    def __init__(self, config_store: ConfigStore) -> None:
        self.config_store, self.backend = config_store, config_store.backend
        self._watch = Watch()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backend!r})"

    def add(
        self, run: str | Repeated, priority: int = 0, needs: Mapping[str, int] | None = None
    ) -> QueueEntry:
        """Queue a stored run behind all others of its priority; high priorities come first.

        It is given only to workers that have as much as it ``needs`` of each resource.  A run that
        was stopped, failed, got lost or is done may be queued again, and goes on where it left
        off.  Raises ``NotFound`` for an unknown run, and ``InvalidRequest`` if it is queued already.
        """
        key = self.config_store.find(RUNS, run)
        self.config_store.retrieve_document(RUNS, key if ":" in key else f"{key}:0")
        while True:
            entry = self.entry(key)
            if entry and entry.state in (QUEUED, CLAIMED, RUNNING):
                raise InvalidRequest(
                    f"run {key} is {entry.state} already, since {entry.last.time} by {entry.last.actor}; "
                    + (f"to change its place, first  dacapo queue cancel {key}" if entry.state == QUEUED
                       else how_to_stop(entry))
                )  # fmt: skip
            place = Place(priority, self.backend.next_ticket(), dict(needs or {}))
            if found := self._add(key, entry, Change.here(QUEUED, place=place), place):
                return found

    def cancel(self, run: str | Repeated) -> QueueEntry:
        """Take a run out of the queue, before anybody has claimed it; its state is ``stopped`` then.

        Raises ``NotFound`` if it never was in the queue, and ``InvalidRequest`` if it is not now,
        or if a worker has it: then the message says how to stop it.
        """
        key = self.config_store.find(RUNS, run)
        while True:
            entry = self.entry(key)
            if entry is None:
                raise NotFound(f"run {key} was never queued in {self.backend!r}; see  dacapo queue list")
            if entry.state in (CLAIMED, RUNNING):
                raise InvalidRequest(
                    f"run {key} is {entry.state}, since {entry.last.time} by {entry.last.actor}, so it is "
                    f"too late to cancel it; {how_to_stop(entry)}"
                )
            if entry.state not in (QUEUED, LOST):
                raise InvalidRequest(f"run {key} is not queued: it is {entry.state} since {entry.last.time}")
            if found := self._add(key, entry, Change.here(STOPPED, "taken out of the queue")):
                return found

    def entry(self, run: str) -> QueueEntry | None:
        """Return how a run stands, by its key; None if it was never queued."""
        changes = self.backend.changes(run)
        return self._entry(run, changes) if changes else None

    def entries(self, states: Collection[str] = ()) -> list[QueueEntry]:
        """Return all entries, or those in some states: waiting ones in their order, then the others.

        Raises ``InvalidRequest`` for what is no state.
        """
        if unknown := set(states) - set(STATES):
            raise InvalidRequest(f"{min(unknown)!r} is no state of a run; there are {', '.join(STATES)}")
        histories = self.backend.all_changes().items()
        found = [self._entry(run, changes) for run, changes in histories if not run.startswith(TRASHED)]
        chosen = [entry for entry in found if not states or entry.state in states]
        return sorted(chosen, key=_order)

    def claim(self, worker: str, has: Mapping[str, int], skip: Collection[str] = ()) -> QueueEntry | None:
        """Claim the next run that waits and needs no more than one has; None if there is none.

        ``worker`` is the key under which the claimer gives signs of life.  No run is claimed twice.
        """
        claimed = self.backend.claim_next(Change.here(CLAIMED, worker=worker).write(), has, skip)
        if claimed is None:
            return None
        run, changes = claimed
        return QueueEntry(run, tuple(map(Change.read, changes)))

    def claimed_by(self, worker: str) -> QueueEntry | None:
        """Return a run that a worker claimed and has not begun, or None."""
        found = (self._entry(run, changes) for run, changes in self.backend.all_changes(TAKEN).items())
        return next((one for one in found if one.last.state == CLAIMED and one.worker == worker), None)

    def change(self, entry: QueueEntry, state: str, reason: str = "", worker: str = "") -> QueueEntry:
        """Write a new state of a run that one has claimed; raises ``LeaseLost`` if one has it no more."""
        return self._changed(entry, Change.here(state, reason, worker))

    def put_back(self, entry: QueueEntry, reason: str, worker: str = "") -> QueueEntry:
        """Let a run wait again where it waited before; raises ``LeaseLost`` if one has it no more."""
        place = entry.place
        return self._changed(entry, Change.here(QUEUED, reason, worker, place), place)

    def recover(self, worker: str) -> Iterator[QueueEntry]:
        """Yield the runs whose workers vanished, after writing so and letting them wait again.

        What vanished too often stays lost.  Where a store has no clock of its own, signs of life
        have to be watched for some time: then this finds something only after several calls.
        """
        for run, changes in self.backend.all_changes(TAKEN).items():
            entry = self._entry(run, changes)
            if not entry.is_lost:
                continue
            reason = f"no sign of life from its worker, {entry.last.actor}"
            lost = self._add(run, entry, Change.here(LOST, reason, worker))
            if lost and lost.losses < MOST_LOSSES:
                place = lost.place
                lost = self._add(run, lost, Change.here(QUEUED, reason, worker, place), place)
            if lost:
                yield lost

    def delete(self, run: str) -> bool:
        """Forget the history of a run; return False if there was none."""
        return self.backend.remove_changes(run)

    def _add(
        self, run: str, entry: QueueEntry | None, change: Change, place: Place | None = None
    ) -> QueueEntry | None:
        """Add a change behind those that were seen; return None if somebody was quicker."""
        seen = entry.changes if entry else ()
        taken = change.state in (CLAIMED, RUNNING)
        if self.backend.add_change(run, len(seen), change.write(), place=place, taken=taken):
            return QueueEntry(run, (*seen, change))
        return None

    def _changed(self, entry: QueueEntry, change: Change, place: Place | None = None) -> QueueEntry:
        if (found := self._add(entry.run, entry, change, place)) is not None:
            return found
        now = self.entry(entry.run)
        what = f"it is {now.state} now, by {now.last.actor}" if now else "it was taken out of the queue"
        raise LeaseLost(
            f"run {entry.run} does not belong to this worker any more: {what}; this worker leaves it alone. "
            f"See what happened with  dacapo queue list --json"
        )

    def _entry(self, run: str, documents: list[Document]) -> QueueEntry:
        entry = QueueEntry(run, tuple(map(Change.read, documents)))
        return attrs.evolve(entry, is_lost=entry.state in (CLAIMED, RUNNING) and self._has_vanished(entry))

    def _has_vanished(self, entry: QueueEntry) -> bool:
        """Say whether neither the worker of a run nor a process that trains it is alive."""
        return not any(self._is_alive(key) for key in (entry.worker, entry.run) if key)

    def _is_alive(self, key: str) -> bool:
        claim = self.backend.newest_claim(key)
        return (
            claim is not None and not claim.released and not self._watch.has_ceased(self.backend, key, claim)
        )


def how_to_stop(entry: QueueEntry) -> str:
    """Say how to stop a run that a worker has."""
    last = entry.last
    return (
        f"to stop it, type  kill -TERM {last.pid}  on {last.host}: the worker makes the run keep a "
        "checkpoint and ends; the run can be queued again, and goes on from there"
    )


def _order(entry: QueueEntry) -> tuple[Any, ...]:
    place = entry.place
    return STATES.index(entry.state), -place.priority, place.ticket, entry.run
