"""Files that appear whole or not at all, and stay after a crash.

A file is written beside its place under a hidden name, forced to disk, and then linked
(which refuses to replace) or renamed (which replaces); then its folder is forced to disk.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dacapo.errors import StoreError

HIDDEN = "."
_EARLY = 1 << 22
_lasting: set[Path] = set()  # folders that this process knows to survive a crash


def create(path: Path, chunks: Iterable[Any]) -> bool:
    """Write a new file; return False and change nothing if there is one of that name."""
    with _written(path, chunks) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            # Over NFS the answer to a link that was made may get lost, and the retry finds its own.
            if os.stat(temporary).st_nlink < 2:
                # Whoever was first may have been killed before the name was sure to last.
                sync_folder(path.parent)
                return False
        sync_folder(path.parent)
        return True


def replace(path: Path, chunks: Iterable[Any]) -> None:
    """Write a file, in place of the one that may be there."""
    with _written(path, chunks) as temporary:
        os.replace(temporary, path)
        sync_folder(path.parent)


def touch(paths: Iterable[Path]) -> None:
    """Make empty files, or find that they are there, so that they last."""
    folders = set()
    for path in paths:
        with explained(path, "writing"):
            make_folder(path.parent)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))
        folders.add(path.parent)
    for folder in folders:
        with explained(folder, "writing"):
            sync_folder(folder)


def forget(path: Path) -> None:
    """Remove a file that may just as well stay: it need not last, nor succeed."""
    with suppress(OSError):
        path.unlink()


def overwrite(path: Path, data: bytes) -> None:
    """Write over the beginning of a file, in place and without forcing it to disk, or make it."""
    with explained(path, "writing"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)


def clock(folder: Path) -> float | None:
    """Return the time of a file made in a folder just now, or None if none can be made."""
    probe = folder / f"{HIDDEN}clock-{secrets.token_hex(8)}"
    try:
        probe.touch(exist_ok=False)
        made = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        return None
    return made


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that they are still there after a crash."""
    there = path.is_dir()
    if (path in _lasting and there) or path == path.parent:
        return
    make_folder(path.parent)
    if not there:
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)
    else:
        # Whoever made it may have been killed before it was sure to last.  Above the store are
        # folders that may be entered and not listed; those have been there for long.
        with suppress(OSError):
            sync_folder(path.parent)
    _lasting.add(path)


def sync_folder(path: Path) -> None:
    """Force the list of files in a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> bool:
    """Remove a folder so that it is gone at once; return False if there is none."""
    hidden = path.with_name(f"{HIDDEN}deleted-{secrets.token_hex(8)}")
    with explained(path, "removing"):
        try:
            path.rename(hidden)
        except FileNotFoundError:
            return False
        sync_folder(path.parent)
        if hidden.is_symlink():  # what it leads to belongs to somebody else
            hidden.unlink()
        else:
            shutil.rmtree(hidden)
    return True


def move_tree(path: Path, target: Path) -> bool:
    """Move a folder, or what an interrupted move has left of it; return False if there is none."""
    with explained(path, "moving"):
        if not path.is_dir():
            return False
        make_folder(target.parent)
        try:
            path.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            for child in list(path.iterdir()):
                _move_into(child, target / child.name)
            path.rmdir()
        sync_folder(target.parent)
        sync_folder(path.parent)
    return True


def _move_into(path: Path, target: Path) -> None:
    """Move one thing out of a folder that is half moved; nothing is ever replaced."""
    if target.is_dir() and path.is_dir():
        move_tree(path, target)
    elif target.exists():
        raise FileExistsError(errno.EEXIST, f"there is a {target.name} in {target.parent} already")
    else:
        path.rename(target)


def remove_file(path: Path) -> bool:
    """Remove a file; return False if there is none."""
    with explained(path, "removing"):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(path.parent)
    return True


def remove_if_empty(folder: Path) -> bool:
    """Remove a folder that has nothing left in it; return False if it has, or if there is none."""
    with suppress(OSError):
        folder.rmdir()
        return True
    return False


def visible(folder: Path) -> list[str]:
    """Return the names in a folder, without what is unfinished or being deleted."""
    with explained(folder, "listing"):
        try:
            return sorted(name for name in os.listdir(folder) if not name.startswith(HIDDEN))
        except (FileNotFoundError, NotADirectoryError):
            return []


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what the system refuses into an error that says where, and how full the disk is."""
    try:
        yield
    except OSError as error:
        place = next(parent for parent in (path, *path.parents) if parent.exists())
        free = shutil.disk_usage(place).free
        raise StoreError(
            f"{doing} {path} failed: {error.strerror or error}; {free / 1e6:.0f} MB are free there, "
            f"and {'it may be written to' if os.access(place, os.W_OK) else 'it may not be written to'}"
        ) from error


@contextmanager
def _written(path: Path, chunks: Iterable[Any]) -> Iterator[Path]:
    """Write chunks under a hidden name beside ``path``; the file is gone afterwards if still there."""
    with explained(path, "writing"):
        make_folder(path.parent)
        temporary = path.with_name(f"{HIDDEN}part-{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                _write_early(descriptor, chunks)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _write_early(descriptor: int, chunks: Iterable[Any]) -> None:
    """Write chunks, and let the disk begin with the first while the others still come."""
    size = begun = 0
    for chunk in chunks:
        write_all(descriptor, chunk)
        size += memoryview(chunk).nbytes
        if size - begun >= _EARLY and hasattr(os, "posix_fadvise"):
            # That these bytes are not needed soon makes the system write them out, without waiting for it.
            with suppress(OSError):
                os.posix_fadvise(descriptor, begun, size - begun, os.POSIX_FADV_DONTNEED)
            begun = size


def write_all(descriptor: int, chunk: Any) -> None:
    """Write all bytes: one call may take fewer than it is given, without an error."""
    rest = memoryview(chunk).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
