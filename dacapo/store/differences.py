"""In what two documents differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dacapo.documents import FROM, META

Difference = tuple[str, Any, Any]


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def differences(stored: Any, given: Any, path: str = "") -> Iterator[str]:
    """Yield ``field: stored -> given`` for everything in which two documents differ.

    Who stored a document, and which version of a plugin wrote it, does not count.
    """
    for where, left, right in differing(stored, given, path):
        yield f"{where}: {left!r} -> {right!r}"


def differing(stored: Any, given: Any, path: str = "") -> Iterator[Difference]:
    """Yield field and both values for everything in which two documents differ; ``ABSENT`` is no value."""
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in dict.fromkeys([*stored, *given]):
            if key in (META, FROM):
                continue
            inner = f"{path}.{key}" if path else str(key)
            yield from differing(stored.get(key, ABSENT), given.get(key, ABSENT), inner)
    elif isinstance(stored, list) and isinstance(given, list) and len(stored) == len(given):
        for position, (left, right) in enumerate(zip(stored, given, strict=True)):
            yield from differing(left, right, f"{path}[{position}]")
    elif not _equal(stored, given):
        yield path, stored, given


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
