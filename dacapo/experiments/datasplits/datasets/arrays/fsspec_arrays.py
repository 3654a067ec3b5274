"""Datasets under URLs that tensorstore does not know: fsspec moves the chunks, tensorstore codes them.

So what is written is what tensorstore would have written, in any format that it has.
"""

from __future__ import annotations

import json
from typing import Any

import tensorstore as ts

from .fsspec_keys import FsspecKeys
from .zarr_container import DRIVERS, JSON

_NAMES = {driver: name for name, driver in DRIVERS.items()}


def create_chunked(spec: JSON, place: str) -> Any:
    """Make a dataset from what tensorstore would make it from, and open it for writing."""
    memory = {"driver": "memory", "path": ""}
    context = _memory()
    ts.open({**spec, "kvstore": memory}, create=True, context=context).result()
    name = _NAMES[spec["driver"]]
    metadata = ts.KvStore.open(memory, context=context).result().read(name).result().value
    FsspecKeys(place).write(name, metadata)
    return open_chunked(spec["driver"], place, writable=True)


def open_chunked(driver: str, place: str, writable: bool) -> Any:
    """Open a dataset as tensorstore shows it; nothing is cached, and every chunk is moved whole.

    Who writes parts of a chunk reads it before: two processes should not write to one chunk at once.
    Raises ``ValueError`` for metadata that tensorstore cannot read.
    """
    chunks = _Chunks(driver, FsspecKeys(place))
    _, like = chunks.staged()
    return ts.virtual_chunked(
        chunks.read,
        chunks.write if writable else None,
        dtype=like.dtype,
        shape=like.shape,
        chunk_layout=ts.ChunkLayout(chunk_shape=chunks.shape, grid_origin=(0,) * like.rank),
    )


def _memory() -> Any:
    """Return a context of its own memory, and of its own thread: those that all share may all wait for it."""
    return ts.Context({"data_copy_concurrency": {"limit": 1}})


class _Chunks:
    """Reads and writes single chunks of a dataset by way of a dataset in memory that holds nothing else."""

    def __init__(self, driver: str, keys: FsspecKeys) -> None:
        self.driver = driver
        self.keys = keys
        self.metadata = keys.read(_NAMES[driver]) or b""
        self.shape = self.staged()[1].chunk_layout.write_chunk.shape
        self.separator, self.first = _key_encoding(driver, json.loads(self.metadata))

    def staged(self, key: str = "", content: bytes | None = None) -> tuple[Any, Any]:
        """Return what is stored in memory, and the dataset that it is."""
        context = _memory()
        memory = ts.KvStore.open("memory://", context=context).result()
        memory.write(_NAMES[self.driver], self.metadata).result()
        if content is not None:
            memory.write(key, content).result()
        spec = {"driver": self.driver, "kvstore": "memory://"}
        return memory, ts.open(spec, open=True, context=context).result()

    def read(self, domain: Any, chunk: Any, _: Any) -> None:
        key = self._key(domain)
        _, array = self.staged(key, self.keys.read(key))
        chunk[...] = array[domain].read().result()

    def write(self, domain: Any, chunk: Any, _: Any) -> None:
        key = self._key(domain)
        memory, array = self.staged()
        array[domain].write(chunk).result()
        found = memory.read(key).result()
        # A chunk of nothing but the fill value is not kept.
        self.keys.write(key, found.value if found.state == "value" else None)

    def _key(self, domain: Any) -> str:
        cell = (str(begin // size) for begin, size in zip(domain.origin, self.shape, strict=True))
        return self.separator.join([*self.first, *cell])


def _key_encoding(driver: str, metadata: JSON) -> tuple[str, list[str]]:
    """Return the separator of the keys of chunks, and what they begin with."""
    if driver == "n5":
        return "/", []
    if driver == "zarr":
        return metadata.get("dimension_separator") or ".", []
    encoding = metadata["chunk_key_encoding"]
    plain = encoding["name"] == "v2"
    separator = encoding.get("configuration", {}).get("separator", "." if plain else "/")
    return separator, [] if plain else ["c"]
