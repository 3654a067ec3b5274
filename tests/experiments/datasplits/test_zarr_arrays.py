"""Tests of zarr and N5 datasets, against zarr-python and tensorstore."""

from __future__ import annotations

import functools
import http.server
import json
import threading

import numpy as np
import pytest
import tensorstore as ts
import zarr
from funlib.geometry import Coordinate, Roi

from dacapo.errors import (
    CorruptData,
    DuplicateNameError,
    InvalidArray,
    InvalidConfig,
    InvalidRequest,
    MissingData,
    OutsideData,
)
from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr, shared_context

ATTRIBUTES = {"offset": [80, 40, 0], "voxel_size": [8, 4, 4], "axis_names": ["c^", "z", "y", "x"]}


def written_by_zarr_python(path, data, zarr_format=2, **attributes):
    array = zarr.create_array(
        str(path), shape=data.shape, dtype=data.dtype, chunks=(8,) * data.ndim, zarr_format=zarr_format
    )
    array[...] = data
    array.attrs.update(attributes)


def n5(path, data, attributes):
    store = ts.open(
        {
            "driver": "n5",
            "kvstore": {"driver": "file", "path": str(path)},
            "metadata": {
                "dimensions": data.T.shape,
                "blockSize": [4] * data.ndim,
                "dataType": data.dtype.name,
            },
        },
        create=True,
    ).result()
    store[...] = data.T
    file = path / "attributes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **attributes}))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float32", "bool", "int16"])
def test_what_zarr_python_wrote_is_read(tmp_path, rng, reads_by_parts, zarr_format, dtype):
    data = (rng.random((2, 11, 9, 10)) * 100).astype(dtype)
    written_by_zarr_python(tmp_path / "a.zarr/volumes/raw", data, zarr_format, **ATTRIBUTES, units=["nm"] * 3)
    array = open_zarr(tmp_path / "a.zarr", "volumes/raw")
    np.testing.assert_array_equal(array.data, data)
    assert array.roi == Roi((80, 40, 0), (88, 36, 40)) and array.dtype == data.dtype
    assert array.chunk_shape == Coordinate(8, 8, 8)
    reads_by_parts(array)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float32", "bool"])
def test_what_was_made_here_is_read_by_zarr_python(tmp_path, rng, zarr_format, dtype):
    data = (rng.random((2, 11, 9, 10)) * 100).astype(dtype)
    array = create_zarr(
        tmp_path / "a.zarr", "volumes/raw", data.shape, dtype, (8, 4, 4), (80, 40, 0), zarr_format=zarr_format
    )
    assert not array.data.any()
    array[array.roi] = data
    np.testing.assert_array_equal(open_zarr(tmp_path / "a.zarr", "volumes/raw").data, data)
    theirs = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["volumes/raw"]
    np.testing.assert_array_equal(theirs[...], data)
    assert dict(theirs.attrs) == {**ATTRIBUTES, "units": ["nm"] * 3}


def test_regions_are_written_by_world_units_and_by_slices(tmp_path):
    array = create_zarr(tmp_path / "a.zarr", "x", (2, 6, 6), "u1", (2, 2), (10, 0), chunk_shape=(1, 4, 4))
    array[Roi((12, 2), (4, 4))] = np.full((2, 2, 2), 7)
    array[0, -1] = 9
    array[0, 0, 0] = 5.0
    array[1, 3:5, ::2] = np.full((2, 3), 6)
    expected = np.zeros((2, 6, 6))
    expected[:, 1:3, 1:3], expected[0, -1], expected[0, 0, 0] = 7, 9, 5
    expected[1, 3:5, ::2] = 6
    np.testing.assert_array_equal(array.data, expected)
    with pytest.raises(OutsideData):
        array[Roi((0, 0), (2, 2))] = 1
    with pytest.raises(InvalidRequest, match="cannot be written there"):
        array[Roi((12, 2), (4, 4))] = np.zeros((2, 3, 3))
    with pytest.raises(OutsideData, match="outside an axis of 6"):
        array[0, 6] = 1
    with pytest.raises(InvalidArray, match="go forwards"):
        array[0, ::-1] = 1
    with pytest.raises(InvalidRequest, match="open it with mode='r\\+'"):
        open_zarr(tmp_path / "a.zarr", "x")[0, 0, 0] = 1


def test_a_reader_sees_what_the_same_process_wrote_since(tmp_path):
    writer = create_zarr(tmp_path / "a.zarr", "x", (4, 4), "u1", (1, 1))
    reader = open_zarr(tmp_path / "a.zarr", "x")
    assert not reader.data.any()
    writer[writer.roi] = np.ones((4, 4))
    assert reader.data.all()


