"""Where the datasets of a zarr or N5 container lie, and what its JSON files say about them.

Read directly, because that needs no zarr library and is the same for every format.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import attrs
import tensorstore as ts

from dacapo.errors import InvalidArray, MissingData, did_you_mean

from .fsspec_keys import FsspecKeys

JSON = dict[str, Any]

DRIVERS = {".zarray": "zarr", "zarr.json": "zarr3", "attributes.json": "n5"}


def location(container: Path | str, dataset: str = "") -> str:
    """Return where a dataset lies: a path, or a URL even where ``Path`` has taken slashes from it."""
    place = str(container).rstrip("/")
    scheme, colon, rest = place.partition(":/")
    if colon and "/" not in scheme and not rest.startswith("/"):
        # Folders of this machine have no host; all else that has lost its slashes had one.
        place = f"{scheme}:///{rest}" if scheme in ("file", "local") else f"{scheme}://{rest}"
    inside = "/".join(part for part in dataset.split("/") if part not in ("", "."))
    return f"{place}/{inside}" if inside else place


# Looked at again when a dataset is opened: doing so at every read takes half of the reading rate.
RECHECK = {"recheck_cached_data": "open", "recheck_cached_metadata": "open"}


READ_CACHE_BYTES = 512 * 1024**2


@cache
def shared_context() -> Any:
    """Return the one tensorstore context of this process.

    Sharing it bounds the memory for decoded chunks and the number of threads, however many
    arrays are open, and lets readers see at once what the same process wrote.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ts.Context(
        {
            "cache_pool": {"total_bytes_limit": READ_CACHE_BYTES},
            "data_copy_concurrency": {"limit": cores},
            "file_io_concurrency": {"limit": max(4, cores)},
        }
    )


def kvstore(place: str) -> Any:
    """Return what tensorstore calls the store of a path or URL."""
    return f"{place}/" if "://" in place else {"driver": "file", "path": f"{os.path.abspath(place)}/"}


def by_fsspec(place: str) -> bool:
    """Say whether a place is a URL that tensorstore does not know."""
    scheme, url, _ = place.partition("://")
    return bool(url) and scheme not in ("s3", "gs", "memory", "file", "http", "https")


class TensorstoreKeys:
    """Reads and writes whole objects below a path, or a URL that tensorstore knows."""

    def __init__(self, place: str) -> None:
        self._store = ts.KvStore.open(kvstore(place), context=shared_context()).result()

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        found = self._store.read(name).result()
        content: bytes | None = found.value if found.state == "value" else None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Store an object in place of what is there."""
        self._store.write(name, content).result()

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return [key.decode() for key in self._store.list().result()]

    def clear(self) -> None:
        """Remove all objects."""
        self._store.delete_range(ts.KvStore.KeyRange()).result()


def keys(place: str) -> TensorstoreKeys | FsspecKeys:
    """Open what is stored under a path or URL."""
    return FsspecKeys(place) if by_fsspec(place) else TensorstoreKeys(place)


def read_json(place: str, name: str) -> JSON | None:
    """Return the content of a JSON file in a folder or under a URL; None if there is none."""
    try:
        found = keys(place).read(name)
    except ValueError as error:
        # Such as a path through something that is a file.
        if Path(place).exists() or "://" in place:
            raise InvalidArray(f"{place}/{name} cannot be read: {error}") from error
        return None
    if found is None:
        return None
    try:
        content: JSON = json.loads(found)
    except ValueError as error:
        raise InvalidArray(f"{place}/{name} is not valid JSON ({error}); write it again") from error
    return content


@attrs.frozen
class Node:
    """One dataset: the driver that reads it, its shape, and its attributes."""

    place: str
    driver: str
    shape: tuple[int, ...]
    attributes: JSON


def find_array(place: str) -> Node | None:
    """Return the dataset at a place; None if there is nothing, or a group."""
    for name, driver in DRIVERS.items():
        metadata = read_json(place, name)
        if metadata is None:
            continue
        shape = metadata.get("dimensions" if driver == "n5" else "shape")
        if shape is None:
            return None
        if driver == "zarr":
            return Node(place, driver, tuple(shape), read_json(place, ".zattrs") or {})
        if driver == "zarr3":
            named = metadata.get("dimension_names") or []
            default = {"axis_names": named} if named and None not in named else {}
            return Node(place, driver, tuple(shape), {**default, **(metadata.get("attributes") or {})})
        # N5 counts its axes the other way round: x first.
        return Node(place, driver, tuple(shape)[::-1], metadata)
    return None


def is_there(container: Path | str, dataset: str) -> bool:
    """Say whether anything would be in the way of a new dataset."""
    place = location(container, dataset)
    return find_array(place) is not None if "://" in place else Path(place).exists()


def group_attributes(place: str) -> JSON:
    """Return the attributes of a zarr group; empty if it has none."""
    modern = read_json(place, "zarr.json")
    return (modern.get("attributes") if modern else read_json(place, ".zattrs")) or {}


def missing(container: Path | str, dataset: str) -> NoReturn:
    """Raise ``MissingData`` for a dataset, naming what lies near it."""
    place = location(container, dataset)
    if "://" in place:
        raise MissingData(f"there is no zarr or N5 dataset at {place}; check container and dataset")
    root = Path(location(container))
    if not root.is_dir():
        near = next((folder for folder in root.parents if folder.is_dir()), Path("/"))
        names = sorted(entry.name for entry in near.iterdir())
        raise MissingData(f"there is no container {root}{_nearby(root.name, names, str(near))}")
    names = datasets(root)
    raise MissingData(f"there is no dataset {dataset!r} in {root}{_nearby(dataset, names, str(root))}")


def _nearby(name: str, names: list[str], where: str) -> str:
    """Suggest names like the one asked for, or say what there is."""
    if meant := did_you_mean(name, names, most=3, cutoff=0.5):
        return f"; {meant}"
    if names:
        return f"; {where} holds {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
    return f"; {where} holds nothing of the kind"


def datasets(root: Path, limit: int = 200) -> list[str]:
    """Return the names of the datasets in a local container, at most ``limit``."""
    found: list[str] = []
    groups = [root]
    while groups and len(found) < limit:
        group = groups.pop(0)
        for entry in sorted(group.iterdir()):
            if not entry.is_dir() or entry.name.startswith("."):
                continue
            if find_array(str(entry)) is not None:
                found.append(str(entry.relative_to(root)))
            else:
                groups.append(entry)
    return found
