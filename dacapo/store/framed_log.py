"""A file that is only ever appended to, and that knows what of it is whole.

A frame is a header, a body and a footer.  The header says how many bytes follow and what
they are, and carries checksums of the body and of itself; the footer repeats the length, so
that the last frame is found without reading the others.  One append is one write and one
fsync.  What a crash leaves of an unfinished append is recognised by readers, who leave it
out, and cut by the next writer.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import attrs

from dacapo.errors import NewerFormat, StoreError

from .publication import explained, make_folder, sync_folder

logger = logging.getLogger(__name__)

FORMAT = 1
_MAGIC = b"DcpF"
# magic, format, kind, sequence, first, last, count, length of the body, checksum of the body; then
# the checksum of these.
_HEADER = struct.Struct("<4sHHQqqIQI")
_CHECKSUM = struct.Struct("<I")
_HEAD = _HEADER.size + _CHECKSUM.size
_FOOTER = struct.Struct("<Q4s")


@attrs.frozen
class Frame:
    """One append: what it is, where it belongs, and its bytes.

    ``first``, ``last`` and ``count`` are about iterations; ``kind`` is up to the writer.
    """

    kind: int
    sequence: int
    first: int
    last: int
    count: int
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")

    def encode(self) -> bytes:
        """Return the frame as it stands in the file."""
        head = _HEADER.pack(
            _MAGIC, FORMAT, self.kind, self.sequence, self.first, self.last, self.count,
            len(self.body), zlib.crc32(self.body),
        )  # fmt: skip
        footer = _FOOTER.pack(_HEAD + len(self.body) + _FOOTER.size, _MAGIC)
        return b"".join((head, _CHECKSUM.pack(zlib.crc32(head)), self.body, footer))


@attrs.frozen
class Damage:
    """A stretch of a log that fails its checksum, and its header if that is whole."""

    begin: int
    end: int
    header: Frame | None = None

    def __str__(self) -> str:
        where = f"the bytes {self.begin} to {self.end} are damaged"
        if self.header is None:
            return f"{where}; what they held is lost"
        return f"{where}; iterations {self.header.first} to {self.header.last} are lost"


@attrs.frozen
class End:
    """Where a log ends: the last whole frame, the sequence that comes next, two positions."""

    last: Frame | None
    sequence: int
    complete: int
    size: int


class FramedLog:
    """One log in one file.  Its parts are written by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[tuple[int, int, int], End] | None = None

    def frames(self) -> list[Frame]:
        """Return every whole frame; what is damaged or unfinished is left out with a warning."""
        data = self._content()
        pieces = list(scan(data, self.path))
        end = pieces[-1][1] if pieces else 0
        if end < len(data):
            data = self._content(alone=True)  # it may only just be being written
            pieces = list(scan(data, self.path))
            end = pieces[-1][1] if pieces else 0
        if end < len(data):
            logger.warning(
                "%s: the last %d bytes are an append that was not finished; they are left out",
                self.path, len(data) - end,
            )  # fmt: skip
        for piece, _ in pieces:
            if isinstance(piece, Damage):
                logger.warning("%s: %s", self.path, piece)
        return [piece for piece, _ in pieces if isinstance(piece, Frame)]

    def bodies(self) -> list[tuple[Frame, int, memoryview]] | None:
        """Return header, checksum and body of each frame; a body is read when it is looked at.

        Whoever uses a body has to check it.  None if a header is damaged or the end is torn:
        then ``frames`` has to find out what is whole.
        """
        with explained(self.path, "reading"):
            try:
                with self.path.open("rb") as file:
                    _force(file.fileno())
                    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except (FileNotFoundError, ValueError):  # an empty file cannot be mapped
                return []
        at, found = 0, []
        while at < len(view):
            header = _header(view, at, self.path)
            if header is None:
                return None
            frame, begin, end = header
            found.append((frame, _HEADER.unpack_from(view, at)[-1], view[begin:end]))
            at = end + _FOOTER.size
        return found

    def end(self) -> End:
        """Return where the log ends, reading only as much as that takes."""
        with explained(self.path, "reading"):
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:
                return End(None, 0, 0, 0)
            try:
                _force(descriptor)
                return self._end(descriptor)
            finally:
                os.close(descriptor)

    def append(self, *frames: Frame, begin: int | None = None, least: int = 0) -> None:
        """Add frames in one write and force them to disk.

        The sequence of the first (or ``begin``, if a frame stands for several) has to be the one
        that comes next, which in an empty log is ``least``.  One frame alone may be the last one
        again, unchanged.  Anything else means that another process writes too, and raises ``StoreError``.
        """
        given = frames[0].sequence if begin is None else begin
        # Refused before there is an empty log.
        refuse = partial(self._refuse, given, least) if given != least else None
        with explained(self.path, "appending to"), self.alone(refuse) as descriptor:
            end, frame = self._mended(descriptor), frames[-1]
            if len(frames) == 1 and frame == end.last and end.sequence == frame.sequence + 1:
                os.fsync(descriptor)
                return  # a retry of what was added already
            if given != max(end.sequence, least):
                self._refuse(given, max(end.sequence, least))
            self._add(descriptor, end, frames)

    def add(self, *frames: Frame) -> None:
        """Add frames behind whatever is last, in one write, and force them to disk.

        Their sequences go on from there.
        """
        with explained(self.path, "appending to"), self.alone() as descriptor:
            end = self._mended(descriptor)
            numbers = range(end.sequence, end.sequence + len(frames))
            numbered = [
                attrs.evolve(frame, sequence=number) for frame, number in zip(frames, numbers, strict=True)
            ]
            self._add(descriptor, end, numbered)

    def _mended(self, descriptor: int) -> End:
        """Return where the log ends, once what a crash left of an append is cut."""
        end = self._end(descriptor)
        if end.complete < end.size:
            logger.warning("%s: cutting an unfinished append of %d bytes", self.path, end.size - end.complete)
            os.ftruncate(descriptor, end.complete)
        return end

    def _add(self, descriptor: int, end: End, frames: Sequence[Frame]) -> None:
        if not end.size:
            # Before anything is written, so that whoever finds something in it need not do it:
            # the one who made the file may have been killed here.
            make_folder(self.path.parent)
            sync_folder(self.path.parent)
        self._write(descriptor, b"".join([frame.encode() for frame in frames]), end.complete)
        state, frame = self._state(descriptor), frames[-1]
        self._known = state, End(frame, frame.sequence + 1, state[1], state[1])

    def _refuse(self, given: int, due: int) -> NoReturn:
        raise StoreError(
            f"{self.path} was written by another process meanwhile: append {given} was "
            f"due, and it is at {due}; make sure that only one process trains a run"
        )

    @contextmanager
    def alone(self, missing: Callable[[], object] | None = None) -> Iterator[int]:
        """Open the file for appending, alone, also with regard to whoever replaces it.

        If there is none, ``missing`` is called before it is made.
        """
        flags = os.O_RDWR | os.O_APPEND
        while True:
            try:
                descriptor = os.open(self.path, flags)
            except FileNotFoundError:
                if missing is not None:
                    missing()
                make_folder(self.path.parent)
                descriptor = os.open(self.path, flags | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, fcntl.LOCK_EX)
                if not self._is_current(descriptor):
                    continue  # replaced while this one waited: what is added to it would be lost
                yield descriptor
                return
            finally:
                os.close(descriptor)

    def whole(self, descriptor: int) -> list[Frame] | None:
        """Return all frames, to whoever has opened the log ``alone``; None if anything is damaged."""
        size = os.fstat(descriptor).st_size
        pieces = list(scan(os.pread(descriptor, size, 0), self.path))
        frames = [piece for piece, _ in pieces if isinstance(piece, Frame)]
        complete = pieces[-1][1] if pieces else 0
        return frames if len(frames) == len(pieces) and complete == size else None

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _write(self, descriptor: int, data: bytes, end: int) -> None:
        """Write in one call, and take back what a full disk left of it."""
        try:
            written = os.write(descriptor, data)
            if written < len(data):
                raise OSError(0, f"only {written} of {len(data)} bytes were written")
            os.fsync(descriptor)
        except OSError:
            self._known = None
            os.ftruncate(descriptor, end)
            raise

    def _end(self, descriptor: int) -> End:
        state = self._state(descriptor)
        size = state[1]
        if self._known is not None and self._known[0] == state:
            return self._known[1]
        if frame := self._last_by_footer(descriptor, size):
            end = End(frame, frame.sequence + 1, size, size)
        else:
            end = _end_of(os.pread(descriptor, size, 0), self.path)
        self._known = state, end
        return end

    def _last_by_footer(self, descriptor: int, size: int) -> Frame | None:
        footer = os.pread(descriptor, _FOOTER.size, max(0, size - _FOOTER.size))
        if len(footer) < _FOOTER.size:
            return None
        length, magic = _FOOTER.unpack(footer)
        if magic != _MAGIC or not _HEAD + _FOOTER.size <= length <= size:
            return None
        piece = next(scan(os.pread(descriptor, length, size - length), self.path), None)
        return piece[0] if piece and isinstance(piece[0], Frame) and piece[1] == length else None

    def _state(self, descriptor: int) -> tuple[int, int, int]:
        # An inode is used again once its file was replaced, and then only the time tells the two apart.
        status = os.fstat(descriptor)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _content(self, alone: bool = False) -> bytes:
        with explained(self.path, "reading"):
            try:
                with self.path.open("rb") as file:
                    if alone:
                        _lock(file.fileno(), fcntl.LOCK_SH)
                    _force(file.fileno())
                    return file.read()
            except FileNotFoundError:
                return b""