def test_opening_anew_shows_what_another_process_wrote(tmp_path):
    create_zarr(tmp_path / "a.zarr", "x", (4, 4), "u1", (1, 1))
    assert not open_zarr(tmp_path / "a.zarr", "x").data.any()
    zarr.open_array(str(tmp_path / "a.zarr/x"), mode="r+")[...] = 1
    assert open_zarr(tmp_path / "a.zarr", "x").data.all()


def test_all_arrays_share_one_bounded_context():
    assert shared_context() is shared_context()
    assert shared_context()["cache_pool"].to_json()["total_bytes_limit"] <= 2**30


def test_made_datasets_are_made_again_only_on_request(tmp_path):
    make = functools.partial(create_zarr, tmp_path / "a.zarr", shape=(4, 4), dtype="u1", voxel_size=(1, 1))
    make("group/x")[0, 0] = 1
    with pytest.raises(DuplicateNameError, match="pass overwrite=True"):
        make("group/x")
    assert open_zarr(tmp_path / "a.zarr", "group/x").data.any()
    assert not make("group/x", overwrite=True).data.any()
    assert not make("group/x", overwrite=True, zarr_format=3).data.any()
    assert not (tmp_path / "a.zarr/group/x/.zarray").exists()
    with pytest.raises(DuplicateNameError, match="no dataset but a group"):
        make("group", overwrite=True)
    with pytest.raises(InvalidRequest, match="should be 2 or 3"):
        make("y", zarr_format=1)


def test_new_datasets_lie_inside_a_container_on_disk(tmp_path):
    create_zarr(tmp_path / "b.zarr", "x", (4, 4), "u1", (1, 1))[0, 0] = 1
    for container, dataset, says in (
        (tmp_path / "a.zarr", "../b.zarr/x", "outside its container"),
        ("http://host/a.zarr", "x", "http://host/a.zarr/x: web servers are only read"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            create_zarr(container, dataset, (4, 4), "u1", (1, 1), overwrite=True)
    assert open_zarr(tmp_path / "b.zarr", "x").data.any()


def test_wrong_geometry_leaves_nothing_behind(tmp_path):
    with pytest.raises(InvalidArray):
        create_zarr(tmp_path / "a.zarr", "x", (4, 4), "u1", (1, 1), (0,))
    assert not (tmp_path / "a.zarr").exists()


def test_a_container_may_be_the_dataset_itself(tmp_path):
    create_zarr(tmp_path / "a.zarr", "", (4, 4), "u1", (1, 1))
    assert open_zarr(str(tmp_path / "a.zarr"), "").shape == (4, 4)


@pytest.mark.parametrize(
    ("attributes", "shape", "voxel_size", "offset", "axes", "units"),
    [
        ({}, (3, 4, 5), (1, 1, 1), (0, 0, 0), ["z", "y", "x"], ["voxel"] * 3),
        ({}, (2, 3, 4, 5), (1, 1, 1), (0, 0, 0), ["c^", "z", "y", "x"], ["voxel"] * 3),
        ({"resolution": [8, 4.0, 4]}, (3, 4, 5), (8, 4, 4), (0, 0, 0), ["z", "y", "x"], ["nm"] * 3),
        ({"resolution": [4, 4], "offset": [4, 8]}, (2, 4, 5), (4, 4), (4, 8), ["c^", "y", "x"], ["nm"] * 2),
        ({"axes": ["c", "y", "x"], "units": "um"}, (2, 4, 5), (1, 1), (0, 0), ["c^", "y", "x"], ["um"] * 2),
        (
            {"axis_names": "cyx", "voxel_size": [1, 4, 4], "offset": [0, 8, 8], "units": ["", "nm", "nm"]},
            (2, 4, 5), (4, 4), (8, 8), ["c^", "y", "x"], ["nm", "nm"],
        ),
    ],
)  # fmt: skip
def test_every_spelling_of_the_attributes_is_read(
    tmp_path, attributes, shape, voxel_size, offset, axes, units
):
    written_by_zarr_python(tmp_path / "a.zarr", np.zeros(shape), **attributes)
    array = open_zarr(tmp_path / "a.zarr", "")
    assert (array.voxel_size, array.offset) == (Coordinate(voxel_size), Coordinate(offset))
    assert (array.axis_names, array.units) == (axes, units)


def test_dimension_names_of_version_3_name_the_axes(tmp_path):
    zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(4, 2), dtype="u1", zarr_format=3, dimension_names=["x", "channel"]
    )
    assert open_zarr(tmp_path / "a.zarr", "").axis_names == ["c^", "x"]


def test_channels_come_first_and_a_single_time_is_left_out(tmp_path, rng, reads_by_parts):
    data = rng.integers(0, 9, (1, 4, 5, 3))
    written_by_zarr_python(tmp_path / "a.zarr", data, axis_names=["t", "y", "x", "channel"])
    array = open_zarr(tmp_path / "a.zarr", "", "r+")
    np.testing.assert_array_equal(array.data, data[0].transpose(2, 0, 1))
    reads_by_parts(array)
    array[Roi((1, 1), (1, 1))] = np.array([7, 8, 9]).reshape(3, 1, 1)
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "a.zarr"), mode="r")[0, 1, 1], [7, 8, 9])


