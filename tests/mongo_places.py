"""Databases for tests, each forgotten at the end of its test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pymongo


@attrs.frozen
class MongoPlace:
    """A database that nobody else uses."""

    uri: str
    name: str

    @property
    def options(self) -> dict[str, str]:
        """What the options should say to use it."""
        return {"type": "mongo", "mongo_db_host": self.uri, "mongo_db_name": self.name}


@contextmanager
def fresh_place(uri: str) -> Iterator[MongoPlace]:
    """Yield a new database of a server, and drop it afterwards."""
    place = MongoPlace(uri, f"dacapo_test_{secrets.token_hex(6)}")
    yield place
    with pymongo.MongoClient(uri) as client:
        client.drop_database(place.name)


def empty(place: MongoPlace) -> None:
    """Take everything out of a database but what ``prepare`` put there."""
    with pymongo.MongoClient(place.uri) as client:
        database = client[place.name]
        for name in database.list_collection_names():
            if name != "dacapo.meta":
                database[name].delete_many({})
