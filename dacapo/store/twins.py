"""Twins: names that differ only in case, or in how their letters are encoded.

To most file systems of macOS and Windows, and to many that are shared, they are one name, so two runs
would share one folder.  No backend gets a second one of them: what is kept in one place can be copied to
any other.  Twins that were stored before this was looked after can be read, renamed and deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dacapo.documents import Document
from dacapo.errors import DuplicateNameError
from dacapo.names import folded

from .backend import StoreBackend

NAMED = ("runs", "tasks", "architectures", "trainers", "datasplits", "datasets", "arrays")


def refuse_twin(backend: StoreBackend, kind: str, key: str) -> None:
    """Raise ``DuplicateNameError`` if a new name is a twin of a stored one; one that is stored may stay."""
    if (twins := backend.twins(kind, key)) and backend.get(kind, key) is None:
        raise _refusal(backend, kind, key, twins[0])


def put_without_twin(backend: StoreBackend, kind: str, key: str, document: Document) -> bool:
    """Keep a document; return False if the key is taken, and raise ``DuplicateNameError`` if a twin of it is.

    Of two that store twins in the same moment at least one is refused.
    """
    there = backend.add(kind, key, document)
    if there not in (None, key):
        raise _refusal(backend, kind, key, str(there))
    return there is None


def stored_twins(backend: StoreBackend) -> Iterator[tuple[str, list[str]]]:
    """Yield the kinds and names of configs that are twins of each other."""
    for kind in NAMED:
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for key in backend.keys(kind):
            alike[folded(key)].append(key)
        yield from ((kind, keys) for keys in alike.values() if len(keys) > 1)


def _refusal(backend: StoreBackend, kind: str, key: str, twin: str) -> DuplicateNameError:
    sort = kind.removesuffix("s")
    free = (
        f"rename that one with  dacapo run rename {twin} NEW" if kind == "runs" else "delete that one first"
    )
    return DuplicateNameError(
        f"{sort} {key} cannot be stored in {backend!r}: {sort} {twin} is there, and the names differ only in "
        f"upper and lower case or in how letters are encoded, so that many file systems take them for one. "
        f"Choose a name that differs more, or {free}"
    )