def test_n5_is_read_with_its_axes_turned(tmp_path, rng, reads_by_parts):
    data = rng.integers(0, 99, (3, 4, 5)).astype("uint16")
    n5(tmp_path / "a.n5/raw", data, {"resolution": [1, 2, 3], "offset": [10, 20, 30]})
    array = open_zarr(tmp_path / "a.n5", "raw")
    np.testing.assert_array_equal(array.data, data)
    assert (array.voxel_size, array.offset) == (Coordinate(3, 2, 1), Coordinate(30, 20, 10))
    reads_by_parts(array)
    n5(tmp_path / "b.n5/raw", data, {"pixelResolution": {"dimensions": [4, 4, 40], "unit": "nm"}})
    assert open_zarr(tmp_path / "b.n5", "raw").voxel_size == Coordinate(40, 4, 4)


def test_the_config_overrides_what_the_file_says(tmp_path, rng):
    data = rng.integers(0, 9, (2, 4, 5))
    written_by_zarr_python(tmp_path / "a.zarr/raw", data, axis_names=["z", "y", "x"], voxel_size=[4, 4])
    with pytest.raises(InvalidArray, match="voxel_size .* should have 3 values"):
        open_zarr(tmp_path / "a.zarr", "raw")
    config = ZarrArrayConfig("a", file_name=tmp_path / "a.zarr", dataset="raw", axes=["c^", "y", "x"])
    assert config.array().axis_names == ["c^", "y", "x"]
    with pytest.raises(InvalidArray, match="axes .* do not fit the shape"):
        config.replace(axes=["y", "x"]).array()
    written_by_zarr_python(tmp_path / "b.zarr/raw", data)
    with pytest.raises(InvalidArray, match="at most one of channels"):
        open_zarr(tmp_path / "b.zarr", "raw", axes=["c^", "d^", "x"])


def test_the_mode_of_the_config_is_the_default(tmp_path):
    create_zarr(tmp_path / "a.zarr", "x", (4, 4), "u1", (1, 1))
    config = ZarrArrayConfig("a", file_name=tmp_path / "a.zarr", dataset="x")
    assert config.array().store.writable and not config.array("r").store.writable
    assert not config.replace(mode="r").array().store.writable
    with pytest.raises(InvalidConfig, match="should be one of 'r'"):
        config.replace(mode="w")
    with pytest.raises(InvalidRequest, match="create_zarr"):
        config.array("w")


@pytest.mark.parametrize(
    ("offset", "grid", "roi", "first"),
    [
        ((8, 4), (8, 4), Roi((8, 4), (40, 20)), (0, 0)),
        ((8, 4), (16, 8), Roi((16, 8), (32, 16)), (1, 1)),
        ((2, 6), (8, 4), Roi((0, 8), (40, 20)), (0, 0)),
        ((-6, 1), (16, 4), Roi((0, 0), (32, 20)), (1, 0)),
        ((3, 4), (2, 1), Roi((4, 4), (40, 20)), (0, 0)),
    ],
)
def test_snapping_moves_onto_the_grid_and_drops_what_fills_no_cell(tmp_path, rng, offset, grid, roi, first):
    data = rng.integers(0, 99, (5, 5)).astype("u1")
    create_zarr(tmp_path / "a.zarr", "x", (5, 5), "u1", (8, 4), offset)[...] = data
    config = ZarrArrayConfig("a", file_name=tmp_path / "a.zarr", dataset="x", snap_to_grid=grid)
    array = config.array()
    assert array.roi == roi
    cut = tuple(slice(f, f + n) for f, n in zip(first, array.shape, strict=True))
    np.testing.assert_array_equal(array.data, data[cut])
    array[array.roi] = 0
    assert not open_zarr(tmp_path / "a.zarr", "x").data[cut].any()


def test_grids_that_cannot_be_snapped_to_are_refused(tmp_path):
    create_zarr(tmp_path / "a.zarr", "x", (5, 5), "u1", (8, 4))
    config = ZarrArrayConfig("a", file_name=tmp_path / "a.zarr", dataset="x")
    for grid, says in (
        ((12, 4), "multiple of the voxel size"),
        ((8,), "multiple"),
        ((80, 80), "fills no cell"),
    ):
        with pytest.raises(InvalidArray, match=says):
            config.replace(snap_to_grid=grid).array()
    with pytest.raises(InvalidConfig, match="should be above 0"):
        config.replace(snap_to_grid=(0, 4))


