"""Configs as earlier versions wrote them: YAML with tuples, and with anchors for what occurs twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dacapo.documents import Document
from dacapo.errors import CorruptData

DEEPEST = 100
LARGEST = 300_000
_MARKS = (b"!!python/tuple", b"&id0")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, for which a tuple is a list; any other tag is refused."""

    def construct_tuple(self, node: Any) -> list[Any]:
        return list(self.construct_sequence(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _Loader.construct_tuple)


def is_old(data: bytes) -> bool:
    """Say whether a file has what only earlier versions wrote."""
    return any(mark in data for mark in _MARKS)


def load(data: bytes, path: Path) -> Document:
    """Return the document of a file that an earlier version wrote; raises ``CorruptData``."""
    try:
        text = data.decode()
        _check_depth(text)
        document = _Copying().copy(yaml.load(text, Loader=_Loader), DEEPEST)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CorruptData(f"{path} is no readable document: {error}; mend it by hand or delete it") from error
    if not isinstance(document, dict):
        raise CorruptData(f"{path} should hold  key: value  lines; mend it by hand or delete it")
    return document


def _check_depth(text: str) -> None:
    """Refuse what is nested so deeply that making it could end the process."""
    levels = 0
    for event in yaml.parse(text, Loader=_Loader):
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if levels > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


class _Copying:
    """Copies what anchors share, so that every part is its own; a few lines could ask for any size."""

    def __init__(self) -> None:
        self.count = 0

    def copy(self, value: Any, levels: int) -> Any:
        self.count += 1
        if self.count > LARGEST:
            raise ValueError(f"its anchors stand for more than {LARGEST} values")
        if levels == 0:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        if isinstance(value, dict):
            if odd := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"the key {odd[0]!r:.80} should be a text; put it in quotes")
            return {key: self.copy(item, levels - 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, levels - 1) for item in value]
        if not isinstance(value, str | int | float | None):
            raise ValueError(f"{value!r:.80} should be a text; put it in quotes")
        return value
