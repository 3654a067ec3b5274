"""The way to a MongoDB server: one client per process and URI, what writes wait for, errors in our words.

Every write is acknowledged by a majority of the servers, each from its journal, whatever the
URI says: without that a server that is killed loses what it had acknowledged.  Nothing waits
without end.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.errors import BSONError
from bson.int64 import Int64
from pymongo import errors
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from dacapo.errors import InvalidOptions

from .refusals import is_unknown, translated
from .server import Client, Server

logger = logging.getLogger(__name__)

ATTEMPTS = 3
Answer = TypeVar("Answer")

_clients: dict[Server, Client] = {}
# Made once: making one takes as long as sending it a small document.  By server, which says who asks: to the
# driver clients of one server are equal, whoever is logged in.
_handles: dict[tuple[Server, str, str, bool], Collection[dict[str, Any]]] = {}
_making = threading.Lock()  # two threads make one client
_inherited: list[Client] = []  # of the process that this one was forked from: neither used nor closed


class _PlainInteger(TypeDecoder):
    """Whole numbers of 64 bits come back as the type that they went in with."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


_HANDLES: dict[str, Any] = {
    "codec_options": CodecOptions(type_registry=TypeRegistry([_PlainInteger()])),
    "write_concern": WriteConcern("majority", j=True),
    "read_concern": ReadConcern("majority"),
    "read_preference": ReadPreference.PRIMARY,
}


class Connection:
    """One database on a server; holds no socket, so it may be copied to other processes."""

    def __init__(self, server: Server | str, name: str) -> None:
        self.server, self.name = Server(server) if isinstance(server, str) else server, name
        hosts = re.sub(r"^[^:]+://|[/?].*$|[^/?]*@", "", self.server.uri)
        self.place = f"the MongoDB database {name} on {hosts}"

    @property
    def client(self) -> Client:
        """This process's client of the server."""
        found = _clients.get(self.server)
        if found is not None:
            return found
        with _making:
            if self.server not in _clients:
                _clients[self.server] = self.server.connect()
            return _clients[self.server]

    @property
    def database(self) -> Database[dict[str, Any]]:
        """The database; writes through it are acknowledged by a majority, from their journals."""
        try:
            return self.client.get_database(self.name, **_HANDLES)
        except errors.InvalidName as error:
            raise InvalidOptions(f"mongo_db_name = {self.name!r}: {error}") from error

    def collection(self, name: str, *, plain: bool = False) -> Collection[dict[str, Any]]:
        """A collection; writes to it are acknowledged by a majority, from their journals.

        ``plain`` leaves numbers as the driver reads them: with decoders of types it trips over the
        server's word, in its answer to a claim, that it is about to step down.
        """
        key = self.server, self.name, name, plain
        if (found := _handles.get(key)) is None:
            codec: dict[str, Any] = {"codec_options": CodecOptions()} if plain else {}
            found = _handles[key] = self.database.get_collection(name, **_HANDLES | codec)
        return found

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn what the driver or the server refuses into an error that says what to do."""
        try:
            yield
        except (errors.PyMongoError, BSONError, OverflowError) as error:
            raise translated(error, f"{doing} in {self.place} failed") from error

    def write(self, doing: str, action: Callable[[], Answer]) -> Answer:
        """Do something that may be done again: an unknown outcome is resolved by doing so.

        The driver itself repeats single writes on replica sets only, and never on a server that
        stands alone.  All attempts together take no longer than the time-out.
        """
        with self.explained(doing), pymongo.timeout(self.client.options.timeout):
            for _ in range(ATTEMPTS - 1):
                try:
                    return action()
                except errors.PyMongoError as error:
                    if not is_unknown(error):
                        raise
                    logger.info("%s: the answer is unknown; trying again", doing)
            return action()

    def create(self, collection: str, entry: dict[str, Any]) -> bool:
        """Insert an entry, once; return False if there is another of its ``_id``.

        Its ``token``, which no other has, tells whether an attempt of unknown outcome was done.
        """
        there = self.collection(collection)

        def insert() -> bool:
            try:
                there.insert_one(entry)
            except errors.DuplicateKeyError:
                mine = {"_id": entry["_id"], "token": entry["token"]}
                return there.find_one(mine, {"_id": 1}) is not None
            return True

        return self.write(f"storing {entry['_id']}", insert)


def close_all() -> None:
    """Close the clients of this process; they are made again when they are needed."""
    _handles.clear()
    while _clients:
        _clients.popitem()[1].close()


def _forget() -> None:
    """Leave the parent's clients alone in a forked process: sockets cannot be shared, nor locks."""
    global _making
    _making = threading.Lock()
    _inherited.extend(_clients.values())
    _handles.clear()
    _clients.clear()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget)
