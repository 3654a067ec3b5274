"""The files of the queue: changes under numbers, and empty files that point at them.

<queue>/runs/<run>/<n>.json                      the n-th change of a run: the truth
       /waiting/<priority>/<ticket>-<n>-<run>    an empty file: the n-th change made it wait
       /taken/<ticket>-<n>-<run>                 the same one, after somebody claimed the run

A change is there once a link of its name was made, which happens once.  The empty files, the
markers, only save reading all histories: they are made before the change that they point at
and moved after the one that claims it, and whoever comes upon one that is behind moves or
removes it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import attrs

from dacapo.documents import Document, from_json, to_json
from dacapo.errors import NewerFormat

from . import plain_data
from .publication import explained, make_folder, sync_folder, visible
from .queue_backend import SETTLED, TAKEN, WAITING, Place

logger = logging.getLogger(__name__)

FORMAT = 1
_FIRST_LINE = b"# dacapo change of a queued run %d, sha256 %s\n"
_HEAD = re.compile(rb"# dacapo change of a queued run (\d+), ")
_MARKER = re.compile(r"(\d+)-(\d+)-(.+)", re.DOTALL)


@attrs.frozen
class StoredChange:
    """What the file of one change holds."""

    document: Document
    standing: str
    place: Place | None


class Marker(NamedTuple):
    """The name of an empty file: which change of which run it points at."""

    ticket: int
    run: str
    number: int

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.ticket:012d}-{self.number}-{self.run}"


class QueueFolder:
    """Reads and writes the files of a queue, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = str(path)  # joining paths as texts is ten times as fast

    def change(self, run: str, number: int) -> str:
        """Return where a change of a run is, or would be."""
        return f"{self._text}/runs/{run}/{number}.json"

    def waiting(self, priority: int, marker: Marker) -> str:
        """Return where the marker of a waiting run is."""
        return f"{self._text}/{WAITING}/{priority}/{marker.name}"

    def taken(self, marker: Marker) -> str:
        """Return where the marker of a taken run is."""
        return f"{self._text}/{TAKEN}/{marker.name}"

    def priorities(self) -> list[int]:
        """Return the priorities that runs wait at, or have waited at, highest first."""
        names = visible(self.path / WAITING)
        return sorted((int(name) for name in names if name.removeprefix("-").isdigit()), reverse=True)

    def markers_at(self, priority: int) -> list[Marker]:
        """Return the markers of one priority, in order."""
        return sorted(_markers(self.path / WAITING / str(priority)))

    def markers(self) -> Iterator[Marker]:
        """Yield all markers."""
        return (marker for folder in self._marker_folders() for marker in _markers(folder))

    def runs(self) -> list[str]:
        """Return the runs that have a history."""
        return visible(self.path / "runs")

    def history(self, run: str) -> list[StoredChange | None]:
        """Return the changes of a run, with None for damaged ones."""
        names = (name.removesuffix(".json") for name in visible(self.path / "runs" / run))
        count = max((int(name) for name in names if name.isdigit()), default=-1) + 1
        return [self.read(run, number) for number in range(count)]

    def read(self, run: str, number: int) -> StoredChange | None:
        """Return a change; None if it is not there, or is damaged."""
        path = self.change(run, number)
        try:
            with open(path, "rb", buffering=0) as file:
                return decode(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            logger.warning("%s is damaged, and left out: %s", path, error)
            return None

    def mark(self, path: str) -> None:
        """Make an empty file, so that it is still there after a crash."""
        folder = Path(path).parent
        with explained(folder, "writing"):
            make_folder(folder)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
            sync_folder(folder)

    def mark_waiting(self, run: str, number: int, place: Place) -> None:
        """Make the marker of a change that is about to make a run wait."""
        self.mark(self.waiting(place.priority, Marker(place.ticket, run, number)))

    def mark_taken(self, run: str, number: int) -> None:
        """Make sure that a run that is about to be taken has a marker that says so."""
        if not any(_markers(self.path / TAKEN, run)):
            self.mark(self.taken(Marker(0, run, number)))

    def move(self, priority: int, marker: Marker) -> None:
        """Move the marker of a run that was claimed to where the taken ones are."""
        with suppress(FileNotFoundError):
            os.rename(self.waiting(priority, marker), self.taken(marker))

    def forget_markers(self, run: str, newest: int = -1, standing: str = SETTLED) -> None:
        """Remove the markers of a run that the way it stands now makes no use of."""
        for folder in self._marker_folders():
            if standing == TAKEN and folder.name == TAKEN:
                continue
            for marker in _markers(folder, run):
                if standing != WAITING or marker.number < newest:
                    with explained(folder, "removing"):
                        (folder / marker.name).unlink(missing_ok=True)

    def mend_markers(self, run: str, history: list[StoredChange | None]) -> None:
        """Put right the markers among the taken ones of a run that is not taken.

        A marker is moved after the claim.  If the claim is not there, it was lost in a crash,
        and the run waits again.
        """
        newest = history[-1] if history else None
        for marker in _markers(self.path / TAKEN, run):
            with explained(self.path, "writing"), suppress(FileNotFoundError):
                if newest and newest.place and marker.number == len(history) - 1:
                    os.rename(self.taken(marker), self.waiting(newest.place.priority, marker))
                else:
                    os.unlink(self.taken(marker))

    def _marker_folders(self) -> list[Path]:
        waiting = self.path / WAITING
        # In the order that markers move: one that is moved meanwhile is not missed.
        return [*(waiting / str(priority) for priority in self.priorities()), self.path / TAKEN]


def _markers(folder: Path, run: str = "") -> Iterator[Marker]:
    """Yield the markers in a folder, or those of one run."""
    for name in visible(folder):
        if name.endswith(run) and (found := _MARKER.fullmatch(name)) and run in ("", found[3]):
            yield Marker(int(found[1]), found[3], int(found[2]))


def encode(change: Document, standing: str, place: Place | None) -> bytes:
    """Return what the file of a change holds: a line with a checksum, and JSON."""
    where = attrs.asdict(place) if place else None
    content = {"change": plain_data.copied(change), "standing": standing, "place": where}
    body = to_json(content, indent=1).encode()
    return _FIRST_LINE % (FORMAT, hashlib.sha256(body).hexdigest().encode()) + body


def decode(data: bytes) -> StoredChange:
    """Read the file of a change; raises ``ValueError`` if it is damaged, ``NewerFormat`` if it is too new."""
    if (head := _HEAD.match(data)) and int(head[1]) > FORMAT:
        raise NewerFormat(
            f"the queue was changed by a newer DaCapo, in format {int(head[1])}; this one knows {FORMAT}. "
            "Upgrade with  pip install --upgrade dacapo"
        )
    first, newline, body = data.partition(b"\n")
    if first + newline != _FIRST_LINE % (FORMAT, hashlib.sha256(body).hexdigest().encode()):
        raise ValueError("it does not fit its checksum")
    content = from_json(body.decode())
    place = Place(**content["place"]) if content["place"] else None
    return StoredChange(content["change"], content["standing"], place)
