"""What is written to disk when a zarr dataset is made: groups, attributes, chunks, compression."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from dacapo.errors import DuplicateNameError, InvalidRequest

from .array import Array
from .zarr_container import JSON, RECHECK, find_array, kvstore, location

_METADATA = (".zarray", ".zgroup", "zarr.json", "attributes.json")


def place_for_new(container: Path | str, dataset: str) -> tuple[Path, Path]:
    """Return the folders of a container and of a dataset in it; refuse what is remote or outside."""
    place = location(container, dataset)
    if "://" in place:
        raise InvalidRequest(f"{place} is remote; make new datasets on a disk, and copy them there when done")
    root, folder = Path(os.path.abspath(location(container))), Path(os.path.abspath(place))
    if not folder.is_relative_to(root):
        raise InvalidRequest(f"the dataset {dataset!r} would lie outside its container {root}")
    return root, folder


def make_room(folder: Path, overwrite: bool) -> None:
    """Take away the dataset in a folder if that is wanted; refuse whatever else is there."""
    if not folder.exists() or not any(folder.iterdir() if folder.is_dir() else [folder]):
        return
    if find_array(str(folder)) is None:
        raise DuplicateNameError(
            f"{folder} is there already and is no dataset but a group or something else; choose another name"
        )
    if not overwrite:
        raise DuplicateNameError(
            f"there is a dataset at {folder} already; choose another name, or pass overwrite=True to lose it"
        )
    shutil.rmtree(folder)


def make_groups(container: Path, folder: Path, zarr_format: int) -> None:
    """Make the container, and all folders between it and a dataset, groups that zarr can open."""
    inside = folder.relative_to(container).parts[:-1] if folder != container else None
    if inside is None:
        return
    for depth in range(len(inside) + 1):
        group = container.joinpath(*inside[:depth])
        group.mkdir(parents=True, exist_ok=True)
        if any((group / name).exists() for name in _METADATA):
            continue
        if zarr_format == 2:
            write_json(group / ".zgroup", {"zarr_format": 2})
        else:
            write_json(group / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})


def write_json(path: Path, content: JSON) -> None:
    """Write a JSON file so that readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(json.dumps(content, indent=2))
    os.replace(draft, path)


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
