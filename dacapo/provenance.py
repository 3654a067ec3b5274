"""Who stored a document, where, when and with which code."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .documents import FROM, Document


def stamp(document: Document, previous: Document | None = None) -> Document:
    """Return what ``__meta__`` of a document should say now.

    With the ``previous`` one of a document that is replaced, owner and creation stay.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = {
        "owner": user(),
        "host": socket.gethostname(),
        "created": now,
        "modified": now,
        "versions": {"dacapo": version("dacapo"), "torch": version("torch"), **dict(plugins(document))},
    }
    if revision := commit(Path.cwd()):
        made["commit"] = revision
    kept = {key: (previous or {})[key] for key in ("owner", "created") if key in (previous or {})}
    return made | kept


def user() -> str:
    """Return the name of the account, or its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's account need not be listed anywhere
        return str(os.getuid())


@cache
def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def plugins(document: Any) -> Iterator[tuple[str, str]]:
    """Yield name and version of every plugin that a document has parts of."""
    if isinstance(document, dict):
        if isinstance(origin := document.get(FROM), str):
            name, _, number = origin.partition("==")
            yield name, number
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from plugins(item)


def commit(folder: Path) -> str | None:
    """Return the git commit that is checked out around a folder, or None.

    Read from git's own files: starting git would take longer than storing the document.
    """
    for place in (folder, *folder.parents):
        git = place / ".git"
        try:
            if git.is_file():  # a worktree or submodule
                git = (place / git.read_text().removeprefix("gitdir:").strip()).resolve()
            if git.is_dir():
                return _head(git)
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head or None
    name = head.removeprefix("ref:").strip()
    pointer = git / "commondir"
    shared = (git / pointer.read_text().strip()).resolve() if pointer.is_file() else git
    for home in (git, shared):
        if (loose := home / name).is_file():
            return loose.read_text().strip()
    packed = shared / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(" " + name)), None)