def scan(data: bytes, path: Path) -> Iterator[tuple[Frame | Damage, int]]:
    """Yield each complete frame of a log, or the damage in its place, and where it ends.

    Behind a damaged header the next good one is looked for, so that one bad byte costs one
    frame.  What comes after the last one yielded is no complete frame.
    """
    at = 0
    while at < len(data):
        frame = _parse(data, at, path)
        if frame is None:
            following = _next_frame(data, at + 1, path)
            if following is None:
                return
            yield Damage(at, following), following
            at = following
            continue
        begin, at = at, at + _HEAD + len(frame.body) + _FOOTER.size
        checksum = _HEADER.unpack_from(data, begin)[-1]
        yield (frame if zlib.crc32(frame.body) == checksum else Damage(begin, at, frame)), at


def _parse(data: bytes, at: int, path: Path) -> Frame | None:
    """Return the frame at a position, if its header is good and all of it is there."""
    found = _header(data, at, path)
    return None if found is None else attrs.evolve(found[0], body=data[found[1] : found[2]])


def _header(data: bytes | memoryview, at: int, path: Path) -> tuple[Frame, int, int] | None:
    """Return the frame at a position without its body, and where that begins and ends."""
    if at + _HEAD > len(data):
        return None
    magic, version, kind, sequence, first, last, count, length, _ = _HEADER.unpack_from(data, at)
    head = data[at : at + _HEADER.size]
    if magic != _MAGIC or _CHECKSUM.unpack_from(data, at + _HEADER.size)[0] != zlib.crc32(head):
        return None
    if version > FORMAT:
        raise NewerFormat(
            f"{path} was written by a newer DaCapo, in format {version}; this one knows {FORMAT}. "
            "Upgrade with  pip install --upgrade dacapo"
        )
    begin = at + _HEAD
    if begin + length + _FOOTER.size > len(data):
        return None
    return Frame(kind, sequence, first, last, count, b""), begin, begin + length


