"""Unpacking a package that anybody may have made: nothing leaves its folder or fills the disk."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import NoReturn

from dacapo.errors import InvalidArchive

MOST_MEMBERS = 10_000
LARGEST = 16 * 2**30  # bytes that a package may have unpacked
MOST_TIMES = 200  # that a member may grow when unpacked; weights hardly shrink
SMALL = 2**24  # of so many bytes no member is a trick
_CHUNK = 2**20


def cache_folder() -> Path:
    """Return where unpacked packages are kept, from one use to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dacapo" / "bioimageio"


def unpacked(path: Path) -> Path:
    """Return a folder with what is in a package; a package that was unpacked before is not unpacked again.

    Raises ``InvalidArchive`` for what no package needs: paths that lead elsewhere, links, names
    given twice, members that grow beyond all measure.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_folder() / digest
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".part-", dir=target.parent))
    try:
        try:
            with zipfile.ZipFile(path) as zipped:
                _unpack(zipped, path, folder)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            _refuse(path, f"it is no readable zip file: {error}")
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # else somebody else has unpacked the same meanwhile
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def _unpack(zipped: zipfile.ZipFile, path: Path, folder: Path) -> None:
    entries = [entry for entry in zipped.infolist() if not entry.is_dir()]
    if len(entries) > MOST_MEMBERS:
        _refuse(path, f"it has {len(entries)} members; a package has at most {MOST_MEMBERS}")
    seen: set[str] = set()
    left = LARGEST
    for entry in entries:
        _check(entry, path)
        if (name := entry.filename.casefold()) in seen:
            _refuse(path, f"the member {entry.filename!r:.80} is there twice")
        seen.add(name)
        left -= _write(zipped, entry, path, folder, left)


def _check(entry: zipfile.ZipInfo, path: Path) -> None:
    name = entry.orig_filename
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        _refuse(path, f"the member {name!r:.80} has an absolute path")
    if ".." in parts or "" in parts or "\\" in name or any(ord(one) < 32 for one in name):
        _refuse(path, f"the member {name!r:.80} has a path that may lead out of the package")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        _refuse(path, f"the member {name!r:.80} is a link or a device")
    if entry.flag_bits & 1:
        _refuse(path, f"the member {name!r:.80} is encrypted")


def _write(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, folder: Path, left: int) -> int:
    """Write one member, and return how many bytes that were: what its header says is not believed."""
    most = min(left, max(SMALL, MOST_TIMES * entry.compress_size))
    target, size = folder / entry.filename, 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(entry) as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > most:
                _refuse(path, f"the member {entry.filename!r:.80} grows beyond {most} bytes when unpacked")
            file.write(chunk)
    return size


def _refuse(path: Path, reason: str) -> NoReturn:
    raise InvalidArchive(f"{path}: {reason}; get the package again, or from somebody you trust")
