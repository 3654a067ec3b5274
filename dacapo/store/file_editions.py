"""Documents that several epochs publish: each in a file of its own, of which the highest epoch's is read.

A file system has no operation that replaces a file only if it is older.  So nothing is
replaced: ``x.yaml`` is what was stored without an epoch, ``x.yaml.3`` what epoch 3 published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from .publication import remove_file, visible

_NAME = re.compile(r"(.*\.yaml)(?:\.(\d+))?")


def newest(path: Path) -> Path:
    """Return the file that is read for a document, which is its plain one if there is none."""
    return max(_editions(path), default=(-1, path))[1]


def read(path: Path, reader: Callable[[Path], bytearray | None]) -> tuple[Path, bytearray | None]:
    """Return the file that counts and what it holds; one that is replaced meanwhile is looked up again."""
    while True:
        file = newest(path)
        data = reader(file)
        if data is not None or file == path:
            return file, data


def edition(path: Path, epoch: int) -> Path | None:
    """Return the file in which an epoch publishes a document, or None if it comes too late."""
    later = any(number > epoch for number, _ in _editions(path))
    return None if later else path.with_name(f"{path.name}.{epoch}")


def sweep(path: Path, kept: Path) -> None:
    """Remove the editions of a document that lie before the one to keep."""
    number = {file: number for number, file in _editions(path)}.get(kept, -1)
    for other, file in _editions(path):
        if other < number or kept == path != file:
            remove_file(file)


def remove(path: Path) -> bool:
    """Remove a document in all its editions; return False if there was none."""
    removed = [remove_file(file) for _, file in sorted(_editions(path))]
    return any(removed)


def documents(folder: Path) -> list[str]:
    """Return the names of the plain files of the documents in a folder."""
    found = (_NAME.fullmatch(name) for name in visible(folder))
    return sorted({match[1] for match in found if match})


def _editions(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the epochs that published a document, and their files; -1 is none."""
    for name in visible(path.parent):
        match = _NAME.fullmatch(name)
        if match and match[1] == path.name:
            yield int(match[2] or -1), path.parent / name
