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
        text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        body = str(text).encode()
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError) as error:
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
        document = yaml.load(data.decode(), Loader=_Loader)
        _check_nesting(document, set(), DEEPEST)
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


def _check_nesting(value: Any, seen: set[int], levels: int) -> None:
    """Refuse anchors, which a few lines can blow up to any size, and endless nesting."""
    if not isinstance(value, dict | list):
        return
    if id(value) in seen:
        raise ValueError("anchors and aliases are not allowed")
    if levels == 0:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    seen.add(id(value))
    for item in value.values() if isinstance(value, dict) else value:
        _check_nesting(item, seen, levels - 1)
