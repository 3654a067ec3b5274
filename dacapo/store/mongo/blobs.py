"""Blobs in GridFS: uploaded whole, then published by one write of the pointer to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from typing import Any

from bson import ObjectId
from bson.codec_options import CodecOptions
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from dacapo.errors import CorruptData, StoreError, StoreUnreachable

from .connection import Connection
from .records import Entry, beginning
from .schema import BLOBS, GRID

CHUNK = 2**20
# Chunks that are sent together; the driver splits what is more than a message takes, which is 48 MB.
TOGETHER = 16
TAKEN = 11000
WRONGEST_CLOCK = 24 * 3600.0  # seconds


class Blobs:
    """The blobs of a database.

    ``dacapo.blobs`` says which upload is behind a name, so what was not uploaded to its end,
    or not published, cannot be seen.  Which of two uploads is the newer one is never told by
    clocks: the pointer is the only truth.  What a killed process leaves is an upload that
    nothing points to; it takes space, and does no other harm, until ``sweep`` removes it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._is_indexed = False

    def put(self, run: str, name: str, chunks: Iterable[Any]) -> None:
        """Upload, publish, and remove the upload that was published before."""
        key = f"{run}/{name}"
        before = self._find(key)
        file, size = self._upload(run, key, chunks)
        pointer = {"run": str(run), "name": name, "file": file, "size": size}
        replaced = self.connection.write(f"publishing {key}", lambda: self._publish(key, pointer))
        earlier = {entry["file"] for entry in (before, replaced) if entry}
        self._discard(key, [one for one in earlier if one != file])

    def get(self, run: str, name: str) -> bytearray | None:
        """Return the bytes of a blob, or None if there is no such blob."""
        key = f"{run}/{name}"
        pointer = self._find(key)
        while pointer is not None:
            if (buffer := self._download(key, pointer)) is not None:
                return buffer
            file, pointer = pointer["file"], self._find(key)
            if pointer and pointer["file"] == file:
                raise CorruptData(
                    f"{key} in {self.connection.place} is damaged: chunks of its upload {file} are missing"
                )
        return None

    def names(self, run: str, prefix: str) -> list[str]:
        """Return the names of a run's blobs that begin with a text, sorted."""
        with self.connection.explained(f"listing the blobs of run {run}"):
            condition = {"_id": beginning(f"{run}/{prefix}")}
            found = self.connection.collection(BLOBS).find(condition, {"name": 1}).sort("_id")
            return [entry["name"] for entry in found]

    def remove(self, run: str, prefix: str) -> bool:
        """Remove the blobs whose names begin with a text; return False if there were none."""
        condition = {"_id": beginning(f"{run}/{prefix}")}
        pointers = self.connection.collection(BLOBS)
        with self.connection.explained(f"listing the blobs of run {run}"):
            files = [entry["file"] for entry in pointers.find(condition, {"file": 1})]
        these = condition | {"file": {"$in": files}}
        self.connection.write(f"removing blobs of run {run}", lambda: pointers.delete_many(these))
        self._discard(str(run), files)
        return bool(files)

    def sweep(self, seconds: float, *, dry_run: bool = False) -> list[str]:
        """Remove uploads that nothing points to, and return what they are; see ``StoreBackend``."""
        # When an upload began is written in its id by the clock of its host, which may be wrong.
        with self.connection.explained("looking for uploads that nothing points to"):
            now = self.connection.client.admin.command("hello")["localTime"]
            before = ObjectId.from_datetime(now - timedelta(seconds=seconds + WRONGEST_CLOCK))
            uploads: list[Entry] = [
                {"$match": {"files_id": {"$lt": before}}},
                {"$group": {"_id": "$files_id"}},
            ]
            chunks = self.connection.collection(f"{GRID}.chunks").aggregate(uploads)
            begun = {entry["_id"] for entry in chunks}
            whole = self.connection.collection(f"{GRID}.files").find({"_id": {"$lt": before}}, {"_id": 1})
            begun |= {entry["_id"] for entry in whole}
            # Afterwards, so that what is published meanwhile is among them.
            named = {entry["file"] for entry in self.connection.collection(BLOBS).find({}, {"file": 1})}
        left = sorted(begun - named)
        if not dry_run:
            self._discard("killed processes", left)
        return [f"upload {file}" for file in left]

    def _find(self, key: str) -> Entry | None:
        with self.connection.explained(f"finding {key}"):
            return self.connection.collection(BLOBS).find_one({"_id": key})

    def _publish(self, key: str, pointer: Entry) -> Entry | None:
        """Point a name to an upload, and return the pointer that was replaced."""
        before = ReturnDocument.BEFORE
        # With decoders of types the driver trips over the server's word that it is about to step down.
        plain: CodecOptions[Entry] = CodecOptions()
        pointers = self.connection.collection(BLOBS).with_options(codec_options=plain)
        try:
            found = pointers.find_one_and_replace({"_id": key}, pointer, upsert=True, return_document=before)
        except DuplicateKeyError:  # somebody else published the first one in this moment
            found = pointers.find_one_and_replace({"_id": key}, pointer, return_document=before)
        replaced: Entry | None = found
        return replaced

    def _upload(self, run: str, key: str, chunks: Iterable[Any]) -> tuple[ObjectId, int]:
        """Upload chunks, as any GridFS driver reads them; return the upload and its size in bytes.

        Each request may be repeated: what it inserts has its ``_id`` from here.  If the chunks
        fail, nothing of them stays; if the server does, it is asked for nothing more.
        """
        self._index()
        file, size, doing = ObjectId(), 0, f"uploading {key}"
        pieces, numbers = _pieces(chunks), count()
        there = self.connection.collection(f"{GRID}.chunks")
        try:
            while batch := list(islice(pieces, TOGETHER)):
                entries = [
                    {"_id": ObjectId(), "files_id": file, "n": next(numbers), "data": piece}
                    for piece in batch
                ]
                self.connection.write(doing, partial(_insert, there, entries))
                size += sum(map(len, batch))
            entry = {"_id": file, "length": size, "chunkSize": CHUNK, "uploadDate": datetime.now(UTC)}
            entry |= {"filename": key, "metadata": {"run": str(run)}}
            files = self.connection.collection(f"{GRID}.files")
            self.connection.write(doing, partial(_insert, files, [entry]))
        except StoreUnreachable:
            raise
        except BaseException:
            with suppress(StoreError):
                self._discard(key, [file])
            raise
        return file, size

    def _index(self) -> None:
        """Make sure that chunks are found by their upload, before there are any."""
        if self._is_indexed:
            return
        chunks = self.connection.collection(f"{GRID}.chunks")
        with self.connection.explained("looking at the indexes"):
            found = {tuple(index["key"]) for index in chunks.index_information().values()}
        keys = [("files_id", 1), ("n", 1)]
        if tuple(keys) not in found:
            self.connection.write("indexing", partial(chunks.create_index, keys, unique=True))
        self._is_indexed = True

    def _download(self, key: str, pointer: Entry) -> bytearray | None:
        """Return what was uploaded; None if it is not all there."""
        buffer, at = bytearray(pointer["size"]), 0
        with self.connection.explained(f"reading {key}"):
            chunks = self.connection.collection(f"{GRID}.chunks")
            found = chunks.find({"files_id": pointer["file"]}, {"_id": 0, "data": 1}).sort("n")
            for chunk in found:
                data = chunk["data"]
                buffer[at : at + len(data)] = data
                at += len(data)
        return buffer if at == len(buffer) == pointer["size"] else None

    def _discard(self, key: str, files: list[ObjectId]) -> None:
        """Remove uploads that nothing points to any more."""
        if not files:
            return
        for name, field in (("files", "_id"), ("chunks", "files_id")):
            there = self.connection.collection(f"{GRID}.{name}")
            condition = {field: {"$in": files}}
            self.connection.write(f"removing uploads of {key}", partial(there.delete_many, condition))


def _insert(there: Any, entries: list[Entry]) -> None:
    """Insert entries that are ours alone, those that an attempt of unknown outcome left out."""
    try:
        there.insert_many(entries, ordered=False)
    except BulkWriteError as error:
        refused = [one for one in error.details["writeErrors"] if one["code"] != TAKEN]
        if refused or error.details["writeConcernErrors"]:
            raise


def _pieces(chunks: Iterable[Any]) -> Iterator[bytes]:
    """Cut and join chunks to pieces of one size, the last one shorter; none is copied twice."""
    rest = bytearray()
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        begin = min(-len(rest) % CHUNK, len(view))
        rest += view[:begin]
        if len(rest) == CHUNK:
            yield bytes(rest)
            rest.clear()
        end = begin + (len(view) - begin) // CHUNK * CHUNK
        for at in range(begin, end, CHUNK):
            yield bytes(view[at : at + CHUNK])
        rest += view[end:]
    if rest:
        yield bytes(rest)
