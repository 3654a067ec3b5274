"""Tests of TIFF and npy files, against tifffile and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, InvalidConfig, MissingData
from dacapo.experiments.datasplits.datasets.arrays import NumpyArrayConfig, TiffArrayConfig, tiff_array


def tiff(path, **fields):
    return TiffArrayConfig("t", file_name=path, **{"voxel_size": (40, 4, 4), **fields})


@pytest.fixture
def stack(rng):
    return rng.integers(0, 60000, (5, 12, 10)).astype("uint16")


def pages_apart(path, data, byteorder="<", **options):
    """Write every section for itself, as microscopes do, so that no two lie next to each other."""
    with tifffile.TiffWriter(path, byteorder=byteorder) as writer:
        for section in data:
            writer.write(section, contiguous=False, metadata=None, **options)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "write",
    [
        tifffile.imwrite,
        lambda path, data, **options: tifffile.imwrite(path, data, compression="zlib", **options),
        lambda path, data, **options: tifffile.imwrite(
            path, data, compression="zlib", tile=(16, 16), **options
        ),
        lambda path, data, **options: tifffile.imwrite(path, data, imagej=True, byteorder=">"),
        pages_apart,
        lambda path, data, **options: pages_apart(path, data, compression="zlib", **options),
    ],
    ids=["contiguous", "compressed", "tiled", "imagej", "apart", "apart compressed"],
)
def test_stacks_are_read_whole_and_in_part(tmp_path, stack, reads_by_parts, write, byteorder):
    write(tmp_path / "a.tif", stack, byteorder=byteorder)
    array = tiff(tmp_path / "a.tif", offset=(80, 0, -4), units=["nm"] * 3).array()
    np.testing.assert_array_equal(array.data, stack)
    assert array.roi == Roi((80, 0, -4), (200, 48, 40)) and array.dtype == np.uint16
    assert array.axis_names == ["z", "y", "x"] and array.data.dtype.isnative
    reads_by_parts(array)


def test_what_is_not_compressed_is_mapped_and_other_pages_are_decoded_once(tmp_path, stack, monkeypatch):
    decoded = []
    original = tifffile.TiffPage.asarray
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda page: decoded.append(page) or original(page))
    pages_apart(tmp_path / "mapped.tif", stack)
    tiff(tmp_path / "mapped.tif").array()[1:3]
    assert not decoded
    pages_apart(tmp_path / "packed.tif", stack, compression="zlib")
    array = tiff(tmp_path / "packed.tif").array()
    assert not decoded
    array[1:3, 2:4], array[1:3, 5:7]
    assert len(decoded) == 2


def test_few_decoded_pages_are_kept(tmp_path, stack, monkeypatch):
    monkeypatch.setattr(tiff_array, "PAGE_CACHE_BYTES", 2 * stack[0].nbytes)
    pages_apart(tmp_path / "a.tif", stack, compression="zlib")
    array = tiff(tmp_path / "a.tif").array()
    np.testing.assert_array_equal(array.data, stack)
    assert sorted(array._decoded) == [3, 4]


def test_single_pages_are_2d_or_a_stack_of_one(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack[0])
    flat = tiff(tmp_path / "a.tif", voxel_size=(4, 4)).array()
    np.testing.assert_array_equal(flat.data, stack[0])
    assert tiff(tmp_path / "a.tif").array().shape == (1, 12, 10)


def test_channels_come_first(tmp_path, rng, reads_by_parts):
    colours = rng.integers(0, 255, (4, 6, 5, 3)).astype("u1")
    for compression in (None, "zlib"):
        tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb", compression=compression)
        array = tiff(tmp_path / "rgb.tif").array()
        np.testing.assert_array_equal(array.data, colours.transpose(3, 0, 1, 2))
        reads_by_parts(array)
    planes = rng.integers(0, 255, (4, 2, 6, 5)).astype("u1")
    tifffile.imwrite(tmp_path / "zcyx.tif", planes, imagej=True, metadata={"axes": "ZCYX"})
    for names in (None, ["z", "c^", "y", "x"]):
        array = tiff(tmp_path / "zcyx.tif", axis_names=names).array()
        np.testing.assert_array_equal(array.data, planes.transpose(1, 0, 2, 3))
        assert array.axis_names == ["c^", "z", "y", "x"]


def test_npy_files_are_mapped(tmp_path, rng, reads_by_parts):
    data = rng.random((6, 5, 4, 2)).astype(">f4")
    np.save(tmp_path / "a.npy", data)
    config = NumpyArrayConfig(
        "n", file_name=tmp_path / "a.npy", voxel_size=(4, 2, 2), axis_names=["z", "y", "x", "c^"]
    )
    array = config.array()
    np.testing.assert_array_equal(array.data, data.transpose(3, 0, 1, 2))
    assert isinstance(array._mapped, np.memmap)
    reads_by_parts(array)
    block = array[:, :2]
    block[...] = 0
    assert array.data.any() and array.voxel_size == Coordinate(4, 2, 2)
    assert array.to_ndarray(Roi((-4, 0, 0), (4, 2, 2))).shape == (2, 1, 1, 1)
    assert array[:, 3:3].shape == (2, 0, 5, 4)


def test_files_that_are_missing_or_something_else_are_refused(tmp_path, stack):
    (tmp_path / "text").write_text("this is not an image")
    for make in (tiff, lambda path: NumpyArrayConfig("n", file_name=path, voxel_size=(1, 1, 1))):
        with pytest.raises(MissingData, match=f"no file .*gone; the nearest folder there is is {tmp_path}"):
            make(tmp_path / "gone").array()
        with pytest.raises(MissingData, match="is a folder"):
            make(tmp_path).array()
        with pytest.raises(InvalidArray, match="is not a"):
            make(tmp_path / "text").array()
        assert make(tmp_path / "gone").verify()[1].endswith(f"there is no file {tmp_path}/gone")
        assert make(tmp_path / "text").verify() == (True, "")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InvalidArray, match="is not a .npy file of numbers"):
        NumpyArrayConfig("n", file_name=tmp_path / "objects.npy", voxel_size=(1,)).array()


def test_pages_that_cannot_be_decoded_say_what_to_install(tmp_path, stack, monkeypatch):
    pages_apart(tmp_path / "a.tif", stack, compression="zlib")
    array = tiff(tmp_path / "a.tif").array()

    def refuse(page):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", refuse)
    with pytest.raises(InvalidArray, match="page 0 cannot be decoded.*pip install imagecodecs"):
        array[0]


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"axis_names": ["y", "x"]}, InvalidArray, "does not go with axes"),
        ({"axis_names": ["c^", "y", "x"]}, InvalidArray, "does not go with axes"),
        ({"voxel_size": (4, 4)}, None, ""),
        ({"voxel_size": (4,)}, InvalidArray, "does not go with axes"),
        ({"voxel_size": (0, 4, 4)}, InvalidConfig, "should be above 0"),
        ({"offset": (0, 0)}, InvalidConfig, "should have 3 values"),
        ({"units": ["nm"]}, InvalidConfig, "should have 3 values"),
    ],
)
def test_geometry_has_to_fit_the_file(tmp_path, stack, fields, error, says):
    tifffile.imwrite(tmp_path / "a.tif", stack)
    if error is None:
        assert tiff(tmp_path / "a.tif", **fields).array().num_channels == 5
        return
    with pytest.raises(error, match=says):
        tiff(tmp_path / "a.tif", **fields).array()
