"""What the documents in a folder say in the fields they are found by, without reading each.

Beside the documents lies a cache of these fields.  A line of it counts only while the file
that it was made from has the same time, size and inode; files are published by link and rename, so
what has changed is a new file.  The cache may be lost, old or damaged: then more is read.
Whoever may not write beside the documents keeps a cache of their own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
import zlib
from pathlib import Path
from typing import Any

from dacapo.errors import CorruptData, NewerFormat

from . import document_file
from .listing import USES, VERSION, Row, fields_of, has_parts, row_of
from .publication import HIDDEN, explained

logger = logging.getLogger(__name__)

# A cache is written when this share of the documents had to be read: then writing takes less time.
SHARE_WORTH_WRITING = 0.005
# A file as young as this may be replaced by another one of the same time: it is read again.
SETTLED = 2 * 10**9
Signature = tuple[int, int, int]
_UNSETTLED: Signature = (0, 0, 0)


# What a document said, and by what its file is known again.  What it uses may be told by a position in lists
# that are still to be read.
Lines = dict[str, tuple[Signature, Row]]
Lists = bytes


class DocumentIndex:
    """The fields of the documents in one folder, always as they are now."""

    def __init__(self, folder: Path, collection: str, suffix: str) -> None:
        self.folder, self.collection, self.suffix = folder, collection, suffix
        self._lines: Lines | None = None
        self._lists: Lists = b""

    def rows(self, *, uses: bool = False) -> list[tuple[str, Row]]:
        """Return key and fields of every document that can be read; what each uses if that is asked for."""
        there = self._signatures()
        lines = self._kept(there)
        news = _unknown(there, lines)
        if news:
            lines = lines | self._read(news, there)
        lines = lines if len(lines) == len(there) else {key: lines[key] for key in there if key in lines}
        is_worth_writing = _is_worth_writing(
            sum(bool(lines[key][1]) for key in news if key in lines), len(there)
        )
        if uses or is_worth_writing:
            _fill_in(lines, self._lists)
            self._lists = b""
        if is_worth_writing:
            self._publish(lines)
        self._lines = lines
        return [(key, row) for key, (_, row) in lines.items() if row]

    def _kept(self, there: dict[str, Signature]) -> Lines:
        """Return the lines as they were last, or as a cache tells them."""
        if self._lines is not None:
            return self._lines
        lines, self._lists = _load(self._beside(), self.collection)
        if _is_worth_writing(len(_unknown(there, lines)), len(there)):
            _fill_in(lines, self._lists)
            own, self._lists = _load(self._own(), self.collection)
            lines = lines | own
        return lines

    def _signatures(self) -> dict[str, Signature]:
        found = {}
        with explained(self.folder, "listing"):
            try:
                with os.scandir(self.folder) as entries:
                    for entry in entries:
                        name = entry.name
                        if name.endswith(self.suffix) and not name.startswith(HIDDEN):
                            try:
                                status = entry.stat()
                            except FileNotFoundError:  # removed in this moment
                                continue
                            signature = status.st_mtime_ns, status.st_size, status.st_ino
                            found[name.removesuffix(self.suffix)] = signature
            except (FileNotFoundError, NotADirectoryError):
                pass
        return found

    def _read(self, keys: list[str], there: dict[str, Signature]) -> Lines:
        """Read documents anew; what cannot be read has no fields, and is said."""
        now = self._now()
        lines = {}
        for key in keys:
            path, signature = self.folder / f"{key}{self.suffix}", there[key]
            try:
                row = row_of(self.collection, document_file.load(path.read_bytes(), path))
            except FileNotFoundError:
                continue
            except (CorruptData, NewerFormat) as error:
                logger.warning(
                    "%s %s is left out of the list: %s", self.collection.removesuffix("s"), key, error
                )
                row = {}
            is_settled = row and signature[0] < now - SETTLED
            lines[key] = (signature if is_settled else _UNSETTLED, row)
        return lines

    def _now(self) -> int:
        """Return the time by the clock that files here are stamped with, where it can be asked."""
        probe = self.folder / f"{HIDDEN}part-{secrets.token_hex(8)}"
        try:
            probe.touch(exist_ok=False)
            now = probe.stat().st_mtime_ns
            probe.unlink()
        except OSError:  # it may only be read: the clock of this machine will do
            return time.time_ns()
        return now

    def _beside(self) -> Path:
        return self.folder / f"{HIDDEN}index.json"

    def _own(self) -> Path:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        name = hashlib.sha256(os.fsencode(self.folder.absolute())).hexdigest()[:32]
        return Path(home).expanduser() / "dacapo" / f"{name}.json"

    def _publish(self, lines: Lines) -> None:
        """Write the cache where that is possible; nothing is lost where it is not."""
        data = _dump(lines, self.collection)
        for path in (self._beside(), self._own()):
            temporary = path.with_name(f"{HIDDEN}part-{secrets.token_hex(8)}")
            try:
                if path.parent != self.folder:
                    path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(data)
                os.replace(temporary, path)
                return
            except OSError as error:
                logger.debug("the index of %s is not kept in %s: %s", self.folder, path, error)
                _forget(temporary)


def _is_worth_writing(news: int, total: int) -> bool:
    return news > 0 and news >= SHARE_WORTH_WRITING * total


def _unknown(there: dict[str, Signature], lines: Lines) -> list[str]:
    """Return the keys of which no line is known, or one of another file."""
    return [key for key, signature in there.items() if key not in lines or lines[key][0] != signature]


def _dump(lines: Lines, collection: str) -> bytes:
    """Return lines as columns of JSON behind a checksum: several times as fast to read as line by line.

    What configs use is alike for many of them, so each list is written once, and where it stands; the
    lists are a line of their own, which need not be read to list everything.
    """
    settled = {key: line for key, line in lines.items() if line[0] != _UNSETTLED}
    rows = [row for _, row in settled.values()]
    lists: dict[tuple[str, ...], int] = {}
    uses = [lists.setdefault(tuple(row.get(USES, ())), len(lists)) for row in rows]
    content = {
        "version": VERSION,
        "keys": list(settled),
        "signed": [[signature[part] for signature, _ in settled.values()] for part in range(3)],
        "fields": {name: [row[name] for row in rows] for name in fields_of(collection)},
        "uses": uses,
    }
    body = b"\n".join(json.dumps(one, separators=(",", ":")).encode() for one in (content, list(lists)))
    return f"{zlib.crc32(body):08x}\n".encode() + body


def _load(path: Path, collection: str) -> tuple[Lines, Lists]:
    """Return what a cache holds; nothing if it is absent, damaged or of another version."""
    nothing: Lines = {}
    try:
        data = path.read_bytes()
        if data[:9] != f"{zlib.crc32(data[9:]):08x}\n".encode():
            return nothing, b""
        body, _, lists = data[9:].partition(b"\n")
        content: dict[str, Any] = json.loads(body)
        names = list(fields_of(collection))
        if content["version"] != VERSION or list(content["fields"]) != names:
            return nothing, b""
        signed, columns = content["signed"], list(content["fields"].values())
        if has_parts(collection):
            names.append(USES)
            columns.append(content["uses"])
    except (OSError, ValueError, KeyError, TypeError):
        return nothing, b""
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    lines = zip(zip(*signed, strict=True), rows, strict=True)
    return dict(zip(content["keys"], lines, strict=True)), lists


def _fill_in(lines: Lines, lists: Lists) -> None:
    """Put the lists in the place of their positions."""
    table = json.loads(lists) if lists else []
    for _, row in lines.values():
        if isinstance(at := row.get(USES), int):
            row[USES] = table[at]


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        logger.debug("%s could not be removed", path)
