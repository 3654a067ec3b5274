"""What is written to disk when a zarr dataset is made: groups, attributes, chunks, compression."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dacapo.errors import DuplicateNameError, InvalidRequest, StoreError

from .array import Array
from .zarr_container import JSON, RECHECK, find_array, keys, kvstore, location, read_json

_METADATA = (".zarray", ".zgroup", "zarr.json", "attributes.json")


def place_for_new(container: Path | str, dataset: str) -> tuple[str, str]:
    """Return where a container and a dataset in it lie, paths absolute; refuse what is outside."""
    root, place = location(container), location(container, dataset)
    if "://" in root:
        if place.startswith(("http://", "https://")):
            raise InvalidRequest(f"{place}: web servers are only read from; write to a disk, s3:// or gs://")
        outside = ".." in dataset.split("/")
    else:
        root, place = os.path.abspath(root), os.path.abspath(place)
        outside = not Path(place).is_relative_to(root)
    if outside:
        raise InvalidRequest(f"the dataset {dataset!r} would lie outside its container {root}")
    return root, place


def make_room(place: str, overwrite: bool) -> None:
    """Take away the dataset at a place if that is wanted; refuse whatever else is there."""
    if _is_free(place):
        return
    if find_array(place) is None:
        raise DuplicateNameError(
            f"{place} is there already and is no dataset but a group or something else; choose another name"
        )
    if not overwrite:
        raise DuplicateNameError(
            f"there is a dataset at {place} already; choose another name, or pass overwrite=True to lose it"
        )
    remove(place)


def _is_free(place: str) -> bool:
    """Say whether nothing is in the way: no dataset, no group, and on a disk no file at all."""
    if "://" in place:
        return all(read_json(place, name) is None for name in _METADATA)
    folder = Path(place)
    return not folder.exists() or not any(folder.iterdir() if folder.is_dir() else [folder])


def remove(place: str) -> None:
    """Remove a folder, or all that is stored under a URL."""
    if "://" not in place:
        shutil.rmtree(place)
        return
    with reached(place):
        keys(place).clear()


def make_groups(root: str, place: str, zarr_format: int) -> None:
    """Make the container, and all between it and a dataset, groups that zarr can open."""
    if place == root:
        return
    inside = place.removeprefix(f"{root}/").split("/")[:-1]
    for depth in range(len(inside) + 1):
        group = "/".join([root, *inside[:depth]])
        if any(read_json(group, name) is not None for name in _METADATA):
            continue
        if zarr_format == 2:
            write_json(group, ".zgroup", {"zarr_format": 2})
        else:
            write_json(group, "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})


def write_json(place: str, name: str, content: JSON) -> None:
    """Write a JSON file so that readers see all of it or nothing."""
    text = json.dumps(content, indent=2)
    if "://" in place:
        with reached(place):
            keys(place).write(name, text.encode())
        return
    path = Path(place, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(text)
    os.replace(draft, path)


@contextmanager
def reached(place: str) -> Iterator[None]:
    """Turn what a remote store refuses into an error that names the place."""
    try:
        yield
    except ValueError as error:
        raise StoreError(
            f"{place} cannot be written to: {str(error)[:300]}; check the URL and your credentials"
        ) from error


def geometry_attributes(array: Array) -> JSON:
    """Return the attributes that say where an array lies."""
    return {
        "offset": list(array.offset),
        "voxel_size": list(array.voxel_size),
        "axis_names": array.axis_names,
        "units": array.units,
    }


def describe_new(array: Array, chunks: list[int], zarr_format: int) -> JSON:
    """Return what tensorstore needs to make a dataset; compressed by zstd, bytes shuffled."""
    blosc: dict[str, Any] = {"cname": "zstd", "clevel": 1, "blocksize": 0}
    wide = array.dtype.itemsize > 1
    if zarr_format == 2:
        return {
            "driver": "zarr",
            "kvstore": kvstore(array.name),
            **RECHECK,
            "metadata": {
                "shape": list(array.shape),
                "chunks": chunks,
                "dtype": array.dtype.str,
                "compressor": {"id": "blosc", "shuffle": int(wide), **blosc},
                "dimension_separator": "/",
                "fill_value": array.dtype.type(0).item(),
            },
        }
    codec = {"shuffle": "shuffle" if wide else "noshuffle", "typesize": array.dtype.itemsize, **blosc}
    return {
        "driver": "zarr3",
        "kvstore": kvstore(array.name),
        **RECHECK,
        "metadata": {
            "shape": list(array.shape),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "data_type": array.dtype.name,
            "fill_value": array.dtype.type(0).item(),
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}} if wide else {"name": "bytes"},
                {"name": "blosc", "configuration": codec},
            ],
            "dimension_names": array.axis_names,
            "attributes": geometry_attributes(array),
        },
    }
