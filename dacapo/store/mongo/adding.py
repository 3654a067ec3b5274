"""Documents added in one request: by it the server looks for their names and those that are alike.

An entry that is added so says in ``ALONE`` what its name is folded to, and a unique index keeps two of
the same moment apart.  Entries that were stored in another way lack the field, and are seen all the same:
nothing is added where one is found by its folded name, or where one of earlier versions has none.
"""

from __future__ import annotations

from typing import Any

from pymongo.errors import DuplicateKeyError

from dacapo.errors import NotAllowed

from .connection import Connection
from .finding import FOLDED
from .records import Entry

ALONE = "alone"


def is_guarded(connection: Connection, name: str) -> bool:
    """Say whether the unique index is there; databases that were prepared earlier have none."""
    try:
        with connection.explained("looking at the indexes"):
            indexes = connection.collection(name).index_information().values()
    except NotAllowed:
        return False
    return any(index["key"] == [(ALONE, 1)] and index.get("unique") for index in indexes)


def add(connection: Connection, name: str, entry: Entry) -> bool:
    """Insert an entry unless something is in its way; by its token one knows its own again."""
    there = connection.collection(name)
    alike = {FOLDED: {"$in": [entry[FOLDED], None]}}
    new = {"$setOnInsert": entry | {ALONE: entry[FOLDED]}}

    def insert() -> bool:
        try:
            if there.update_one(alike, new, upsert=True).upserted_id is not None:
                return True
        except DuplicateKeyError:
            pass
        mine: dict[str, Any] = {"_id": entry["_id"], "token": entry["token"]}
        return there.find_one(mine, {"_id": 1}) is not None

    return connection.write(f"storing {entry['_id']}", insert)
