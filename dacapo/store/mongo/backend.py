"""Experiments kept in a MongoDB database, for a whole lab.

dacapo.documents.<collection>   one document an entry
dacapo.epochs                   the epochs of runs, and where they begin
dacapo.stats                    an entry an append: columns packed as little-endian float64
dacapo.scores                   an entry an iteration and dataset, labelled
dacapo.leases                   who holds or held runs, an entry a claim
dacapo.blobs                    which upload in GridFS (dacapo.weights) is behind a name
dacapo.queue                    an entry a run that was ever queued: its history, and its place
dacapo.meta                     the format

The ``_id`` of each is its key: the database itself makes sure that it is given once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from dacapo.documents import Document
from dacapo.errors import InvalidOptions, StoreError
from dacapo.store.backend import Block, Claim, Epoch, ScoresRecord, StoreBackend, Tail
from dacapo.store.listing import Found, Query
from dacapo.store.previews import Outline
from dacapo.store.standings import Standing
from dacapo.store.twins import NAMED

from . import comparing, finding, merging, moving, progress, records, roles, schema
from .blobs import Blobs
from .claims import Claims
from .connection import Connection
from .queue import MongoQueue
from .records import Entry, beginning
from .server import Server

if TYPE_CHECKING:
    from dacapo.options import DaCapoConfig
    from dacapo.store.legacy.old_data import OldData

logger = logging.getLogger(__name__)

_opened: dict[tuple[Server, str], int] = {}


class MongoBackend(MongoQueue, StoreBackend):
    """Keeps everything in one database of a server or replica set.

    The first opening in a process says what was found, and prepares a new database if the
    account may.  Raises ``StoreUnreachable`` if there is no answer in time, ``InvalidOptions``
    for what is no URI or no name of a database, ``NewerFormat`` if a newer DaCapo made it, and
    ``StoreError`` if the server does not let this account do what is asked.

    It holds no connection, so it may be pickled, and used in forked and spawned processes: each
    makes a client of its own when it first needs one.
    """

    usual_weights = "files"
    keeps_time = True

    def __init__(self, server: Server | str, name: str) -> None:
        self._connection = Connection(server, name)
        self._blobs = Blobs(self._connection)
        self._claims = Claims(self._connection)
        if _opened.get(opened := (self._connection.server, name)) != os.getpid():
            logger.info("%s", schema.describe(self._connection))
            schema.prepare_if_allowed(self._connection)
            _opened[opened] = os.getpid()

    @classmethod
    def from_options(cls, options: DaCapoConfig) -> Self:
        """Open the database ``mongo_db_name`` on the server ``mongo_db_host``."""
        for key in ("mongo_db_host", "mongo_db_name"):
            if not getattr(options, key):
                raise InvalidOptions(
                    f"a store in MongoDB needs the option {key}, and it is not set; add it to dacapo.yaml "
                    f"or set DACAPO_{key.upper()}"
                )
        return cls(Server.from_options(options), str(options.mongo_db_name))

    @property
    def place(self) -> str:
        return self._connection.place

    def prepare(self) -> list[str]:
        return schema.prepare(self._connection)

    def make_roles(self) -> list[str]:
        """Make the roles for people, or bring them up to date; return what each is for."""
        return roles.create(self._connection)

    def old_data(self, *, weights_only: bool = False) -> OldData | None:
        # Imported here: it imports the stores.
        from dacapo.store.legacy.mongo import OldMongo

        old = OldMongo(self._connection)
        return old if old.are_there() else None

    # documents

    def put(self, collection: str, key: str, document: Document, *, replace: bool = False) -> bool:
        name = schema.collection_of(collection)
        entry = records.write_document(key, document) | finding.listed(collection, document)
        entry |= finding.named(collection, key)
        if not replace:
            return self._connection.create(name, entry)
        there = self._connection.collection(name)

        def put() -> None:
            try:
                there.replace_one({"_id": entry["_id"]}, entry, upsert=True)
            except DuplicateKeyError:  # somebody else stored the first one in this moment
                there.replace_one({"_id": entry["_id"]}, entry, upsert=True)

        self._connection.write(f"storing {key} among the {collection}", put)
        return True

    def get(self, collection: str, key: str) -> Document | None:
        with self._connection.explained(f"reading {key} of the {collection}"):
            entry = self._documents(collection).find_one({"_id": str(key)})
        return None if entry is None else records.read_document(entry)

    def keys(self, collection: str, prefix: str = "") -> list[str]:
        with self._connection.explained(f"listing the {collection}"):
            found = self._documents(collection).find({"_id": beginning(prefix)}, {"_id": 1}).sort("_id")
            return [entry["_id"] for entry in found]

    def find(self, collection: str, query: Query, fields: Sequence[str] = ()) -> Found:
        query.check(collection, fields)
        return finding.find(self._connection, schema.collection_of(collection), collection, query, fields)

    def twins(self, collection: str, key: str) -> list[str]:
        if collection not in NAMED:
            return super().twins(collection, key)
        return finding.twins(self._connection, schema.collection_of(collection), key)

    def remove(self, collection: str, key: str) -> bool:
        """Remove the document that is found, and not one that replaces it in this moment."""
        there, doing = self._documents(collection), f"removing {key} of the {collection}"
        while True:
            with self._connection.explained(doing):
                entry = there.find_one({"_id": str(key)}, {"token": 1})
            if entry is None:
                return False
            attempts: list[int] = []

            def delete(attempts: list[int] = attempts, entry: Entry = entry) -> None:
                attempts.append(0)
                attempts.append(there.delete_one(entry).deleted_count)

            self._connection.write(doing, delete)
            # After an attempt of unknown outcome, that it is gone means that it was this one's doing.
            if attempts[-1] or len(attempts) > 2:
                return True

    def publish(self, collection: str, key: str, document: Document, epoch: int) -> bool:
        """Replace under the condition that what is there is of no later epoch: one write."""
        entry = records.write_document(key, document) | {"epoch": epoch}
        there = self._documents(collection)
        earlier = {"_id": entry["_id"], "$or": [{"epoch": None}, {"epoch": {"$lte": epoch}}]}

        def publish() -> bool:
            for _ in range(2):  # the first one may be stored by somebody else in this moment
                try:
                    there.replace_one(earlier, entry, upsert=True)
                    return True
                except DuplicateKeyError:
                    continue
            return False

        return self._connection.write(f"publishing {key} among the {collection}", publish)

    def _documents(self, collection: str) -> Any:
        return self._connection.collection(schema.collection_of(collection))

    # claims

    def claim(self, run: str, claim: Claim, over: Claim | None = None) -> bool:
        return self._claims.claim(run, claim, over)

    def newest_claim(self, run: str) -> Claim | None:
        return self._claims.newest(run)

    def renew_claim(self, run: str, number: int) -> bool:
        return self._claims.renew(run, number)

    def release_claim(self, run: str, number: int) -> None:
        self._claims.release(run, number)

    def open_claims(self, prefix: str = "") -> dict[str, Claim]:
        return self._claims.open(prefix)

    # logs

    def epochs(self, run: str) -> list[Epoch]:
        with self._connection.explained(f"reading the epochs of run {run}"):
            return [records.read_epoch(entry) for entry in self._log(schema.EPOCHS, run).sort("_id")]

    def newest_epoch(self, run: str) -> int | None:
        with self._connection.explained(f"reading the epochs of run {run}"):
            entry = self._newest(schema.EPOCHS, run)
        return None if entry is None else records.read_epoch(entry).number

    def newest_epochs(self, runs: Sequence[str]) -> dict[str, int]:
        return progress.newest_epochs(self._connection, runs)

    def add_epoch(self, run: str, epoch: Epoch) -> bool:
        return self._connection.create(schema.EPOCHS, records.write_epoch(run, epoch))

    def append_block(self, run: str, epoch: int, block: Block) -> None:
        """Insert the block under its sequence: one write, and no lock.

        That the sequence before it is there is looked up by key, so that there is never a gap.
        """
        entry = records.write_block(run, epoch, block)
        there = self._connection.collection(schema.STATS)

        def append() -> None:
            if block.begin and not self._has(run, epoch, block.begin - 1):
                self._refuse(run, epoch, block)
            if block.span > 1 and merging.is_begun(self._connection, run, epoch, block):
                self._refuse(run, epoch, block)
            try:
                there.insert_one(entry)
            except DuplicateKeyError:
                if self._newest(schema.STATS, records.epoch_key(run, epoch)) != entry:
                    self._refuse(run, epoch, block)

        self._connection.write(f"appending to the stats of run {run}", append)

    def _has(self, run: str, epoch: int, sequence: int) -> bool:
        """Say whether a block is there; answered by the index of keys alone."""
        key = records.log_key(run, epoch, sequence)
        return self._connection.collection(schema.STATS).find_one({"_id": key}, {"_id": 1}) is not None

    def _refuse(self, run: str, epoch: int, block: Block) -> None:
        """Say that somebody else writes too."""
        raise StoreError(
            f"the stats of run {run} in {self.place} were written by another process meanwhile: block "
            f"{block.sequence} of epoch {epoch} is not the one to come; make sure that only one process "
            "trains a run"
        )

    def tail(self, run: str, epoch: int) -> Tail:
        with self._connection.explained(f"reading the stats of run {run}"):
            entry = self._newest(schema.STATS, records.epoch_key(run, epoch))
        return Tail() if entry is None else Tail(records.read_block(entry), entry["sequence"] + 1)

    def last_iterations(self, runs: Sequence[str]) -> dict[str, int | None]:
        return progress.last_iterations(self._connection, runs)

    def blocks(self, run: str, epoch: int, begin: int = 0, end: int | None = None) -> list[Block]:
        return merging.read(self._connection, run, epoch, begin, end)

    def outlines(self, run: str, epoch: int, metric: str | None = None) -> list[Outline | Block]:
        found = merging.read_outlines(self._connection, run, epoch, metric)
        return super().outlines(run, epoch, metric) if found is None else found

    def merge_blocks(self, run: str, epoch: int, merged: list[Block]) -> bool:
        return all(merging.merge(self._connection, run, epoch, block) for block in merged)

    def append_scores(self, run: str, epoch: int, record: ScoresRecord) -> None:
        """Insert the scores behind the newest; if somebody was quicker, behind theirs."""
        key, token = records.epoch_key(run, epoch), records.token()
        while True:
            with self._connection.explained(f"reading the scores of run {run}"):
                newest = self._newest(schema.SCORES, key, {"sequence": 1})
            sequence = newest["sequence"] + 1 if newest else 0
            entry = records.write_scores(run, epoch, sequence, record)
            if self._connection.create(schema.SCORES, entry | {"token": token}):
                return

    def scores(self, run: str, epoch: int) -> list[ScoresRecord]:
        with self._connection.explained(f"reading the scores of run {run}"):
            found = self._log(schema.SCORES, records.epoch_key(run, epoch)).sort("_id")
            return [records.read_scores(entry) for entry in found]

    def remove_stats(self, run: str) -> bool:
        return self._remove_logs(run, schema.STATS)

    def remove_scores(self, run: str) -> bool:
        return self._remove_logs(run, schema.SCORES)

    def logged_runs(self, prefix: str = "") -> list[str]:
        return self._runs(schema.EPOCHS, prefix)

    def _log(self, collection: str, key: str, fields: Entry | None = None) -> Any:
        """Begin a query for what lies below a key."""
        return self._connection.collection(collection).find({"_id": beginning(f"{key}/")}, fields)

    def _newest(self, collection: str, key: str, fields: Entry | None = None) -> Entry | None:
        """Return the last entry below a key, reading no other."""
        return next(self._log(collection, key, fields).sort("_id", DESCENDING).limit(1), None)

    def _runs(self, collection: str, prefix: str) -> list[str]:
        """Return the runs in a collection, sorted."""
        stages: list[Entry] = [{"$match": {"_id": beginning(prefix)}}, {"$group": {"_id": "$run"}}]
        with self._connection.explained(f"listing the runs of {collection}"):
            return sorted(entry["_id"] for entry in self._connection.collection(collection).aggregate(stages))

    def _remove_logs(self, run: str, collection: str) -> bool:
        """Remove one sort of a run's logs, and with the last of them its epochs too."""
        with self._connection.explained(f"reading the logs of run {run}"):
            removed = self._newest(collection, run, {"_id": 1}) is not None
        self._remove_all(run, collection)
        with self._connection.explained(f"reading the logs of run {run}"):
            left = [self._newest(one, run, {"_id": 1}) for one in (schema.STATS, schema.SCORES)]
        if left == [None, None]:
            self._remove_all(run, schema.EPOCHS)
        return removed

    def _remove_all(self, run: str, collection: str) -> None:
        there, condition = self._connection.collection(collection), {"_id": beginning(f"{run}/")}
        self._connection.write(
            f"removing the {collection.rpartition('.')[2]} of run {run}", lambda: there.delete_many(condition)
        )

    # standings

    def rank(
        self, run: str, epoch: int, standings: Sequence[Standing], changed: Sequence[Standing] | None = None
    ) -> bool:
        return comparing.rank(self._connection, run, epoch, standings, changed)

    def unrank(self, run: str) -> bool:
        return comparing.unrank(self._connection, run)

    def standings(self, run: str) -> list[Standing]:
        return comparing.of_run(self._connection, run)

    def ranked_runs(self) -> list[str]:
        return comparing.ranked_runs(self._connection)

    def rated(self, criterion: str | None = None) -> list[str]:
        return comparing.rated(self._connection, criterion)

    def ranked(
        self,
        criteria: Collection[str],
        dataset: str | None,
        count: int,
        among: Collection[str] | None = None,
    ) -> list[Standing]:
        return comparing.ranked(self._connection, criteria, dataset, count, among)

    # logs and blobs together

    def move_run(self, run: str, new: str) -> None:
        moving.move_run(self._connection, run, new)

    # blobs

    def put_blob(self, run: str, name: str, chunks: Iterable[Any]) -> None:
        self._blobs.put(run, name, chunks)

    def get_blob(self, run: str, name: str, *, mapped: bool = False) -> Any:
        return self._blobs.get(run, name)

    def blobs(self, run: str, prefix: str = "") -> list[str]:
        return self._blobs.names(run, prefix)

    def remove_blobs(self, run: str, prefix: str = "") -> bool:
        return self._blobs.remove(run, prefix)

    def sweep(self, seconds: float, *, dry_run: bool = False) -> list[str]:
        return self._blobs.sweep(seconds, dry_run=dry_run)

    def blob_runs(self, prefix: str = "") -> list[str]:
        return self._runs(schema.BLOBS, prefix)
