"""Standings in MongoDB: an entry for each run, dataset and criterion, and indexes in the order of rank.

Beside them every run has an entry of its own, under its key: which epoch made its standings.  It is
written first, and whoever comes too late writes nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import attrs
from pymongo import ASCENDING, DeleteMany, ReplaceOne, errors

from dacapo.names import segment
from dacapo.store.standings import Standing

from .connection import Connection
from .records import Entry, beginning
from .schema import STANDINGS

DUPLICATE = 11000
_FIELDS = tuple(field.name for field in attrs.fields(Standing))
_SAID = tuple(name for name in _FIELDS if name not in ("run", "epoch"))


def rank(
    connection: Connection,
    run: str,
    epoch: int,
    standings: Sequence[Standing],
    changed: Sequence[Standing] | None,
) -> bool:
    """Write what has changed, or everything, in one request; see ``StoreBackend.rank``."""
    there, not_later = connection.collection(STANDINGS), {"$lte": epoch}
    written = entries(run, epoch, standings if changed is None else changed)
    writes: list[Any] = [
        ReplaceOne({"_id": entry["_id"], "epoch": not_later}, entry, upsert=True) for entry in written
    ]
    if changed is None:
        others = {**beginning(f"{run}/"), "$nin": [entry["_id"] for entry in written]}
        writes.append(DeleteMany({"_id": others, "epoch": not_later}))

    def write() -> bool:
        try:
            # In this order: the server stops at the entry of the run if a later epoch has written it.
            there.bulk_write(writes, ordered=True)
        except errors.BulkWriteError as error:
            refused = [one["code"] for one in error.details["writeErrors"]]
            if refused != [DUPLICATE] or error.details["writeConcernErrors"]:
                raise
            return False
        return True

    return connection.write(f"comparing run {run} with others", write)


def unrank(connection: Connection, run: str) -> bool:
    """Remove the entries of a run, its own last: that they were there is known until then."""
    there, doing = connection.collection(STANDINGS), f"removing the standings of run {run}"
    with connection.explained(doing):
        was_there = there.find_one({"_id": str(run)}, {"_id": 1}) is not None
    for condition in (beginning(f"{run}/"), str(run)):
        connection.write(doing, partial(there.delete_many, {"_id": condition}))
    return was_there


def of_run(connection: Connection, run: str) -> list[Standing]:
    """Return the standings of a run."""
    with connection.explained(f"reading the standings of run {run}"):
        found = connection.collection(STANDINGS).find({"_id": beginning(f"{run}/")})
        return [_standing(entry) for entry in found]


def ranked_runs(connection: Connection) -> list[str]:
    """Return the runs that have an entry of their own: they are no one's by any criterion."""
    with connection.explained("listing the runs that are compared"):
        found = connection.collection(STANDINGS).find({"criterion": None}, {"_id": 1})
        return sorted(entry["_id"] for entry in found)


def rated(connection: Connection, criterion: str | None) -> list[str]:
    """Return the criteria that there are, or the datasets of one: the server skips from one to the next."""
    there = connection.collection(STANDINGS)
    with connection.explained("listing what runs are compared by"):
        if criterion is None:
            found = there.distinct("criterion")
            return sorted(one for one in found if one is not None)  # a run has an entry without
        return sorted(there.distinct("dataset", {"criterion": {"$eq": criterion}}))


def ranked(
    connection: Connection,
    criteria: Collection[str],
    dataset: str | None,
    count: int,
    among: Collection[str] | None,
) -> list[Standing]:
    """Return the best standings, read from the index in its order; see ``StoreBackend.ranked``."""
    condition: Entry = {"criterion": {"$in": sorted(map(str, criteria))}}
    if dataset is not None:
        condition["dataset"] = {"$eq": str(dataset)}
    if among is not None:
        condition["run"] = {"$in": sorted(map(str, among))}
    with connection.explained("finding the best runs"):
        found = connection.collection(STANDINGS).find(condition)
        best = found.sort([("rank", ASCENDING), ("run", ASCENDING)]).limit(count)
        return sorted(map(_standing, best), key=lambda one: one.order)


def entries(run: str, epoch: int, standings: Sequence[Standing]) -> list[Entry]:
    """Return the entry of a run and those of its standings, in the order in which they are written."""
    return [
        {"_id": str(run), "run": str(run), "epoch": epoch},
        *(_entry(run, epoch, one) for one in standings),
    ]


def _entry(run: str, epoch: int, standing: Standing) -> Entry:
    return {
        "_id": f"{run}/{segment(f'{standing.dataset}/{standing.criterion}')}",
        "run": str(run),
        "epoch": epoch,
        "rank": standing.rank,
        **{name: getattr(standing, name) for name in _SAID},
    }


def _standing(entry: Entry) -> Standing:
    return Standing(**{name: entry[name] for name in _FIELDS})
