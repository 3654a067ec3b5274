"""In what two documents differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dacapo.documents import FROM, META, Document


def differences(stored: Any, given: Any, path: str = "") -> Iterator[str]:
    """Yield ``field: stored -> given`` for everything in which two documents differ.

    Who stored a document, and which version of a plugin wrote it, does not count.
    """
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in dict.fromkeys([*stored, *given]):
            if key in (META, FROM):
                continue
            inner = f"{path}.{key}" if path else str(key)
            if key in stored and key in given:
                yield from differences(stored[key], given[key], inner)
            else:
                yield f"{inner}: {_shown(stored, key)} -> {_shown(given, key)}"
    elif isinstance(stored, list) and isinstance(given, list) and len(stored) == len(given):
        for position, (left, right) in enumerate(zip(stored, given, strict=True)):
            yield from differences(left, right, f"{path}[{position}]")
    elif not _equal(stored, given):
        yield f"{path}: {stored!r} -> {given!r}"


def _shown(document: Document, key: str) -> str:
    return repr(document[key]) if key in document else "absent"


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
