"""How far the stats of many runs go, asked in a few questions."""

from __future__ import annotations

from collections.abc import Sequence

from .connection import Connection
from .records import Entry, beginning
from .schema import EPOCHS, STATS

_AT_ONCE = 500  # each run is a range of keys in the question


def last_iterations(connection: Connection, runs: Sequence[str]) -> dict[str, int | None]:
    """Return the last iteration that the newest epoch of each run has stats of; see ``StoreBackend``.

    The server finds the newest epoch and its newest block by their keys, and sends one number a run.
    """
    found: dict[str, int | None] = {}
    below = beginning("/")
    newest_block: list[Entry] = [
        {"$match": {"$expr": {"$and": [{"$gte": ["$_id", "$$begin"]}, {"$lt": ["$_id", "$$end"]}]}}},
        {"$sort": {"_id": -1}},
        {"$limit": 1},
        {"$project": {"last": 1}},
    ]
    for begin in range(0, len(runs), _AT_ONCE):
        ranges = [{"_id": beginning(f"{run}/")} for run in runs[begin : begin + _AT_ONCE]]
        stages: list[Entry] = [
            {"$match": {"$or": ranges}},
            {"$group": {"_id": "$run", "epoch": {"$max": "$_id"}}},
            {
                "$lookup": {
                    "from": STATS,
                    "let": {
                        "begin": {"$concat": ["$epoch", below["$gte"]]},
                        "end": {"$concat": ["$epoch", below["$lt"]]},
                    },
                    "pipeline": newest_block,
                    "as": "block",
                }
            },
            {"$project": {"last": {"$first": "$block.last"}}},
        ]
        with connection.explained("reading how far runs are trained"):
            entries = connection.collection(EPOCHS).aggregate(stages)
            found |= {entry["_id"]: entry.get("last") for entry in entries}
    return found
