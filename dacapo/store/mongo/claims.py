"""Claims in MongoDB: an entry for each number, signs of life by the clock of the server."""

from __future__ import annotations

from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from dacapo.store.backend import Claim

from . import records
from .connection import Connection
from .records import Entry, beginning
from .schema import LEASES

_NOW = {"beat_at": True}
_IDLE: Entry = {
    "run": 1,
    "number": 1,
    "holder": 1,
    "beat": 1,
    "open": 1,
    "idle": {"$divide": [{"$subtract": ["$$NOW", "$beat_at"]}, 1000]},
}


class Claims:
    """The claims of a database.

    Only the newest claim of a run is ``open``.  Each operation is one write of one entry, under a
    condition that makes it come too late rather than do harm, and may be repeated.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def claim(self, run: str, claim: Claim, over: Claim | None) -> bool:
        """End the claim ``over``, if it gave no sign of life, and take the number, if nobody has."""
        key, token = records.epoch_key(run, claim.number), records.token()
        newest = self._newest(run, {"number": 1})
        if newest and newest["number"] >= claim.number:
            return False
        if over is not None and not over.released and not self._end(run, over, token):
            return False
        holder = records.write_document("", claim.holder)
        entry = {"run": str(run), "number": claim.number, "holder": holder, "beat": 0}
        entry |= {} if claim.released else {"open": True}
        there = self.connection.collection(LEASES)

        def insert() -> bool:
            # The server puts its own time into what it inserts only in this way.
            update = {"$setOnInsert": entry, "$currentDate": _NOW}
            try:
                there.update_one({"_id": key, "token": token}, update, upsert=True)
            except DuplicateKeyError:
                return False
            return True

        return self.connection.write(f"claiming run {run}", insert)

    def _end(self, run: str, over: Claim, token: str) -> bool:
        """End a claim that is as it was read; an attempt of unknown outcome is looked up."""
        there, key = self.connection.collection(LEASES), records.epoch_key(run, over.number)
        as_read = {"_id": key, "open": True, "beat": over.beat}

        def end() -> bool:
            change = {"$set": {"ended_by": token}, "$unset": {"open": ""}}
            if there.update_one(as_read, change).matched_count:
                return True
            return there.find_one({"_id": key, "ended_by": token}, {"_id": 1}) is not None

        return self.connection.write(f"taking over run {run}", end)

    def newest(self, run: str) -> Claim | None:
        """Return the newest claim of a run; the server reckons how long it has been idle."""
        entry = self._newest(run, _IDLE)
        return None if entry is None else _read(entry)

    def renew(self, run: str, number: int) -> bool:
        """Raise the count of an open claim, at the server's time."""
        there, condition = self.connection.collection(LEASES), self._open(run, number)
        update = {"$inc": {"beat": 1}, "$currentDate": _NOW}
        renewed = self.connection.write(
            f"renewing the lease of run {run}", lambda: there.update_one(condition, update).matched_count
        )
        return bool(renewed) and self._newest(run, {"number": 1}) == {
            "_id": condition["_id"], "number": number
        }  # fmt: skip

    def release(self, run: str, number: int) -> None:
        """End a claim, if it has not ended."""
        there, condition = self.connection.collection(LEASES), self._open(run, number)
        self.connection.write(
            f"releasing run {run}", lambda: there.update_one(condition, {"$unset": {"open": ""}})
        )

    def open(self, prefix: str) -> dict[str, Claim]:
        """Return the newest claims that are open, by run."""
        with self.connection.explained("listing who trains what"):
            there = self.connection.collection(LEASES)
            entries = there.find({"open": True, "_id": beginning(prefix)}, _IDLE).sort("_id")
            return {entry["run"]: _read(entry) for entry in entries}

    def _open(self, run: str, number: int) -> Entry:
        return {"_id": records.epoch_key(run, number), "open": True}

    def _newest(self, run: str, fields: Entry) -> Any:
        with self.connection.explained(f"reading who holds run {run}"):
            there = self.connection.collection(LEASES)
            found = there.find({"_id": beginning(f"{run}/")}, fields)
            return next(found.sort("_id", DESCENDING).limit(1), None)


def _read(entry: Entry) -> Claim:
    released = not entry.get("open")
    idle = None if released else max(0.0, float(entry["idle"]))
    return Claim(entry["number"], records.read_document(entry["holder"]), entry["beat"], released, idle)
