"""The queue in the memory of this process: the model that other backends are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from threading import RLock
from typing import Any

import attrs

from dacapo.documents import Document

from . import plain_data
from .queue_backend import SETTLED, TAKEN, WAITING, Place, QueueBackend


@attrs.define
class History:
    """What happened to one run, and where it stands now."""

    changes: list[Document] = attrs.field(factory=list)
    place: Place = attrs.field(factory=Place)
    standing: str = SETTLED


@attrs.define
class QueueContent:
    """All that one place knows of its queue."""

    histories: dict[str, History] = attrs.field(factory=dict)
    lock: Any = attrs.field(factory=RLock)


_places: dict[str, QueueContent] = {}


class MemoryQueue(QueueBackend):
    """The operations of the queue for a backend that is known by its ``name``.

    Each is done under one lock, so what several threads ask for happens one after the other.
    """

    name: str

    @property
    def _queue(self) -> QueueContent:
        return _places.setdefault(self.name, QueueContent())

    def add_change(
        self, run: str, number: int, change: Document, *, place: Place | None = None, taken: bool = False
    ) -> bool:
        plain = plain_data.copied(change)
        with self._queue.lock:
            history = self._queue.histories.get(run, History())
            if number != len(history.changes):
                return False
            history.changes.append(plain)
            history.place = place or history.place
            history.standing = WAITING if place else TAKEN if taken else SETTLED
            self._queue.histories[run] = history
            return True

    def claim_next(
        self, change: Document, has: Mapping[str, int], skip: Collection[str] = ()
    ) -> tuple[str, list[Document]] | None:
        plain = plain_data.copied(change)
        with self._queue.lock:
            waiting = [
                (-history.place.priority, history.place.ticket, run)
                for run, history in self._queue.histories.items()
                if history.standing == WAITING and run not in skip and history.place.is_met_by(has)
            ]
            if not waiting:
                return None
            run = min(waiting)[2]
            history = self._queue.histories[run]
            history.changes.append(plain)
            history.standing = TAKEN
            return run, self.changes(run)

    def changes(self, run: str) -> list[Document]:
        with self._queue.lock:
            history = self._queue.histories.get(run)
            return [plain_data.copied(change) for change in history.changes] if history else []

    def all_changes(self, standing: str | None = None) -> dict[str, list[Document]]:
        with self._queue.lock:
            runs = sorted(self._queue.histories.items())
            return {run: self.changes(run) for run, one in runs if standing in (None, one.standing)}

    def next_ticket(self) -> int:
        with self._queue.lock:
            return max((one.place.ticket for one in self._queue.histories.values()), default=-1) + 1

    def remove_changes(self, run: str) -> bool:
        with self._queue.lock:
            return self._queue.histories.pop(run, None) is not None