def _next_frame(data: bytes, at: int, path: Path) -> int | None:
    """Return where the next good frame begins after a bad header; None if there is only a torn tail."""
    begin = at - 1
    while (at := data.find(_MAGIC, at)) >= 0:
        if _parse(data, at, path) is not None:
            return at
        at += 1
    # The footer tells a frame that was finished and damaged later from one that never was finished.
    if data[begin:].endswith(_FOOTER.pack(len(data) - begin, _MAGIC)):
        return len(data)
    return None


def _end_of(data: bytes, path: Path) -> End:
    end = End(None, 0, 0, len(data))
    for piece, complete in scan(data, path):
        whole = isinstance(piece, Frame)
        header = piece if isinstance(piece, Frame) else piece.header
        sequence = header.sequence + 1 if header else end.sequence + 1
        end = End(header if whole else end.last, sequence, complete, len(data))
    return end


def _force(descriptor: int) -> None:
    """Make what is about to be read last, so that nobody acts on what a power cut takes away again.

    Its writer may have been killed before doing so.  It costs nothing where there is nothing to do.
    """
    with suppress(OSError):
        os.fsync(descriptor)


def _lock(descriptor: int, how: int) -> None:
    # Some file systems of clusters know no locks; there the single writer of an epoch has to do.
    with suppress(OSError):
        fcntl.flock(descriptor, how)
