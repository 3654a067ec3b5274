"""Finding documents by their fields, answered by the server from indexes.

Each entry keeps the fields that it is found by beside its document, under names without dots; what
it uses stands apart from those that lists fetch.
Conditions are built from typed values: nothing that a user gives is ever read as an operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pymongo import UpdateOne

from dacapo.documents import Document
from dacapo.names import folded, twins_of
from dacapo.store.listing import USES, VERSION, Found, Query, Row, chosen, many_at_once, row_of
from dacapo.store.twins import NAMED

from .connection import Connection
from .records import Entry, beginning, read_document

LISTED, FOLDED = "listed", "folded"
_VERSION = f"{LISTED}.version"
AT_ONCE = 1000
INDEXED = ("version", "owner", "stored", "task", "architecture", "trainer", "datasplit")


def listed(collection: str, document: Document) -> Entry:
    """Return what an entry keeps beside its document, so that it is found."""
    row = row_of(collection, document)
    apart = {USES: row.pop(USES)} if USES in row else {}
    return {LISTED: {"version": VERSION, **row}, **apart}


def find(connection: Connection, name: str, collection: str, query: Query, fields: Sequence[str]) -> Found:
    """Return the documents of a collection, stored under ``name``, that are asked for."""
    there = connection.collection(name)
    shown = {"_id": 1, LISTED: 1} if fields else {"_id": 1}
    with connection.explained(f"listing the {collection}"), many_at_once():
        rows: list[tuple[str, Row]] = [
            (entry["_id"], {field: entry[LISTED][field] for field in fields})
            for entry in there.find(_condition(query), shown)
        ]
        # What another version of DaCapo has stored may keep other fields, or none.
        strange = list(there.find({_VERSION: {"$ne": VERSION}}))
    others = [(entry["_id"], row_of(collection, read_document(entry))) for entry in strange]
    found = rows + chosen(others, query, fields) if others else rows
    return sorted(found, key=lambda item: item[0])


def _condition(query: Query) -> Entry:
    parts: list[Entry] = [{_VERSION: VERSION}]
    parts += [{f"{LISTED}.{field}": {"$in": sorted(values)}} for field, values in query.among.items()]
    stored: dict[str, Any] = {"$gte": query.since, "$lt": query.until}
    if times := {operator: time for operator, time in stored.items() if time is not None}:
        parts.append({f"{LISTED}.stored": times})
    if query.uses:
        parts.append({USES: {"$all": sorted(query.uses)}})
    if query.match is not None:
        parts += [{"_id": beginning(query.prefix)}, {"_id": {"$regex": query.pattern.pattern}}]
    return {"$and": parts}


def named(collection: str, key: str) -> Entry:
    """Return what an entry keeps so that its twins, names that differ only in case, are found."""
    return {FOLDED: folded(key)} if collection in NAMED else {}


def twins(connection: Connection, name: str, key: str) -> list[str]:
    """Return the other keys that differ from one only in case or encoding; the index of ``FOLDED`` tells."""
    # Entries of earlier versions have no such field until the database is prepared again.
    maybe = {FOLDED: {"$in": [folded(key), None]}}
    with connection.explained(f"looking for names like {key}"):
        return twins_of(key, [entry["_id"] for entry in connection.collection(name).find(maybe, {"_id": 1})])


def refresh_names(connection: Connection, name: str, collection: str) -> None:
    """Give entries of earlier versions the field by which twins are found."""
    there = connection.collection(name)
    with connection.explained(f"listing the {collection}"):
        keys = [entry["_id"] for entry in there.find({FOLDED: None}, {"_id": 1})]
    for begin in range(0, len(keys), AT_ONCE):
        some = keys[begin : begin + AT_ONCE]
        updates = [UpdateOne({"_id": key}, {"$set": named(collection, key)}) for key in some]
        connection.write(f"indexing {name}", partial(there.bulk_write, updates, ordered=False))


def refresh(connection: Connection, name: str, collection: str) -> None:
    """Bring the fields of entries up to date; a document that changes meanwhile stays as it is."""
    there = connection.collection(name)
    while True:
        with connection.explained(f"listing the {collection}"):
            strange = list(there.find({_VERSION: {"$ne": VERSION}}).limit(AT_ONCE))
        updates = [
            UpdateOne(
                {"_id": entry["_id"], "token": entry.get("token")},
                {"$set": listed(collection, read_document(entry))},
            )
            for entry in strange
        ]
        refreshed = partial(there.bulk_write, updates, ordered=False)
        if not updates or not connection.write(f"indexing {name}", refreshed).matched_count:
            return
