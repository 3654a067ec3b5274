"""The queue in plain files: claimed by hard links, without locks and without comparing clocks.

What lies where is said in ``queue_folder``.  To claim a run is to make a hard link of the name
that its next change has to have, which the file system, NFS too, lets only one do.  What many
processes do at once is cheap: they list the waiting runs once a second, and find out by looking
for a name what others have claimed since.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import attrs

from dacapo.documents import Document

from . import plain_data, publication
from .publication import explained
from .queue_backend import SETTLED, TAKEN, WAITING, Place, QueueBackend
from .queue_folder import Marker, QueueFolder, StoredChange, encode

# So long, by this process's own clock, the order in which runs wait is taken as known.  Only a
# run that somebody else puts back to its former place can come before what is known.
SECONDS_KNOWN = 1.0
_MOST_LINKS = 1000


@attrs.define
class Waiting:
    """The runs that wait at one priority, as a process knows them; it takes out what it has seen claimed."""

    markers: deque[Marker]
    since: float


@attrs.define
class ClaimFile:
    """A file with the change of a claim, already on disk, and how often it was linked."""

    change: Document
    path: str
    in_history: bool = False
    links: int = 1


class FileQueue(QueueBackend):
    """The operations of the queue for a backend with a folder ``stats``.

    It remembers what it saw waiting, and the file of its last claim; both only save time, and
    are not asked whether something is so.
    """

    stats: Path
    _claim_file: ClaimFile | None = None

    @cached_property
    def _queue(self) -> QueueFolder:
        return QueueFolder(self.stats / "queue")

    @cached_property
    def _waiting(self) -> dict[int, Waiting]:
        return {}

    @cached_property
    def _newest(self) -> dict[Marker, StoredChange]:
        return {}

    def add_change(
        self, run: str, number: int, change: Document, *, place: Place | None = None, taken: bool = False
    ) -> bool:
        standing = WAITING if place else TAKEN if taken else SETTLED
        data = encode(change, standing, place)
        if number and not os.path.exists(self._queue.change(run, number - 1)):
            return False
        if place is not None:
            self._queue.mark_waiting(run, number, place)
        elif taken:
            self._queue.mark_taken(run, number)
        if not publication.create(Path(self._queue.change(run, number)), [data]):
            return False
        self._waiting.clear()
        if number:
            self._queue.forget_markers(run, number, standing)
        return True

    def claim_next(
        self, change: Document, has: Mapping[str, int], skip: Collection[str] = ()
    ) -> tuple[str, list[Document]] | None:
        publication.make_folder(self._queue.path / TAKEN)
        with explained(self._queue.path, "claiming a run in"):
            for priority in self._queue.priorities():
                for known in self._known(priority):
                    if claimed := self._claim_at(priority, known, change, has, skip):
                        return claimed
            self._forget_claim_file()
            return None

    def changes(self, run: str) -> list[Document]:
        return _documents(self._queue.history(run))

    def all_changes(self, standing: str | None = None) -> dict[str, list[Document]]:
        found = {}
        marked = standing in (WAITING, TAKEN)
        runs = {marker.run for marker in self._queue.markers()} if marked else self._queue.runs()
        for run in sorted(runs):
            history = self._queue.history(run)
            if history and standing in (None, history[-1].standing if history[-1] else SETTLED):
                found[run] = _documents(history)
            elif standing == TAKEN:
                self._queue.mend_markers(run, history)
        return found

    def next_ticket(self) -> int:
        return max((marker.ticket for marker in self._queue.markers()), default=-1) + 1

    def remove_changes(self, run: str) -> bool:
        removed = publication.remove_tree(Path(self._queue.change(run, 0)).parent)
        self._queue.forget_markers(run)
        return removed

    # claiming

    def _known(self, priority: int) -> Iterator[Waiting]:
        """Yield what is known to wait at a priority and, if that has come to nothing, what waits by now."""
        known = self._waiting.get(priority)
        if known and time.monotonic() - known.since < SECONDS_KNOWN:
            yield known
        since = time.monotonic()
        known = Waiting(deque(self._queue.markers_at(priority)), since)
        self._waiting[priority] = known
        yield known

    def _claim_at(
        self, priority: int, known: Waiting, change: Document, has: Mapping[str, int], skip: Collection[str]
    ) -> tuple[str, list[Document]] | None:
        """Claim the first run at a priority that can be claimed; what cannot be by anybody is forgotten."""
        passed: list[Marker] = []
        try:
            while known.markers:
                marker = known.markers.popleft()
                if marker.run in skip:
                    passed.append(marker)
                    continue
                waits = self._change_of(priority, marker)
                if waits and waits.place and not waits.place.is_met_by(has):
                    passed.append(marker)
                elif waits and self._link(change, marker):
                    self._queue.move(priority, marker)
                    before = [self._queue.read(marker.run, number) for number in range(marker.number)]
                    return marker.run, _documents([*before, waits]) + [plain_data.copied(change)]
            return None
        finally:
            known.markers.extendleft(reversed(passed))

    def _change_of(self, priority: int, marker: Marker) -> StoredChange | None:
        """Return the change that makes a run wait; None if it waits no more, or not there."""
        if os.path.exists(self._queue.change(marker.run, marker.number + 1)):
            self._queue.move(priority, marker)
            self._newest.pop(marker, None)
            return None
        if marker not in self._newest:
            change = self._queue.read(marker.run, marker.number)
            if change is None:  # only just being added, or damaged
                return None
            if (place := change.place) is None or (place.priority, place.ticket) != (priority, marker.ticket):
                # Of somebody who was too late in adding it.
                publication.remove_file(Path(self._queue.waiting(priority, marker)))
                return None
            self._newest[marker] = change
        return self._newest[marker]

    def _link(self, change: Document, marker: Marker) -> bool:
        """Give a file with the change the name that claims the run; return False if another has it.

        Claims with equal changes share one file: writing it and waiting for the disk takes
        most of the time.  That the link survives a crash need not be waited for: without it
        the run waits again.
        """
        path, source = self._queue.change(marker.run, marker.number + 1), self._source(change)
        try:
            os.link(source.path, path)
        except FileExistsError:
            # Over NFS the answer to a link that was made may get lost, and the retry finds its own.
            if not os.path.samefile(source.path, path):
                return False
        except FileNotFoundError:  # this run was deleted in this moment, or that of the source
            self._forget_claim_file()
            return False
        self._forget_claim_file()
        self._claim_file = ClaimFile(source.change, path, True, source.links + 1)
        return True

    def _source(self, change: Document) -> ClaimFile:
        """Return a file that holds a change: that of the last claim if it was the same."""
        last = self._claim_file
        if last and last.change == change and last.links < _MOST_LINKS and os.path.exists(last.path):
            return last
        self._forget_claim_file()
        path = self._queue.path / f"{publication.HIDDEN}claim-{secrets.token_hex(8)}"
        publication.replace(path, [encode(change, TAKEN, None)])
        self._claim_file = ClaimFile(dict(change), str(path))
        return self._claim_file

    def _forget_claim_file(self) -> None:
        """Remove the file of a claim that did not become part of a history."""
        if self._claim_file and not self._claim_file.in_history:
            Path(self._claim_file.path).unlink(missing_ok=True)
        self._claim_file = None


def _documents(history: list[StoredChange | None]) -> list[Document]:
    return [change.document if change else {} for change in history]
