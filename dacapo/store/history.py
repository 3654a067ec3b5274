"""What counts of what the epochs of a run wrote.

The newest epoch that has begun says so: it began with a list of what it left of those before it.
Whatever is not on that list came too late: a block, a score or a checkpoint of a writer that
slept past its lease, even a whole epoch that it began then, is never read.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from dacapo.documents import Document, from_json, to_json

from .backend import Epoch, Past, ScoresRecord, StoreBackend

Records = dict[tuple[int, str], ScoresRecord]


def parts(epochs: list[Epoch]) -> list[Past]:
    """Return what counts of each epoch, oldest first; the newest counts without limits."""
    if not epochs:
        return []
    newest = epochs[-1]
    if newest.past is not None:
        return [*newest.past, Past(newest.number)]
    limits = zip(epochs, _limits(epochs), strict=True)
    return [Past(epoch.number, stats=limit, cut=limit) for epoch, limit in limits]


def counts(epochs: list[Epoch], number: int | None, iteration: int) -> bool:
    """Say whether what an epoch published about an iteration counts; without an epoch it does.

    Epochs that the store knows nothing of are believed: their stats were deleted, or lie elsewhere.
    """
    part = next((part for part in parts(epochs) if part.number == number), None)
    if part is not None:
        return part.cut is None or iteration <= part.cut
    return number not in {epoch.number for epoch in epochs}


def scores(backend: StoreBackend, run: str) -> Records:
    """Return the newest record that counts of each iteration and dataset.

    Weights that an epoch started from stay as they were, so their scores do too: only
    what comes after its start is cut.
    """
    counted = (
        record
        for part in parts(backend.epochs(run))
        for record in backend.scores(run, part.number)[: part.scores]
        if part.cut is None or record.iteration <= part.cut
    )
    return {(record.iteration, record.dataset): record for record in counted}


def found(backend: StoreBackend, run: str) -> tuple[Past, ...]:
    """Return what counts of a run's epochs now, none of them without limits: what comes later is late.

    It reads only the ends of their stats, and the scores of those that no epoch has counted yet.
    """
    counted = []
    for part in parts(backend.epochs(run)):
        if part.scores is None:
            block = backend.tail(run, part.number).block
            reached = int(block.iterations[-1]) + 1 if block is not None else 0
            part = attrs.evolve(
                part,
                stats=reached if part.stats is None else min(part.stats, reached),
                scores=len(backend.scores(run, part.number)),
            )
        counted.append(part)
    return tuple(counted)


def cut(past: tuple[Past, ...], start: int, checkpoint: str | None = None) -> tuple[Past, ...]:
    """Return what an epoch that begins at an iteration, from a checkpoint, leaves of what it found."""
    left = []
    for part in past:
        if part.cut is None or start <= part.cut:
            stats = start if part.stats is None else min(part.stats, start)
            part = attrs.evolve(part, stats=stats, cut=start, checkpoint=checkpoint)
        left.append(part)
    return tuple(left)


def encode_past(past: tuple[Past, ...] | None) -> bytes:
    """Return what an epoch found as bytes, none for an epoch that did not look."""
    return b"" if past is None else to_json(write_past(past)).encode()


def decode_past(data: bytes) -> tuple[Past, ...] | None:
    """Return what ``encode_past`` made bytes of."""
    return read_past(from_json(data.decode())) if data else None


def write_past(past: tuple[Past, ...]) -> list[list[int | str | None]]:
    """Return what an epoch found as plain data."""
    return [[part.number, part.stats, part.cut, part.scores, part.checkpoint] for part in past]


def read_past(plain: list[list[int | str | None]]) -> tuple[Past, ...]:
    """Return what ``write_past`` made plain data of."""
    return tuple(Past(*fields) for fields in plain)  # type: ignore[arg-type]


def write_epoch(epoch: Epoch) -> Document:
    """Return an epoch as plain data."""
    past = None if epoch.past is None else write_past(epoch.past)
    return {"number": epoch.number, "start": epoch.start, "past": past}


def read_epoch(plain: Document) -> Epoch:
    """Return the epoch that ``write_epoch`` made plain data of; ``past`` may be missing."""
    past = plain.get("past")
    return Epoch(plain["number"], plain["start"], None if past is None else read_past(past))


def is_plain(epoch: Epoch) -> bool:
    """Say whether an epoch that came from elsewhere holds numbers and names where they belong."""
    known = [epoch.number, epoch.start]
    for part in epoch.past or ():
        known += [one for one in (part.number, part.stats, part.cut, part.scores) if one is not None]
        if not isinstance(part.checkpoint, str | None):
            return False
    return all(type(one) is int and 0 <= one < 2**62 for one in known)


def _limits(epochs: list[Epoch]) -> Iterator[int | None]:
    """Yield for each epoch the earliest start of those after it; None for the newest.

    So earlier versions began epochs: without saying what they had found.
    """
    for position in range(len(epochs)):
        yield min((later.start for later in epochs[position + 1 :]), default=None)
