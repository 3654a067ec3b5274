"""Claims in files: a number is taken by making its file, and a life is told by a count that goes on.

<folder>/<run>/<n>.claim       who took the run under number n; made once, exclusively
              /<n>.beat        a count that the holder raises
              /<n>.released    there once the holder has let go

No clock of one host is ever compared with another's.  ``Claim.idle`` is the time of the last
beat on the clock of the file system, for people to read: the time of a file made just now on
the same file system is what it is compared with.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from dacapo.documents import Document
from dacapo.errors import CorruptData

from . import document_file, publication
from .backend import Claim
from .publication import explained, visible

CLAIM, BEAT, RELEASED = ".claim", ".beat", ".released"
_CLOCK_HOLDS = 60.0  # seconds for which this process's own clock tells how that of the files goes on


class FileClaims:
    """The claims below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clock: tuple[float, float] | None = None

    def claim(self, run: str, claim: Claim, over: Claim | None) -> bool:
        """Take a number, unless it or a later one is taken, or ``over`` gave a sign of life."""
        newest = self.newest(run)
        if newest and (newest.number >= claim.number or (over is not None and newest != over)):
            return False
        document = {"holder": claim.holder, "released": claim.released}
        return publication.create(self._path(run, claim.number, CLAIM), [document_file.dump(document)])

    def newest(self, run: str) -> Claim | None:
        """Return the newest claim of a run."""
        # Asked before every append: putting paths together would take as long as all the rest of it.
        names = visible(f"{self.folder}/{run}")
        if (number := _newest(names)) is None:
            return None
        holder, released = self._made(run, number)
        released = released or f"{number}{RELEASED}" in names
        return Claim(
            number,
            holder,
            self._count(run, number),
            released,
            None if released else self._idle(run, number),
        )

    def renew(self, run: str, number: int) -> bool:
        """Raise the count of a claim.

        It is written over in place: to be alive it only has to change, torn or not, and a file
        that stays the same one is read anew over NFS by whoever opens it.
        """
        newest = self.newest(run)
        if newest is None or newest.number != number or newest.released:
            return False
        publication.overwrite(self._path(run, number, BEAT), b"%020d\n" % (newest.beat + 1))
        return True

    def release(self, run: str, number: int) -> None:
        """End a claim if it is the newest."""
        names = visible(self.folder / run)
        if _newest(names) == number:
            publication.create(self._path(run, number, RELEASED), [])

    def open(self, prefix: str) -> dict[str, Claim]:
        """Return the newest claims that are not released, by run."""
        found = {run: self.newest(run) for run in visible(self.folder) if run.startswith(prefix)}
        return {run: claim for run, claim in found.items() if claim and not claim.released}

    def _path(self, run: str, number: int, suffix: str) -> Path:
        return self.folder / run / f"{number}{suffix}"

    def _made(self, run: str, number: int) -> tuple[Document, bool]:
        """Return who made a claim, and whether it was released from the first."""
        path = self._path(run, number, CLAIM)
        try:
            with explained(path, "reading"):
                document = document_file.load(path.read_bytes(), path)
            return document["holder"], document["released"]
        except (CorruptData, KeyError):
            return {}, False  # somebody took it, and who that was is lost

    def _count(self, run: str, number: int) -> int:
        try:
            return int(self._path(run, number, BEAT).read_bytes() or 0)
        except (OSError, ValueError):
            return 0

    def _idle(self, run: str, number: int) -> float | None:
        """Return how long ago the last beat was, if the place lets one find out."""
        for suffix in (BEAT, CLAIM):
            with suppress(OSError):
                last = self._path(run, number, suffix).stat().st_mtime
                now = self._now()
                # Kernels round the times of files; much in the future means that clocks disagree.
                return None if now is None or last - now > 1 else max(0.0, now - last)
        return None

    def _now(self) -> float | None:
        """Return the time on the clock that files get their times from, or None if nothing can be made."""
        here = time.monotonic()
        if self._clock is None or here - self._clock[1] > _CLOCK_HOLDS:
            if (made := publication.clock(self.folder)) is None:
                return None
            self._clock = made, here
        return self._clock[0] + here - self._clock[1]


def _newest(names: list[str]) -> int | None:
    return max((int(name[: -len(CLAIM)]) for name in names if name.endswith(CLAIM)), default=None)
