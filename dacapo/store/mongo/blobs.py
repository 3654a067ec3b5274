"""Blobs in GridFS: uploaded whole, then published by one write of the pointer to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from bson import ObjectId
from gridfs import GridFSBucket
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from dacapo.errors import CorruptData

from .connection import Connection
from .records import Entry, beginning
from .schema import BLOBS, GRID

CHUNK = 2**20


class Blobs:
    """The blobs of a database.

    ``dacapo.blobs`` says which upload is behind a name, so what was not uploaded to its end,
    or not published, cannot be seen.  Which of two uploads is the newer one is never told by
    clocks: the pointer is the only truth.  What a killed process leaves is an upload that
    nothing points to; it takes space, and does no other harm.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

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

    def _find(self, key: str) -> Entry | None:
        with self.connection.explained(f"finding {key}"):
            return self.connection.collection(BLOBS).find_one({"_id": key})

    def _publish(self, key: str, pointer: Entry) -> Entry | None:
        """Point a name to an upload, and return the pointer that was replaced."""
        before = ReturnDocument.BEFORE
        pointers = self.connection.collection(BLOBS)
        try:
            found = pointers.find_one_and_replace({"_id": key}, pointer, upsert=True, return_document=before)
        except DuplicateKeyError:  # somebody else published the first one in this moment
            found = pointers.find_one_and_replace({"_id": key}, pointer, return_document=before)
        replaced: Entry | None = found
        return replaced

    def _upload(self, run: str, key: str, chunks: Iterable[Any]) -> tuple[ObjectId, int]:
        """Upload chunks; if they or the server fail, nothing of them stays that can be removed."""
        bucket = GridFSBucket(self.connection.database, GRID, CHUNK)
        size = 0
        with self.connection.explained(f"uploading {key}"):
            with bucket.open_upload_stream(key, metadata={"run": str(run)}) as stream:
                for piece in _pieces(chunks):
                    stream.write(piece)
                    size += len(piece)
            return stream._id, size

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


def _pieces(chunks: Iterable[Any]) -> Iterator[bytes]:
    """Cut chunks, so that a large one is never copied whole."""
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        for begin in range(0, len(view), CHUNK):
            yield bytes(view[begin : begin + CHUNK])
