"""How far the stats of many runs go, asked in a few questions."""

from __future__ import annotations

from collections.abc import Sequence

from .connection import Connection
from .records import Entry, beginning
from .schema import EPOCHS, STATS

_AT_ONCE = 500  # each run is a range of keys in the question


def newest_epochs(connection: Connection, runs: Sequence[str]) -> dict[str, int]:
    """Return the newest epoch of each of these runs that has any; their keys alone tell it."""
    found: dict[str, int] = {}
    for begin in range(0, len(runs), _AT_ONCE):
        with connection.explained("reading the epochs of runs"):
            entries = connection.collection(EPOCHS).aggregate(_newest(runs[begin : begin + _AT_ONCE]))
            found |= {entry["_id"]: int(entry["epoch"].rpartition("/")[2]) for entry in entries}
    return found


def _newest(runs: Sequence[str]) -> list[Entry]:
    """Return the stages that find the key of the newest epoch of each run."""
    ranges = [{"_id": beginning(f"{run}/")} for run in runs]
    return [{"$match": {"$or": ranges}}, {"$group": {"_id": "$run", "epoch": {"$max": "$_id"}}}]


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
        stages: list[Entry] = [
            *_newest(runs[begin : begin + _AT_ONCE]),
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
