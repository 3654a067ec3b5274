"""Files that appear whole or not at all, and stay after a crash.

A file is written beside its place under a hidden name, forced to disk, and then linked
(which refuses to replace) or renamed (which replaces); then its folder is forced to disk.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from dacapo.errors import StoreError

HIDDEN = "."
# What is written here under a name of its own before it is published, or after it was taken away.
_LEFT = re.compile(r"\.(part|deleted|clock)-[0-9a-f]{16}")
_EARLY = 1 << 21
_lasting: set[Path] = set()  # folders that this process knows to survive a crash


def create(path: Path, chunks: Iterable[Any]) -> bool:
    """Write a new file; return False and change nothing if there is one of that name."""
    with _written(path, chunks) as (temporary, descriptor):
        os.fsync(descriptor)
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
    replace_all({path: chunks})


def replace_all(files: Mapping[Path, Iterable[Any]]) -> None:
    """Write files, each in place of the one that may be there, and wait for the disk once all are written."""
    with ExitStack() as written:
        parts = {path: written.enter_context(_written(path, chunks)) for path, chunks in files.items()}
        for path, (_, descriptor) in parts.items():
            with explained(path, "writing"):
                os.fsync(descriptor)
        for path, (temporary, _) in parts.items():
            with explained(path, "writing"):
                os.replace(temporary, path)
        for folder in dict.fromkeys(path.parent for path in parts):
            with explained(folder, "writing"):
                sync_folder(folder)


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


def sweep(folders: Iterable[Path], seconds: float, *, dry_run: bool = False) -> list[Path]:
    """Remove what killed processes left in folders and below them, if it is older; return what that is.

    Ages are told by the clock that files there are stamped with.
    """
    found = []
    for top in folders:
        for place, names, files in os.walk(top):
            left = [name for name in (*names, *files) if _LEFT.fullmatch(name)]
            names[:] = [name for name in names if not name.startswith(HIDDEN)]
            if left and (now := clock(Path(place))) is not None:
                paths = [Path(place, name) for name in left]
                found += [path for path in paths if _changed(path, now) < now - seconds]
    for path in [] if dry_run else found:
        with explained(path, "removing"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return found


def _changed(path: Path, otherwise: float) -> float:
    """Return when a file was changed or renamed last."""
    try:
        return path.lstat().st_ctime
    except OSError:  # gone in this moment
        return otherwise


def visible(folder: Path | str) -> list[str]:
    """Return the names in a folder, without what is unfinished or being deleted."""
    with explained(folder, "listing"):
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted([name for name in names if not name.startswith(HIDDEN)])


@attrs.define
class explained:
    """Turns what the system refuses into an error that says where, and how full the disk is."""

    path: Path | str
    doing: str

    def __enter__(self) -> None:
        """Nothing is done before something fails: appends are made of a few steps, and each counts."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, OSError):
            return
        path = Path(self.path)
        place = next(parent for parent in (path, *path.parents) if parent.exists())
        free = shutil.disk_usage(place).free
        raise StoreError(
            f"{self.doing} {path} failed: {error.strerror or error}; {free / 1e6:.0f} MB are free there, "
            f"and {'it may be written to' if os.access(place, os.W_OK) else 'it may not be written to'}"
        ) from error


@contextmanager
def _written(path: Path, chunks: Iterable[Any]) -> Iterator[tuple[Path, int]]:
    """Write chunks under a hidden name beside ``path``; the file is gone afterwards if still there.

    Yields that name and the descriptor to force the bytes to disk with.
    """
    with explained(path, "writing"):
        make_folder(path.parent)
        temporary = path.with_name(f"{HIDDEN}part-{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                _write_early(descriptor, chunks)
                yield temporary, descriptor
            finally:
                os.close(descriptor)
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
