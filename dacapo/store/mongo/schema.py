"""What a database has to hold before it is used: collections with validators, indexes, and its format.

Nothing depends on indexes for being right: what has to be unique is so by its ``_id``.
Validators keep other programs, and other versions, from storing what nobody could read.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pymongo
from pymongo import ASCENDING, DESCENDING, errors

from dacapo.errors import NewerFormat, NotAllowed
from dacapo.provenance import version
from dacapo.store.twins import NAMED

from . import finding
from .connection import Connection

logger = logging.getLogger(__name__)

EXISTS = 48
FORMAT = 1
# With names of their own, DaCapo's collections can lie beside those of earlier versions.
META, EPOCHS, STATS, SCORES = "dacapo.meta", "dacapo.epochs", "dacapo.stats", "dacapo.scores"
BLOBS, GRID, LEASES = "dacapo.blobs", "dacapo.weights", "dacapo.leases"
QUEUE, STANDINGS = "dacapo.queue", "dacapo.standings"
DOCUMENTS = "dacapo.documents"
RUNS = f"{DOCUMENTS}.runs"
KINDS = (*NAMED, "best")

_NUMBER, _TEXT, _BYTES = {"bsonType": ["int", "long"]}, {"bsonType": "string"}, {"bsonType": "binData"}
_LOG = {"_id": _TEXT, "run": _TEXT, "epoch": _NUMBER, "sequence": _NUMBER}
_FIELDS: dict[str, dict[str, Any]] = {
    EPOCHS: {"_id": _TEXT, "run": _TEXT, "epoch": _NUMBER, "start": _NUMBER, "token": _TEXT},
    STATS: _LOG
    | {"first": _NUMBER, "last": _NUMBER, "count": _NUMBER}
    | {"metrics": {"bsonType": "array"}, "columns": {"bsonType": "array", "items": _BYTES}},
    SCORES: _LOG
    | {"iteration": _NUMBER, "dataset": _TEXT, "labels": {"bsonType": "object"}, "values": _BYTES},
    LEASES: {"_id": _TEXT, "run": _TEXT, "number": _NUMBER, "beat": _NUMBER, "token": _TEXT}
    | {"holder": {"bsonType": "object"}, "beat_at": {"bsonType": "date"}},
    BLOBS: {"_id": _TEXT, "run": _TEXT, "name": _TEXT, "size": _NUMBER, "file": {"bsonType": "objectId"}},
    QUEUE: {"_id": _TEXT, "number": _NUMBER, "standing": _TEXT, "token": _TEXT}
    | {"priority": _NUMBER, "ticket": _NUMBER}
    | {"needs": {"bsonType": "array"}, "changes": {"bsonType": "array"}},
    STANDINGS: {"_id": _TEXT, "run": _TEXT, "epoch": _NUMBER},
}
_DOCUMENT = {"_id": _TEXT, "token": _TEXT}
_INDEXES = (
    (LEASES, [("open", ASCENDING)], False),
    (f"{GRID}.files", [("filename", ASCENDING), ("uploadDate", ASCENDING)], False),
    (f"{GRID}.chunks", [("files_id", ASCENDING), ("n", ASCENDING)], True),
    (
        QUEUE,
        [("standing", ASCENDING), ("priority", DESCENDING), ("ticket", ASCENDING), ("_id", ASCENDING)],
        False,
    ),
    (QUEUE, [("ticket", ASCENDING)], False),
    (
        STANDINGS,
        [("criterion", ASCENDING), ("dataset", ASCENDING), ("rank", ASCENDING), ("run", ASCENDING)],
        False,
    ),
    (STANDINGS, [("criterion", ASCENDING), ("rank", ASCENDING), ("run", ASCENDING)], False),
)


def collection_of(kind: str) -> str:
    """Return the name of the collection of a kind of documents."""
    return f"{DOCUMENTS}.{kind}"


def check(connection: Connection) -> bool:
    """Say whether a database was prepared; raises ``NewerFormat`` if that was for a newer DaCapo."""
    with connection.explained("opening the store"):
        meta = connection.collection(META).find_one({"_id": "schema"})
    if meta and meta["format"] > FORMAT:
        raise NewerFormat(
            f"{connection.place} was made by a newer DaCapo ({meta['written_by']}), in format "
            f"{meta['format']}; this one knows {FORMAT}. Upgrade with  pip install --upgrade dacapo"
        )
    return meta is not None


def prepare(connection: Connection) -> list[str]:
    """Make what is missing and bring validators up to date; return what is there then.

    It may be repeated at any time, and by several processes at once.
    """
    fields = _FIELDS | {collection_of(kind): _DOCUMENT for kind in KINDS}
    made = []
    for name, properties in fields.items():
        schema = {"$jsonSchema": {"required": list(properties), "properties": properties}}
        connection.write(f"preparing {name}", partial(_validate, connection, name, schema))
        made.append(f"{name}, validated")
    for name, keys, unique in _INDEXES:
        index = partial(connection.collection(name).create_index, keys, unique=unique)
        connection.write(f"indexing {name}", index)
        made.append(f"{name}, indexed by {' and '.join(key for key, _ in keys)}")
    for field in finding.INDEXED:
        index = partial(connection.collection(RUNS).create_index, f"{finding.LISTED}.{field}")
        connection.write(f"indexing {RUNS}", index)
    finding.refresh(connection, RUNS, "runs")
    for kind in NAMED:
        index = partial(connection.collection(collection_of(kind)).create_index, finding.FOLDED)
        connection.write(f"indexing {collection_of(kind)}", index)
        finding.refresh_names(connection, collection_of(kind), kind)
    made.append(f"{RUNS}, indexed by {', '.join(finding.INDEXED)}")
    meta = {"format": FORMAT, "written_by": f"dacapo {version('dacapo')}"}
    connection.write(
        "marking the store as prepared",
        lambda: connection.collection(META).update_one({"_id": "schema"}, {"$set": meta}, upsert=True),
    )
    return made


def prepare_if_allowed(connection: Connection) -> None:
    """Prepare a new database; an account that may not do so can still use what is there."""
    if check(connection):
        return
    try:
        prepare(connection)
    except NotAllowed:
        logger.info(
            "%s is not prepared, and this account may not do it; let somebody who may run  dacapo store init",
            connection.place,
        )


def describe(connection: Connection) -> str:
    """Say what sort of server it is, and what that means."""
    # A server that is not there should not cost the time that a slow answer may take.
    patience = pymongo.timeout(connection.client.options.server_selection_timeout)
    with connection.explained("opening the store"), patience:
        hello = connection.client.admin.command("hello")
        build = connection.client.admin.command("buildInfo")["version"]
    if hello.get("msg") == "isdbgrid":
        sort = "a sharded cluster"
    elif name := hello.get("setName"):
        sort = f"the replica set {name} of {len(hello['hosts'])}: with transactions and change streams"
    else:
        sort = "a server standing alone: without transactions, change streams and a second copy"
    return f"{connection.place}: MongoDB {build}, {sort}"


def _validate(connection: Connection, name: str, schema: dict[str, Any]) -> None:
    """Make a collection, or give the one that is there its validator."""
    database = connection.database
    try:
        database.create_collection(name, validator=schema, check_exists=False)
    except errors.OperationFailure as error:
        if error.code != EXISTS:
            raise
        database.command("collMod", name, validator=schema)
