"""Arrays on storage that only fsspec reaches: the same files as on a disk, whoever wrote them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import zarr

from dacapo.errors import CorruptData, InvalidArray, InvalidRequest, MissingData, StoreError
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.datasplits.datasets.arrays.zarr_creation import remove

VALUES = np.arange(2 * 10 * 12, dtype="u2").reshape(2, 10, 12)


def made(container: Path | str, **changes):
    geometry = {
        "voxel_size": (4, 8),
        "offset": (40, 80),
        "axis_names": ["c^", "y", "x"],
        "units": ["nm", "nm"],
    }
    return create_zarr(container, "a/raw", VALUES.shape, "u2", **geometry, chunk_shape=(1, 4, 5), **changes)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_files_are_those_of_a_disk(served, tmp_path, zarr_format):
    values = np.where(VALUES > 60, VALUES, 0)  # some chunks hold nothing but zeros, and are not kept
    for container in (f"{served.url}x.zarr", tmp_path / "x.zarr"):
        array = made(container, zarr_format=zarr_format)
        array[:] = VALUES
        array[:, 3:9] = 7  # parts of chunks
        array[:] = values
    assert content(served.folder / "x.zarr") == content(tmp_path / "x.zarr")
    copied = open_zarr(f"{served.url}x.zarr", "a/raw")
    local = open_zarr(tmp_path / "x.zarr", "a/raw")
    np.testing.assert_array_equal(copied.data, values)
    for name in ("roi", "voxel_size", "axis_names", "units", "chunk_shape", "dtype", "shape"):
        assert getattr(copied, name) == getattr(local, name)


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}},
        {"zarr_format": 3, "shards": (2, 8, 10)},
    ],
)
def test_what_others_wrote_is_read_and_changed(served, options):
    place = served.folder / "x.zarr/raw"
    theirs = zarr.create_array(str(place), shape=VALUES.shape, chunks=(1, 4, 5), dtype="u2", **options)
    theirs[:] = VALUES
    theirs.attrs.update({"voxel_size": [1, 1], "axis_names": ["c^", "y", "x"]})
    array = open_zarr(f"{served.url}x.zarr", "raw", mode="r+")
    np.testing.assert_array_equal(array.data, VALUES)
    np.testing.assert_array_equal(array[:, 3:6, 2:11:3], VALUES[:, 3:6, 2:11:3])
    array[1, 2:6] = 5
    again = zarr.open_array(str(place), mode="r")
    np.testing.assert_array_equal(again[1, 1:7, 3], [135, 5, 5, 5, 5, 195])


def test_n5_is_read(served):
    metadata = {"dimensions": [12, 10], "blockSize": [5, 4], "dataType": "uint16"}
    place = f"file://{served.folder}/x.n5/raw/"
    spec = {"driver": "n5", "kvstore": place, "metadata": {**metadata, "compression": {"type": "gzip"}}}
    store = ts.open(spec, create=True).result()
    store.write(VALUES[0].T).result()
    np.testing.assert_array_equal(open_zarr(f"{served.url}x.n5", "raw").data, VALUES[0])


def test_threads_write_whole_chunks_at_once(served):
    array = made(f"{served.url}x.zarr")
    blocks = [(c, slice(y, y + 4), slice(x, x + 5)) for c in (0, 1) for y in (0, 4, 8) for x in (0, 5, 10)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda block: array.__setitem__(block, VALUES[block]), blocks))
    np.testing.assert_array_equal(open_zarr(f"{served.url}x.zarr", "a/raw").data, VALUES)


def test_what_is_removed_leaves_no_folder(served):
    made(f"{served.url}x.zarr")[:] = VALUES
    remove(f"{served.url}x.zarr/a")
    assert [path.name for path in (served.folder / "x.zarr").iterdir()] == [".zgroup"]


def test_connections_that_the_server_closed_are_opened_again(served):
    array = made(f"{served.url}x.zarr")
    array[:] = VALUES
    served.hang_up()
    np.testing.assert_array_equal(array.data, VALUES)
    served.hang_up()
    array[0] = VALUES[1]
    np.testing.assert_array_equal(array[0], VALUES[1])


def test_a_server_that_is_gone_is_an_error_and_no_zeros(served):
    array = made(f"{served.url}x.zarr")
    array[:] = VALUES
    served.close()
    place = r"ftp://lab@127.0.0.1:\d+/x.zarr/a/raw cannot be reached or written to"
    with pytest.raises(StoreError, match=place):
        array.data  # noqa: B018
    with pytest.raises(StoreError, match=place):
        array[0] = 1
    with pytest.raises(StoreError, match="x.zarr/a/raw cannot be reached"):
        open_zarr(f"{served.url}x.zarr", "a/raw")


def test_a_chunk_that_may_not_be_read_is_an_error_and_no_zeros(served):
    array = made(f"{served.url}x.zarr")
    array[:] = VALUES
    chunk = served.folder / "x.zarr/a/raw/0/0/0"
    chunk.unlink()
    chunk.mkdir()  # the server refuses to send it
    with pytest.raises(StoreError, match="x.zarr/a/raw cannot be reached"):
        array.data  # noqa: B018


def test_damage_and_absence_are_told(served):
    array = made(f"{served.url}x.zarr")
    with pytest.raises(MissingData, match="no zarr or N5 dataset at ftp://"):
        open_zarr(f"{served.url}x.zarr", "b")
    with pytest.raises(InvalidRequest, match="was opened for reading"):
        open_zarr(f"{served.url}x.zarr", "a/raw")[:] = 1
    array[:] = VALUES
    chunk = served.folder / "x.zarr/a/raw/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(CorruptData, match="a chunk cannot be read"):
        array.data  # noqa: B018
    metadata = served.folder / "x.zarr/a/raw/.zarray"
    metadata.write_text(metadata.read_text().replace("blosc", "bzzz"))
    with pytest.raises(InvalidArray, match="cannot be opened"):
        open_zarr(f"{served.url}x.zarr", "a/raw")
