"""Finding stored documents by what they say: which fields can be asked for, and how a question is put.

A question is made of typed values only, never of a dictionary that a database could take for
operators.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from dacapo.documents import META, TYPE, Document
from dacapo.errors import InvalidRequest

from .standings import STANDINGS, ranks_of

Path = tuple[str, ...]
Row = dict[str, Any]
Found = list[tuple[str, Row]]

# Raise it when a field is added or read from elsewhere: rows that were made before are made anew.
VERSION = 1
_STORED: dict[str, Path] = {
    "owner": (META, "owner"),
    "stored": (META, "created"),
    "changed": (META, "modified"),
}
_OF_RUNS: dict[str, Path] = {
    "task": ("task_config", "name"),
    "architecture": ("architecture_config", "name"),
    "trainer": ("trainer_config", "name"),
    "datasplit": ("datasplit_config", "name"),
    "iterations": ("num_iterations",),
    "start": ("start_config", "run"),
}
_OF_NOTES: dict[str, Path] = {"text": ("text",), "by": ("by",), "at": ("at",)}
_OF_STANDINGS: dict[str, Path] = {"ranks": (STANDINGS,)}
NOTES = ".notes"


def fields_of(collection: str) -> Mapping[str, Path]:
    """Return the fields that documents of a collection can be found by, and where each stands in them."""
    if collection.endswith(NOTES):
        return _OF_NOTES
    if collection == STANDINGS:
        return _OF_STANDINGS
    return {**(_OF_RUNS if collection == "runs" else {"type": (TYPE,)}), **_STORED}


def row_of(collection: str, document: Document) -> Row:
    """Return the fields of a document; None for what it has not, or not as a text or number."""
    if collection == STANDINGS:
        return {"ranks": ranks_of(document)}
    return {name: _plain(document, path) for name, path in fields_of(collection).items()}


def _plain(document: Any, path: Path) -> Any:
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    # Whole numbers beyond 64 bits fit into no index.
    fits = isinstance(document, str | float) or (type(document) is int and abs(document) < 2**63)
    return document if fits else None


def _texts(values: Collection[str]) -> frozenset[str]:
    return frozenset(map(str, [values] if isinstance(values, str) else values))


def moment(time: str | datetime | None) -> str | None:
    """Return a time as ``__meta__`` writes it, in UTC: times sort as texts do.

    A text is a date or a time (that of this machine, if it names no zone), or how long ago it
    was: ``30d``, ``12h``, ``90m``.
    """
    if time is None:
        return None
    if isinstance(time, str):
        if ago := re.fullmatch(r"(\d{1,6})([dhm])", time):
            unit = {"d": "days", "h": "hours", "m": "minutes"}[ago[2]]
            time = datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
        else:
            try:
                time = datetime.fromisoformat(time)
            except ValueError as error:
                raise InvalidRequest(
                    f"{time!r:.80} is no time; write a date such as 2026-11-30, a time such as "
                    "2026-11-30T12:00, or how long ago: 30d, 12h, 90m"
                ) from error
    return time.astimezone(UTC).isoformat(timespec="seconds")


def _deep(among: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    return {str(field): _texts(values) for field, values in among.items()}


@attrs.frozen
class Query:
    """Which documents of a collection are meant; all that is given has to hold.

    ``among`` says which texts a field may have.  ``match`` is a pattern of the key, in which
    ``*`` stands for anything and ``?`` for one character.  ``since`` and ``until`` bound the
    time of storing (see ``moment``): the first is meant too, the last is not.
    """

    among: Mapping[str, frozenset[str]] = attrs.field(factory=dict, converter=_deep)
    match: str | None = None
    since: str | None = attrs.field(default=None, converter=moment)
    until: str | None = attrs.field(default=None, converter=moment)
    pattern: re.Pattern[str] = attrs.field(init=False, repr=False)

    @pattern.default
    def _as_expression(self) -> re.Pattern[str]:
        # Python and MongoDB read this alike.
        parts = re.split(r"([*?])", self.match or "*")
        return re.compile(
            f"^{''.join({'*': '.*', '?': '.'}.get(part) or re.escape(part) for part in parts)}$"
        )

    def check(self, collection: str, fields: Sequence[str]) -> None:
        """Raise ``InvalidRequest`` for fields that documents of a collection are not found by."""
        known = fields_of(collection)
        asked = [*self.among, *fields, *(["stored"] if self.since or self.until else [])]
        if strange := [field for field in asked if field not in known]:
            raise InvalidRequest(
                f"the {collection} cannot be listed by {strange[0]!r}; they can by {', '.join(known)}"
            )

    @property
    def prefix(self) -> str:
        """What every key that is meant begins with."""
        return re.split(r"[*?]", self.match or "", maxsplit=1)[0]

    def asks_for(self, key: str, row: Row) -> bool:
        """Say whether a document is meant, by its key and its fields."""
        stored = row.get("stored")
        return (
            all(row.get(field) in values for field, values in self.among.items())
            and (self.since is None or (isinstance(stored, str) and stored >= self.since))
            and (self.until is None or (isinstance(stored, str) and stored < self.until))
            and (self.match is None or self.pattern.match(key) is not None)
        )


def chosen(rows: Iterable[tuple[str, Row]], query: Query, fields: Sequence[str]) -> Found:
    """Return those rows that are meant, by key, with the fields asked for."""
    found = [(key, {field: row.get(field) for field in fields}) for key, row in rows
             if query.asks_for(key, row)]  # fmt: skip
    return sorted(found, key=lambda item: item[0])


@contextmanager
def many_at_once() -> Iterator[None]:
    """Make very many things that all live on: to look among them for garbage would double the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@attrs.frozen
class Listed:
    """One config in a list: its key, the fields of its kind, its tags and its newest note."""

    key: str
    fields: Row
    tags: tuple[str, ...] = ()
    note: str | None = None
