"""Giving all that belongs to a run another key, on the server."""

from __future__ import annotations

from functools import partial
from typing import Any

from .connection import Connection
from .records import Entry, beginning
from .schema import BLOBS, EPOCHS, SCORES, STATS, collection_of

# Entries under ``<run>/...``, and whether they name their run in a field too.
_OF_RUNS = {EPOCHS: True, STATS: True, SCORES: True, BLOBS: True, collection_of("best"): False}


def move_run(connection: Connection, run: str, new: str) -> None:
    """Copy entries to their new keys, then remove the old ones; what was copied before is left alone.

    No entry passes through this process, and uploads in GridFS stay where they are.
    """
    for name, names_run in _OF_RUNS.items():
        there, old = connection.collection(name), {"_id": beginning(f"{run}/")}
        rest = {"$substrBytes": ["$_id", len(str(run).encode()), -1]}
        fields: Entry = {"_id": {"$concat": [{"$literal": str(new)}, rest]}}
        if names_run:
            fields["run"] = {"$literal": str(new)}
        merge = {"into": there.name, "on": "_id", "whenMatched": "keepExisting", "whenNotMatched": "insert"}
        stages: list[dict[str, Any]] = [{"$match": old}, {"$set": fields}, {"$merge": merge}]
        connection.write(f"moving run {run} to {new}", partial(there.aggregate, stages))
        connection.write(f"moving run {run} to {new}", partial(there.delete_many, old))
