"""Plain data: what documents may hold, in every backend alike."""

from __future__ import annotations

from typing import Any

from dacapo.documents import Document
from dacapo.errors import InvalidDocument

DEEPEST = 100
_LEAVES = (str, int, float, bool, type(None))


def copied(document: Document) -> Document:
    """Return a deep copy of a document; raises ``InvalidDocument`` for anything but plain data."""
    try:
        plain: Document = _copied(document, DEEPEST)
        return plain
    except ValueError as error:  # that a text cannot be encoded is one of these too
        raise InvalidDocument(
            f"the document {document.get('name', '')!r:.80} cannot be stored: {error}; it should hold only "
            "dictionaries with texts as keys, lists, texts, numbers, booleans and None"
        ) from error


def _copied(value: Any, levels: int) -> Any:
    if levels < 0:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    kind = type(value)
    if kind is dict:
        return {_text(key): _copied(item, levels - 1) for key, item in value.items()}
    if kind is list:
        return [_copied(item, levels - 1) for item in value]
    if kind is str:
        return _text(value)
    if kind not in _LEAVES:
        raise ValueError(f"it holds {value!r:.80}, of type {kind.__name__}")
    return value


def _text(value: Any) -> str:
    """Return a text that can be encoded; dictionaries have only such keys."""
    if type(value) is not str:
        raise ValueError(f"it has the key {value!r:.80}, of type {type(value).__name__}")
    value.encode()
    return value
