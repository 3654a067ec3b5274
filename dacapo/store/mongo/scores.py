"""Validation scores in MongoDB: an entry for each iteration and dataset, in the order they were added."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pymongo import DESCENDING
from pymongo.errors import BulkWriteError

from dacapo.store.backend import ScoresRecord

from . import records
from .connection import Connection
from .records import Entry, beginning
from .schema import SCORES

TAKEN = 11000


class Scores:
    """The scores of a database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Where the scores of an epoch are thought to end: if somebody was quicker, the key is taken.
        self._ends: dict[str, int] = {}

    def append(self, run: str, epoch: int, added: Sequence[ScoresRecord]) -> None:
        """Insert scores behind the newest, in one request; if somebody was quicker, behind theirs."""
        key = records.epoch_key(run, epoch)
        left = list(records.write_scores(run, epoch, added))
        while left:
            begin = self._ends.pop(key, None)
            begin = self._end(run, key) if begin is None else begin
            placed = [records.place(entry, sequence) for sequence, entry in enumerate(left, begin)]
            late = self.connection.write(f"storing the scores of run {run}", partial(self._insert, placed))
            if not late:
                self._ends[key] = begin + len(placed)
            left = [entry for entry in left if entry["token"] in late]

    def read(self, run: str, epoch: int) -> list[ScoresRecord]:
        """Return the scores of an epoch."""
        there = {"_id": beginning(f"{records.epoch_key(run, epoch)}/")}
        with self.connection.explained(f"reading the scores of run {run}"):
            found = self.connection.collection(SCORES).find(there).sort("_id")
            return [records.read_scores(entry) for entry in found]

    def _end(self, run: str, key: str) -> int:
        with self.connection.explained(f"reading the scores of run {run}"):
            there = self.connection.collection(SCORES).find({"_id": beginning(f"{key}/")}, {"sequence": 1})
            newest = next(there.sort("_id", DESCENDING).limit(1), None)
        return newest["sequence"] + 1 if newest else 0

    def _insert(self, entries: list[Entry]) -> set[str]:
        """Insert entries, and return the tokens of those that are not there, because a key was taken."""
        there = self.connection.collection(SCORES)
        try:
            there.insert_many(entries)
        except BulkWriteError as error:
            refused = [one["code"] for one in error.details["writeErrors"]]
            if refused != [TAKEN] or error.details["writeConcernErrors"]:
                raise
            # An attempt of unknown outcome may have done it all, or some.
            these = {"_id": {"$in": [entry["_id"] for entry in entries]}}
            found = {entry["token"] for entry in there.find(these, {"token": 1})}
            return {entry["token"] for entry in entries} - found
        return set()
