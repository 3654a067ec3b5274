"""Tests of sizes and offsets read from OME-NGFF multiscales."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from funlib.geometry import Coordinate

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig

SPACE = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]


def level(path, scale, translation=None):
    steps = [{"type": "scale", "scale": scale}]
    if translation:
        steps.append({"type": "translation", "translation": translation})
    return {"path": path, "coordinateTransformations": steps}


def multiscale(place, shapes, levels, axes=SPACE, version="0.4", **entries):
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.open_group(str(place), mode="w", zarr_format=zarr_format)
    for path, shape in shapes.items():
        array = group.create_array(path, shape=shape, dtype="u1", chunks=shape)
        array[...] = np.ones(shape)
    scales = [{"axes": axes, "datasets": levels, **entries}]
    group.attrs.update(
        {"multiscales": [{"version": "0.4", **scales[0]}]}
        if version == "0.4"
        else {"ome": {"version": version, "multiscales": scales}}
    )


def opened(place, dataset, **fields):
    return ZarrArrayConfig("a", file_name=place, dataset=dataset, ome_metadata=True, **fields).array("r")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_each_level_has_its_own_size_and_place(tmp_path, version):
    multiscale(
        tmp_path / "a.zarr/em",
        {"s0": (4, 4, 4), "s1": (2, 2, 2)},
        [level("s0", [8.0, 4, 4], [80, 40.0, 0]), level("s1", [16, 8, 8], [90, 40, 3])],
        version=version,
    )
    first, second = opened(tmp_path / "a.zarr", "em/s0"), opened(tmp_path / "a.zarr", "em/s1")
    assert (first.voxel_size, first.offset) == (Coordinate(8, 4, 4), Coordinate(80, 40, 0))
    assert (second.voxel_size, second.offset) == (Coordinate(16, 8, 8), Coordinate(90, 40, 3))
    assert first.axis_names == ["z", "y", "x"] and first.units == ["nm"] * 3 and first.data.all()


def test_levels_centred_over_the_first_begin_where_it_begins(tmp_path):
    multiscale(
        tmp_path / "a.zarr",
        {"s0": (4, 4, 4), "s1": (2, 2, 2), "s2": (1, 1, 1)},
        [level("s0", [5, 5, 5]), level("s1", [10] * 3, [2.5] * 3), level("s2", [20] * 3, [7.5] * 3)],
    )
    for name in ("s0", "s1", "s2"):
        assert opened(tmp_path / "a.zarr", name).offset == Coordinate(0, 0, 0)


def test_channels_single_times_and_common_transformations(tmp_path):
    axes = [{"name": "t", "type": "time"}, {"name": "stain", "type": "channel"}, *SPACE]
    multiscale(
        tmp_path / "a.zarr",
        {"nested/0": (1, 2, 4, 4, 4)},
        [level("nested/0", [1, 1, 4, 2, 2], [0, 0, 4, 4, 4])],
        axes=axes,
        coordinateTransformations=[{"type": "scale", "scale": [1, 1, 2, 2, 2]}, {"type": "identity"}],
    )
    array = opened(tmp_path / "a.zarr", "nested/0")
    assert array.shape == (2, 4, 4, 4) and array.axis_names == ["c^", "z", "y", "x"]
    assert (array.voxel_size, array.offset) == (Coordinate(8, 4, 4), Coordinate(8, 8, 8))


def test_known_units_become_nanometers_unless_told_otherwise(tmp_path):
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    multiscale(tmp_path / "a.zarr", {"0": (4, 4)}, [level("0", [0.05, 0.0046])], axes=axes)
    with pytest.raises(InvalidArray, match="is not whole.*unit='angstrom'"):
        opened(tmp_path / "a.zarr", "0")
    array = opened(tmp_path / "a.zarr", "0", unit="angstrom")
    assert array.voxel_size == Coordinate(500, 46) and array.units == ["angstrom"] * 2
    multiscale(tmp_path / "b.zarr", {"0": (4, 4)}, [level("0", [0.008, 0.004])], axes=axes)
    assert opened(tmp_path / "b.zarr", "0").voxel_size == Coordinate(8, 4)


def test_levels_that_are_not_described_are_refused(tmp_path):
    multiscale(tmp_path / "a.zarr", {"s0": (4, 4, 4), "s9": (2, 2, 2)}, [level("s0", [1, 1, 1])])
    with pytest.raises(InvalidArray, match="no group above it has OME-NGFF multiscales"):
        opened(tmp_path / "a.zarr", "s9")
    multiscale(tmp_path / "b.zarr", {"s0": (4, 4, 4)}, [level("s0", [1, 1])])
    with pytest.raises(InvalidArray, match="not a scale or translation of 3 values"):
        opened(tmp_path / "b.zarr", "s0")
    multiscale(tmp_path / "c.zarr", {"s0": (4, 4, 4)}, [level("s0", [1, 1, 1])], axes=SPACE[:2])
    with pytest.raises(InvalidArray, match="the multiscales name axes"):
        opened(tmp_path / "c.zarr", "s0")
