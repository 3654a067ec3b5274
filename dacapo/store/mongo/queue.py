"""The queue in MongoDB: an entry a run, claimed by one ``find_one_and_update`` over an index.

The entry holds the whole history, how the run stands, and its place, by which the index sorts.
A change is added on condition that the entry has the number of the change before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from dacapo.documents import Document
from dacapo.store.queue_backend import SETTLED, TAKEN, WAITING, Place, QueueBackend

from . import records, schema
from .connection import Connection
from .records import Entry

ORDER = [("priority", DESCENDING), ("ticket", ASCENDING), ("_id", ASCENDING)]


class MongoQueue(QueueBackend):
    """The operations of the queue for a backend with a connection.

    Every change has a token of its own, so that it is known again after an unknown outcome.
    """

    _connection: Connection

    def add_change(
        self, run: str, number: int, change: Document, *, place: Place | None = None, taken: bool = False
    ) -> bool:
        written = records.write_document("", change)
        standing = WAITING if place else TAKEN if taken else SETTLED
        fields: Entry = {"standing": standing, "number": number, "token": written["token"]}
        if place or not number:
            fields |= _write_place(place or Place())
        if not number:
            return self._connection.create(schema.QUEUE, {"_id": str(run), **fields, "changes": [written]})
        there = self._connection.collection(schema.QUEUE)
        update = {"$set": fields, "$push": {"changes": written}}

        def add() -> bool:
            if there.update_one({"_id": str(run), "number": number - 1}, update).matched_count:
                return True
            mine = {"_id": str(run), f"changes.{number}.token": written["token"]}
            return there.find_one(mine, {"_id": 1}) is not None

        return self._connection.write(f"changing how run {run} stands in the queue", add)

    def claim_next(
        self, change: Document, has: Mapping[str, int], skip: Collection[str] = ()
    ) -> tuple[str, list[Document]] | None:
        written = records.write_document("", change)
        there = self._connection.collection(schema.QUEUE, plain=True)
        update = {
            "$set": {"standing": TAKEN, "token": written["token"]},
            "$inc": {"number": 1},
            "$push": {"changes": written},
        }
        condition = {
            "standing": WAITING,
            **_is_met_by(has),
            **({"_id": {"$nin": list(skip)}} if skip else {}),
        }
        attempts: list[int] = []

        def claim() -> Entry | None:
            attempts.append(0)
            if len(attempts) > 1:  # the answer to the first may have got lost
                mine = {"standing": TAKEN, "token": written["token"]}
                if (found := there.find_one(mine, {"changes": 1})) is not None:
                    return found
            return there.find_one_and_update(
                condition, update, {"changes": 1}, sort=ORDER, return_document=ReturnDocument.AFTER
            )

        entry = self._connection.write("claiming a run of the queue", claim)
        return None if entry is None else (entry["_id"], _read_changes(entry))

    def changes(self, run: str) -> list[Document]:
        with self._connection.explained(f"reading the history of run {run} in the queue"):
            entry = self._connection.collection(schema.QUEUE).find_one({"_id": str(run)}, {"changes": 1})
        return [] if entry is None else _read_changes(entry)

    def all_changes(self, standing: str | None = None) -> dict[str, list[Document]]:
        condition = {} if standing is None else {"standing": standing}
        with self._connection.explained("reading the queue"):
            found = list(self._connection.collection(schema.QUEUE).find(condition, {"changes": 1}))
        return {entry["_id"]: _read_changes(entry) for entry in sorted(found, key=lambda one: one["_id"])}

    def next_ticket(self) -> int:
        there = self._connection.collection(schema.QUEUE)
        with self._connection.explained("reading the queue"):
            newest = there.find_one({}, {"ticket": 1}, sort=[("ticket", DESCENDING)])
        return 0 if newest is None else newest["ticket"] + 1

    def remove_changes(self, run: str) -> bool:
        there = self._connection.collection(schema.QUEUE)
        with self._connection.explained(f"looking for run {run} in the queue"):
            found = there.find_one({"_id": str(run)}, {"_id": 1}) is not None
        self._connection.write(
            f"taking run {run} out of the queue", lambda: there.delete_one({"_id": str(run)})
        )
        return found


def _write_place(place: Place) -> Entry:
    needs = [{"name": name, "amount": amount} for name, amount in place.needs.items()]
    return {"priority": place.priority, "ticket": place.ticket, "needs": needs}


def _is_met_by(has: Mapping[str, int]) -> Entry:
    """Return the condition that there is no need that somebody cannot meet."""
    unmet: list[Any] = [{"name": {"$nin": list(has)}, "amount": {"$gt": 0}}]
    unmet += [{"name": name, "amount": {"$gt": amount}} for name, amount in has.items()]
    return {"needs": {"$not": {"$elemMatch": {"$or": unmet}}}}


def _read_changes(entry: Entry) -> list[Document]:
    return [records.read_document(change) for change in entry["changes"]]