def test_sizes_that_are_not_whole_name_the_unit_in_which_they_are(tmp_path):
    written_by_zarr_python(
        tmp_path / "a.zarr/raw", np.zeros((3, 3)), voxel_size=[50, 4.6], units=["nm", "nm"]
    )
    with pytest.raises(InvalidArray, match=r"voxel size \[50, 4.6\] .* is not whole.*unit='angstrom'"):
        open_zarr(tmp_path / "a.zarr", "raw")
    array = open_zarr(tmp_path / "a.zarr", "raw", unit="angstrom")
    assert array.voxel_size == Coordinate(500, 46) and array.units == ["angstrom"] * 2
    written_by_zarr_python(tmp_path / "b.zarr/raw", np.zeros((3, 3)), voxel_size=[1, 1], units=["parsec"] * 2)
    with pytest.raises(InvalidArray, match="'parsec' is not a known length"):
        open_zarr(tmp_path / "b.zarr", "raw", unit="nm")


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"voxel_size": [0, 4]}, "should be above 0"),
        ({"voxel_size": ["4", "x"]}, "should be a list of numbers"),
        ({"voxel_size": 4}, "should be a list of numbers"),
        ({"axis_names": ["t", "x"], "voxel_size": [4]}, "or a single time"),
        ({"axis_names": [1, 2]}, "do not fit the shape"),
        ({"voxel_size": [1, 1, 1, 1]}, "do not fit the shape"),
        ({"offset": [1.5, 0]}, "offset .* is not whole"),
    ],
)
def test_attributes_that_make_no_sense_are_refused(tmp_path, attributes, says):
    written_by_zarr_python(tmp_path / "a.zarr/raw", np.zeros((3, 3)), **attributes)
    with pytest.raises(InvalidArray, match=says):
        open_zarr(tmp_path / "a.zarr", "raw")


def test_missing_datasets_name_those_that_are_near(tmp_path):
    create_zarr(tmp_path / "a.zarr", "volumes/labels", (4, 4), "u1", (1, 1))
    create_zarr(tmp_path / "a.zarr", "volumes/raw", (4, 4), "u1", (1, 1))
    with pytest.raises(MissingData, match="did you mean volumes/labels"):
        open_zarr(tmp_path / "a.zarr", "volumes/label")
    with pytest.raises(MissingData, match="holds volumes/labels, volumes/raw"):
        open_zarr(tmp_path / "a.zarr", "?")
    with pytest.raises(MissingData, match="no container .*b.zarr; did you mean a.zarr"):
        open_zarr(tmp_path / "b.zarr", "volumes/raw")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match="holds nothing of the kind"):
        open_zarr(tmp_path / "empty", "raw")
    (tmp_path / "file.zarr").write_text("x")
    with pytest.raises(MissingData, match="no container"):
        open_zarr(tmp_path / "file.zarr", "raw")
    config = ZarrArrayConfig("gone", file_name=tmp_path / "a.zarr", dataset="volumes/label")
    assert config.verify() == (
        False,
        f"gone: there is no zarr or N5 dataset at {tmp_path}/a.zarr/volumes/label",
    )
    assert config.replace(dataset="volumes/raw").verify() == (True, "")


def test_damage_is_said(tmp_path):
    array = create_zarr(tmp_path / "a.zarr", "x", (4, 4), "u1", (1, 1))
    array[...] = np.ones((4, 4))
    (tmp_path / "a.zarr/x/0/0").write_bytes(b"nonsense")
    with pytest.raises(CorruptData, match="damaged or incomplete"):
        open_zarr(tmp_path / "a.zarr", "x")[0]
    (tmp_path / "a.zarr/x/.zarray").write_text('{"shape": [4, 4], "zarr_format": 2}')
    with pytest.raises(InvalidArray, match="cannot be opened"):
        open_zarr(tmp_path / "a.zarr", "x")
    (tmp_path / "a.zarr/x/.zarray").write_text("{")
    with pytest.raises(InvalidArray, match="is not valid JSON"):
        open_zarr(tmp_path / "a.zarr", "x")


def test_datasets_are_read_over_http(tmp_path, rng):
    data = rng.integers(0, 99, (4, 4)).astype("u1")
    create_zarr(tmp_path / "a.zarr", "x", (4, 4), "u1", (2, 2), (4, 4))[...] = data
    handler = functools.partial(QuietHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/a.zarr"
            config = ZarrArrayConfig("far", file_name=url, dataset="x")
            assert config.verify()[0]
            np.testing.assert_array_equal(config.array()[Roi((6, 6), (4, 4))], data[1:3, 1:3])
            with pytest.raises(InvalidRequest, match="does not support writing"):
                config.array()[0, 0] = 1
            with pytest.raises(MissingData, match=f"no zarr or N5 dataset at {url}/y"):
                config.replace(dataset="y").array()
        finally:
            server.shutdown()
            thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass
