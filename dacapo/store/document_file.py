"""Documents as YAML that people can read, with a first line that betrays damage.

Only plain YAML is read: no tags, no anchors, no repeated keys, no endless nesting.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from dacapo.documents import Document
from dacapo.errors import CorruptData, InvalidDocument, NewerFormat

from .legacy import yaml_documents

FORMAT = 1
DEEPEST = 100
LARGEST = 2**26  # characters; a database takes a quarter of that
_HEAD = "# dacapo document"
_FIRST_LINE = re.compile(rb"# dacapo document (\d+), sha256 ([0-9a-f]{64})\n")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, refusing a key that is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if isinstance(key, str) and keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {sorted(twice)[0]} is given twice", node.start_mark
            )
        return dict(super().construct_mapping(node, deep=deep))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """The safe dumper for plain data only, writing a repeated object in full each time."""

    yaml_representers = {
        kind: write
        for kind, write in yaml.SafeDumper.yaml_representers.items()
        if kind in (type(None), bool, int, float, str, list, dict, None)
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(document: Document) -> bytes:
    """Return the content of the file of a document."""
    try:
        _check_values(document, DEEPEST)
        text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        body = str(text).encode()
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # also for what cannot be encoded
        raise InvalidDocument(
            f"the document {document.get('name', '')!r} cannot be written as YAML: {error}; it should hold "
            "only dictionaries, lists, texts, numbers, booleans and None"
        ) from error
    return f"{_HEAD} {FORMAT}, sha256 {hashlib.sha256(body).hexdigest()}\n".encode() + body


def load(data: bytes, path: Path) -> Document:
    """Return the document that a file holds, read from ``path``.

    Raises ``CorruptData`` for what is damaged or no document, ``NewerFormat`` for what a newer
    DaCapo wrote.
    """
    _check_first_line(data, path)
    if not is_marked(data) and yaml_documents.is_old(data):
        return yaml_documents.load(data, path)
    try:
        text = data.decode()
        if _is_suspicious(data):
            _check_events(text)
        document = yaml.load(text, Loader=_Loader)
        _check_values(document, DEEPEST)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CorruptData(f"{path}, line {line}: {error.problem}; mend it by hand or delete it") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CorruptData(f"{path} is no readable document: {error}; mend it by hand or delete it") from error
    if not isinstance(document, dict):
        raise CorruptData(f"{path} should hold  key: value  lines; mend it by hand or delete it")
    return document


def is_marked(data: bytes) -> bool:
    """Say whether a file has the first line that DaCapo writes."""
    return data.startswith(_HEAD.encode())


def _check_first_line(data: bytes, path: Path) -> None:
    """Compare the checksum; a file that somebody wrote by hand has none."""
    if not is_marked(data):
        return
    if (first := _FIRST_LINE.match(data)) is None:
        raise CorruptData(f"{path}, line 1: the line is damaged; delete it if you wrote the rest by hand")
    if int(first[1]) > FORMAT:
        raise NewerFormat(
            f"{path} was written by a newer DaCapo, in format {int(first[1])}; this one knows {FORMAT}. "
            "Upgrade with  pip install --upgrade dacapo"
        )
    if hashlib.sha256(data[first.end() :]).hexdigest() != first[2].decode():
        raise CorruptData(
            f"{path} does not fit its checksum: it is damaged, or was changed by hand; if you changed "
            "it, delete its first line"
        )


def _is_suspicious(data: bytes) -> bool:
    """Say whether a document may hold anchors, or be nested more deeply than the parser survives.

    What looks so has its structure read alone first, which takes as long again; few documents do.
    """
    longest = max(map(len, data.split(b"\n")))
    levels = data.count(b"[") + data.count(b"{") + 2 * longest
    return len(data) > LARGEST or levels > 10 * DEEPEST or b"&" in data or b"*" in data


def _check_events(text: str) -> None:
    """Refuse anchors, which a few lines can blow up to any size, and endless nesting or length."""
    if len(text) > LARGEST:
        raise ValueError(f"it is longer than {LARGEST >> 20} million characters")
    levels = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("anchors and aliases are not allowed")
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if levels > DEEPEST + 1:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


def _check_values(value: Any, levels: int) -> None:
    """Refuse what YAML knows and documents do not: dates, sets, bytes, keys that are no texts."""
    if levels < 0:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    if isinstance(value, dict | list):
        if isinstance(value, dict) and (odd := [key for key in value if not isinstance(key, str)]):
            raise ValueError(f"the key {odd[0]!r:.80} should be a text; put it in quotes")
        for item in value.values() if isinstance(value, dict) else value:
            _check_values(item, levels - 1)
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"{value!r:.80} should be a text; put it in quotes")
