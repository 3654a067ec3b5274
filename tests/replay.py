"""A disk that remembers every operation, and can show what a power cut would have left of them.

What a program does through ``os`` below a folder is done and recorded.  Afterwards the record
is gone through again on a model of a disk that keeps only what it was forced to keep: the bytes
of a file since its last fsync, and the names in a folder since the fsync of that folder, may be
lost, and bytes may be torn or read as zeros.  A rename or a link is a change of one folder.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

Tree = dict[str, "bytes | Tree"]
Operation = tuple[Any, ...]


@attrs.define(eq=False)
class File:
    """The bytes that are sure, and the changes since: (offset, bytes) or (size, None)."""

    sure: bytes = b""
    pending: list[tuple[int, bytes | None]] = attrs.field(factory=list)

    def content(self, kept: int, torn: float = 0.0, zeros: bool = False) -> bytes:
        """Return the bytes with the first ``kept`` changes, and a share of the next one."""
        data = bytearray(self.sure)
        for position, (at, new) in enumerate(self.pending[: kept + 1]):
            if new is None:
                if position < kept:
                    del data[at:]
                continue
            end = len(new) if position < kept else int(len(new) * torn)
            data.extend(bytes(max(0, at - len(data))))
            rest = bytes(len(new) - end) if zeros and position == kept else b""
            data[at : at + end + len(rest)] = new[:end] + rest
        return bytes(data)


@attrs.define(eq=False)
class Folder:
    """The entries as they are, as they surely are, and the changes in between."""

    entries: dict[str, File | Folder] = attrs.field(factory=dict)
    sure: dict[str, File | Folder] = attrs.field(factory=dict)
    pending: list[list[tuple[str, File | Folder | None]]] = attrs.field(factory=list)

    def change(self, *changes: tuple[str, File | Folder | None]) -> None:
        """Set or remove entries, in one step."""
        _apply(self.entries, changes)
        self.pending.append(list(changes))

    def sync(self) -> None:
        """Make sure of all entries."""
        self.sure, self.pending = dict(self.entries), []

    def kept(self, count: int) -> dict[str, File | Folder]:
        """Return the entries with the first ``count`` changes."""
        entries = dict(self.sure)
        for changes in self.pending[:count]:
            _apply(entries, changes)
        return entries


class Disk:
    """The model: operations are done to it by their names, with paths relative to its root."""

    def __init__(self) -> None:
        self.root = Folder()
        self.files: list[File] = []

    def find(self, path: str) -> File | Folder:
        node: Any = self.root
        for name in _parts(path):
            node = node.entries[name]
        return node

    def _folder(self, path: str) -> tuple[Folder, str]:
        *above, name = _parts(path)
        folder = self.find("/".join(above))
        assert isinstance(folder, Folder)
        return folder, name

    def do(self, operation: Operation) -> None:
        name, *arguments = operation
        getattr(self, f"_{name}")(*arguments)

    def _create(self, path: str) -> None:
        folder, name = self._folder(path)
        self.files.append(File())
        folder.change((name, self.files[-1]))

    def _write(self, number: int, at: int, data: bytes) -> None:
        self.files[number].pending.append((at, data))

    def _truncate(self, number: int, size: int) -> None:
        self.files[number].pending.append((size, None))

    def _fsync(self, number: int) -> None:
        file = self.files[number]
        file.sure, file.pending = file.content(len(file.pending)), []

    def _sync_folder(self, path: str) -> None:
        folder = self.find(path)
        assert isinstance(folder, Folder)
        folder.sync()

    def _link(self, source: str, target: str) -> None:
        folder, name = self._folder(target)
        folder.change((name, self.find(source)))

    def _rename(self, source: str, target: str) -> None:
        node = self.find(source)
        (left, old), (right, new) = self._folder(source), self._folder(target)
        assert left is right, "a rename between folders may lose both names: it is not modelled"
        left.change((old, None), (new, node))

    def _unlink(self, path: str) -> None:
        folder, name = self._folder(path)
        folder.change((name, None))

    _rmdir = _unlink

    def _mkdir(self, path: str) -> None:
        folder, name = self._folder(path)
        folder.change((name, Folder()))

    def tree(
        self, entries: Callable[[Folder], dict[str, File | Folder]], content: Callable[[File], bytes]
    ) -> Tree:
        """Return what is there if folders keep these entries and files this content."""

        def of(folder: Folder) -> Tree:
            return {
                name: of(node) if isinstance(node, Folder) else content(node)
                for name, node in entries(folder).items()
            }

        return of(self.root)

    def leftovers(self, rng: random.Random, draws: int) -> Iterator[tuple[str, Tree]]:
        """Yield what may be there after a kill, or after a power cut, in this moment."""
        everything = lambda folder: folder.entries  # noqa: E731
        sure = lambda folder: folder.sure  # noqa: E731
        whole = lambda file: file.content(len(file.pending))  # noqa: E731
        yield "killed", self.tree(everything, whole)
        yield "all that was not forced is lost", self.tree(sure, lambda file: file.sure)
        yield "names without bytes", self.tree(everything, lambda file: file.sure)
        yield "bytes without names", self.tree(sure, whole)
        for zeros in (False, True):
            half = partial(File.content, kept=0, torn=0.5, zeros=zeros)
            yield f"half of the bytes{' and zeros' * zeros}", self.tree(everything, half)
        for draw in range(draws):
            yield (
                f"draw {draw}",
                self.tree(
                    lambda folder: folder.kept(rng.randint(0, len(folder.pending))),
                    lambda file: file.content(
                        rng.randint(0, len(file.pending)), rng.random(), rng.random() < 0.5
                    ),
                ),
            )


class Killed(BaseException):
    """The process is dead: nothing it does from here on has any effect."""


class Recorder:
    """Does what it is told through ``os``, and keeps what changed anything below a folder.

    With ``dies_at`` nothing has any effect any more once there are that many operations; from
    ``full_at`` on there is no room, and a write before that is cut to what there was.
    """

    def __init__(self, root: Path, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.full_at: int | None = None
        self.root = os.path.realpath(root)
        self.operations: list[Operation] = []
        self._disk = Disk()
        self._opened: dict[int, str] = {}  # folders
        self._numbers: dict[int, int] = {}  # files
        self._real = {
            name: getattr(os, name)
            for name in ("open", "close", "write", "fsync", "ftruncate", "link", "replace", "rename")
        } | {name: getattr(os, name) for name in ("unlink", "remove", "rmdir", "mkdir")}

    def _live(self, takes_room: bool = False) -> None:
        if self.dies_at is not None and len(self.operations) >= self.dies_at:
            raise Killed
        if takes_room and self.full_at is not None and len(self.operations) >= self.full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _note(self, *operation: Any) -> None:
        self._disk.do(operation)
        self.operations.append(operation)

    def _inside(self, path: Any, folder: int | None = None) -> str | None:
        """Return a path relative to the root, or None for those elsewhere."""
        text = os.fspath(path)
        if folder is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
        text = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(text))), os.path.basename(text))
        inner = os.path.relpath(text, self.root)
        return None if inner.startswith("..") else inner

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self._live(takes_room=bool(flags & os.O_CREAT))
        inner = self._inside(path, dir_fd)
        there = os.path.lexists(path) if dir_fd is None else True
        descriptor: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if inner is None:
            return descriptor
        if not there:
            self._note("create", inner)
        node = self._disk.find(inner)
        if isinstance(node, Folder):
            self._opened[descriptor] = inner
        else:
            self._numbers[descriptor] = self._disk.files.index(node)
            if flags & os.O_TRUNC:
                self._note("truncate", self._numbers[descriptor], 0)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._opened.pop(descriptor, None)
        self._numbers.pop(descriptor, None)
        self._real["close"](descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        self._live(takes_room=True)
        if (number := self._numbers.get(descriptor)) is None:
            return int(self._real["write"](descriptor, data))
        appending = "a" if _flags(descriptor) & os.O_APPEND else ""
        at = os.fstat(descriptor).st_size if appending else os.lseek(descriptor, 0, os.SEEK_CUR)
        if self.full_at is not None and len(self.operations) + 1 == self.full_at:
            data = bytes(memoryview(data).cast("B"))[: memoryview(data).nbytes // 2 + 1]
        written: int = self._real["write"](descriptor, data)
        self._note("write", number, at, bytes(memoryview(data).cast("B")[:written]))
        return written

    def fsync(self, descriptor: int) -> None:
        self._live()
        self._real["fsync"](descriptor)
        if descriptor in self._numbers:
            self._note("fsync", self._numbers[descriptor])
        elif descriptor in self._opened:
            self._note("sync_folder", self._opened[descriptor])

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._live()
        self._real["ftruncate"](descriptor, size)
        if descriptor in self._numbers:
            self._note("truncate", self._numbers[descriptor], size)

    def _two(self, name: str, noted: str, source: Any, target: Any, **options: Any) -> None:
        self._live(takes_room=name == "link")
        ends = self._inside(source), self._inside(target)
        self._real[name](source, target, **options)
        assert (ends[0] is None) == (ends[1] is None), "nothing is moved into the store or out of it"
        if ends[0] is not None:
            self._note(noted, *ends)

    def link(self, source: Any, target: Any, **options: Any) -> None:
        self._two("link", "link", source, target, **options)

    def replace(self, source: Any, target: Any) -> None:
        self._two("replace", "rename", source, target)

    def rename(self, source: Any, target: Any) -> None:
        self._two("rename", "rename", source, target)

    def _one(self, name: str, noted: str, path: Any, *rest: Any, dir_fd: int | None = None) -> None:
        self._live(takes_room=name == "mkdir")
        inner = self._inside(path, dir_fd)
        self._real[name](path, *rest, dir_fd=dir_fd)
        if inner is not None:
            self._note(noted, inner)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._one("unlink", "unlink", path, dir_fd=dir_fd)

    def remove(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._one("remove", "unlink", path, dir_fd=dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._one("rmdir", "rmdir", path, dir_fd=dir_fd)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._one("mkdir", "mkdir", path, mode, dir_fd=dir_fd)


@contextmanager
def recording(root: Path, dies_at: int | None = None) -> Iterator[Recorder]:
    """Record what happens below an existing, empty folder while the body runs."""
    recorder = Recorder(root, dies_at)
    with pytest.MonkeyPatch.context() as patch:
        for name in recorder._real:
            patch.setattr(os, name, getattr(recorder, name))
        yield recorder
    assert snapshot(root) == recorder._disk.tree(
        lambda folder: folder.entries, lambda file: file.content(len(file.pending))
    ), "something was written in a way that is not recorded"


def states(operations: list[Operation], draws: int = 0, seed: int = 0) -> Iterator[tuple[int, str, Tree]]:
    """Yield for each prefix of the operations each tree that may be there: (length, how, tree)."""
    rng, disk = random.Random(seed), Disk()
    for length in range(len(operations) + 1):
        if length:
            disk.do(operations[length - 1])
        seen = []
        for how, tree in disk.leftovers(rng, draws):
            if tree not in seen:
                seen.append(tree)
                yield length, how, tree


def after_power_cut(operations: list[Operation]) -> Tree:
    """Return what is there at the least if the power fails after all these operations."""
    disk = Disk()
    for operation in operations:
        disk.do(operation)
    return disk.tree(lambda folder: folder.sure, lambda file: file.sure)


def snapshot(folder: Path) -> Tree:
    """Return what is in a folder."""
    return {path.name: snapshot(path) if path.is_dir() else path.read_bytes() for path in folder.iterdir()}


def build(tree: Tree, folder: Path) -> None:
    """Put a tree into a new folder."""
    folder.mkdir()
    for name, node in tree.items():
        if isinstance(node, bytes):
            (folder / name).write_bytes(node)
        else:
            build(node, folder / name)


def _apply(entries: dict[str, File | Folder], changes: Any) -> None:
    for name, node in changes:
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _flags(descriptor: int) -> int:
    text = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    return int(text.split("flags:")[1].split()[0], 8)
