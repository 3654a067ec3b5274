"""What an earlier DaCapo left in a MongoDB database.

runs, tasks, architectures, trainers, datasplits, datasets, arrays    one document a config
training_stats          one document an iteration: run_name, iteration, loss, time
validation_scores       one document an iteration: run_name, iteration, scores as bare numbers

The collections of the present format have other names, so these stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from pymongo import ASCENDING, DESCENDING

from dacapo.documents import Document
from dacapo.errors import NotAllowed

from ..backend import Block
from ..config_store import CLASSES
from ..listing import fields_of
from ..mongo.connection import Connection
from ..mongo.server import Server
from .entries import block_of, scores_of
from .names import beginning
from .old_data import OldData, Scores

STATS, SCORES = "training_stats", "validation_scores"
_found: dict[tuple[Server, str, int], bool] = {}


class OldMongo(OldData):
    """Configs, stats and scores of a database; checkpoints were always files."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def are_there(self) -> bool:
        """Say whether an earlier version stored anything here; looked up once in a process."""
        key = self.connection.server, self.connection.name, os.getpid()
        if key not in _found:
            _found[key] = self._look()
        return _found[key]

    def _look(self) -> bool:
        wanted = {"name": {"$in": [*CLASSES, STATS, SCORES]}}
        try:
            with self.connection.explained("looking for data of earlier versions"):
                names = self.connection.database.list_collection_names(filter=wanted)
                found = (self.connection.collection(name).find_one({}, {"_id": 1}) for name in names)
                return any(entry is not None for entry in found)
        except NotAllowed:
            return False  # what an account may not see is not there for it

    # configs

    def names(self, collection: str, begin: str = "") -> list[str]:
        return beginning(self._distinct(collection, "name"), begin, collection)

    def rows(self, collection: str, *, whole: bool = False) -> Iterator[tuple[str, int, Document]]:
        fields = {".".join(path): 1 for path in fields_of(collection).values()}
        shown = {"_id": 0} if whole else {"_id": 0, "name": 1, "repetition": 1, **fields}
        with self.connection.explained(f"listing the {collection}"):
            for entry in self._there(collection).find({}, shown):
                if isinstance(entry.get("name"), str):
                    yield entry["name"], int(entry.get("repetition") or 0), entry

    def repetitions(self, name: str) -> list[int]:
        with self.connection.explained(f"listing the repetitions of run {name}"):
            found = self._there("runs").find({"name": {"$eq": name}}, {"repetition": 1})
            return sorted({int(entry.get("repetition") or 0) for entry in found})

    def document(self, collection: str, name: str, repetition: int = 0) -> Document | None:
        with self.connection.explained(f"reading {name} of the {collection}"):
            found = self._there(collection).find({"name": {"$eq": name}}, {"_id": 0}).sort("_id", ASCENDING)
            document: Document
            for document in found:
                if collection != "runs" or int(document.get("repetition") or 0) == repetition:
                    return document
        return None

    def remove_document(self, collection: str, name: str, repetition: int = 0) -> bool:
        condition: dict[str, Any] = {"name": {"$eq": name}}
        if collection == "runs":
            condition["repetition"] = {"$in": [repetition] if repetition else [0, None]}
        return self._remove(collection, condition)

    # stats and scores

    def logged(self, begin: str = "") -> list[str]:
        names = {*self._distinct(STATS, "run_name"), *self._distinct(SCORES, "run_name")}
        return beginning(sorted(names), begin)

    def has_log(self, name: str) -> bool:
        with self.connection.explained(f"looking for stats of run {name}"):
            return any(self._there(one).find_one(_of(name), {"_id": 1}) for one in (STATS, SCORES))

    def end(self, name: str) -> int | None:
        with self.connection.explained(f"reading the stats of run {name}"):
            newest = (self._log(one, name, {"iteration": 1}, DESCENDING, 1) for one in (STATS, SCORES))
            stats, scores = (next(iter(found), None) for found in newest)
        return max(stats["iteration"] + 1 if stats else 0, scores["iteration"] if scores else 0)

    def stats(self, name: str, *, last: bool = False) -> Block | None:
        fields = {"_id": 0, "run_name": 0}
        with self.connection.explained(f"reading the stats of run {name}"):
            order, limit = (DESCENDING, 1) if last else (ASCENDING, 0)
            return block_of(self._log(STATS, name, fields, order, limit))

    def scores(self, name: str) -> list[Scores]:
        fields = {"_id": 0, "iteration": 1, "scores": 1}
        with self.connection.explained(f"reading the scores of run {name}"):
            return scores_of(self._log(SCORES, name, fields, ASCENDING, 0))

    def remove_stats(self, name: str) -> bool:
        return self._remove(STATS, _of(name))

    def remove_scores(self, name: str) -> bool:
        return self._remove(SCORES, _of(name))

    def _there(self, collection: str) -> Any:
        return self.connection.collection(collection)

    def _distinct(self, collection: str, field: str) -> list[str]:
        with self.connection.explained(f"listing the {collection}"):
            # Answered by the index of the names, without reading any document.
            return sorted(name for name in self._there(collection).distinct(field) if isinstance(name, str))

    def _log(self, collection: str, name: str, fields: Document, order: int, limit: int) -> Any:
        return self._there(collection).find(_of(name), fields).sort("iteration", order).limit(limit)

    def _remove(self, collection: str, condition: Document) -> bool:
        there = self._there(collection)
        with self.connection.explained(f"looking into the {collection}"):
            found = there.find_one(condition, {"_id": 1}) is not None
        if found:
            self.connection.write(f"removing from {collection}", lambda: there.delete_many(condition))
        return found


def _of(name: str) -> Document:
    return {"run_name": {"$eq": name}}
