"""The stats of one epoch in files: a log of appends, and one of what they were merged into.

Merging writes to ``<n>.merged`` first, forces it to disk, and then puts a shorter
``<n>.iterations`` in place of the old one.  Readers read in the other order, so they find
each append in the one or the other, and leave out what they find in both.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from . import publication
from .backend import Block, Tail
from .blocks import can_merge, decode_block, decode_outline, encode_block, resolved, with_merged, within
from .framed_log import Frame, FramedLog
from .previews import Outline

KIND = 1  # of the frames in a log that hold a block
APPENDED, MERGED = ".iterations", ".merged"


class BlockLog:
    """The blocks of one epoch."""

    def __init__(self, folder: Path, epoch: int) -> None:
        self.appended = FramedLog(folder / f"{epoch}{APPENDED}")
        self.merged = FramedLog(folder / f"{epoch}{MERGED}")
        self._merged_until: int | None = None

    def append(self, block: Block) -> None:
        """Add a block, forced to disk; it has to begin at the sequence to come."""
        if self._merged_until is None:
            self._merged_until = self.merged.end().sequence
        self.appended.append(_frame(block), begin=block.begin, least=self._merged_until)

    def tail(self) -> Tail:
        """Return the newest block, reading no other."""
        end = self.appended.end()
        if end.last is not None:
            return Tail(_block(end.last), end.sequence)
        end, sequence = self.merged.end(), end.sequence
        return Tail(None if end.last is None else _block(end.last), max(end.sequence, sequence))

    def blocks(self, begin: int = 0, end: int | None = None) -> list[Block]:
        """Return the blocks with a sequence in a range."""
        appended = [_block(frame) for frame in self.appended.frames()]
        if appended and appended[0].begin <= begin:
            return within(resolved(appended), begin, end)
        merged = [_block(frame) for frame in self.merged.frames()]
        return within(resolved([*merged, *appended]), begin, end)

    def outlines(self, metric: str | None) -> list[Outline | Block] | None:
        """Return outlines, reading only them; None if something is damaged or unfinished."""
        appended = _outlines(self.appended, metric)
        merged = _outlines(self.merged, metric)
        if appended is None or merged is None:
            return None
        until = merged[-1].sequence if merged else -1
        return [*merged, *(one for one in appended if one.sequence > until)]

    def merge(self, blocks: list[Block]) -> bool:
        """Put blocks in place of those they stand for; see ``StoreBackend.merge_blocks``."""
        if not self.appended.path.exists():
            return False
        with self.appended.alone() as descriptor:
            frames = self.appended.whole(descriptor)
            if frames is None:
                return False  # what is damaged stays as it is, for whoever wants to look at it
            appended, merged = [*map(_block, frames)], [*map(_block, self.merged.frames())]
            there = with_merged(resolved([*merged, *appended]), blocks)
            if there is None or not can_merge(there):
                return False
            self._publish(there, merged[-1].sequence if merged else -1, blocks)
            return True

    def _publish(self, there: list[Block], until: int, blocks: list[Block]) -> None:
        """Write what was merged, and then take it out of the log of appends."""
        end = max(until, blocks[-1].sequence)
        if blocks[0].begin > until:
            added = [one for one in there if until < one.begin and one.sequence <= end]
            self.merged.append(*map(_frame, added), begin=added[0].begin, least=added[0].begin)
        else:
            publication.replace(
                self.merged.path, [_frame(one).encode() for one in there if one.sequence <= end]
            )
        self._merged_until = end + 1
        rest = [_frame(one).encode() for one in there if one.begin > end]
        publication.replace(self.appended.path, rest)


def _frame(block: Block) -> Frame:
    first, last = int(block.iterations[0]), int(block.iterations[-1])
    return Frame(KIND, block.sequence, first, last, len(block.iterations), encode_block(block))


def _block(frame: Frame) -> Block:
    return decode_block(frame.body, frame.sequence)


def _outlines(log: FramedLog, metric: str | None) -> list[Outline | Block] | None:
    bodies = log.bodies()
    if bodies is None:
        return None
    found: list[Outline | Block] = []
    for frame, checksum, view in bodies:
        outline = decode_outline(view, frame.sequence, metric)
        if outline is not None:
            found.append(outline)
        elif zlib.crc32(view) == checksum:
            found.append(decode_block(bytes(view), frame.sequence))
        else:
            return None
    return found
