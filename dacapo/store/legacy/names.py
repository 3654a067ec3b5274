"""Names of earlier versions, which allowed any text, as names that a store can keep."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from dacapo.errors import InvalidName
from dacapo.names import RunKey, check_name, check_run_name, run_key

_LONGEST = 60


def alias(name: str, collection: str = "runs") -> str:
    """Return the name itself if it is allowed today, else one that resembles it and stays the same.

    Two names never share an alias.
    """
    try:
        return check_run_name(name) if collection == "runs" else check_name(name)
    except InvalidName:
        plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")[:_LONGEST]
        return f"{plain or 'name'}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def beginning(names: Iterable[str], begin: str, collection: str = "runs") -> list[str]:
    """Return the names whose alias begins with a text."""
    return [name for name in names if alias(name, collection).startswith(begin)]


def key_of(collection: str, name: str, repetition: int) -> str:
    """Return the key under which a config is found."""
    plain = alias(name, collection)
    return run_key(f"{plain}:{repetition}") if collection == "runs" else plain


def split(key: str) -> tuple[str, int]:
    """Return the name and repetition of the key of a run."""
    name, _, repetition = str(key).partition(":")
    return name, int(repetition or 0)


def owner(name: str, repetitions: list[int]) -> RunKey:
    """Return whose the stats and checkpoints of a name are.

    They were kept without the repetition: those of several are the first one's, which was there
    when they were begun.
    """
    return run_key(f"{alias(name)}:{min(repetitions, default=0)}")
