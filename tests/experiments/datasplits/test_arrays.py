"""Tests of what every array can do, on one in memory."""

from __future__ import annotations

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given
from hypothesis import strategies as st

from dacapo.errors import InvalidArray, OutsideData
from dacapo.experiments.datasplits.datasets.arrays import Array, NumpyArray


@pytest.fixture
def volume(rng):
    return NumpyArray(rng.integers(0, 255, (2, 6, 5, 4)), (4, 2, 2), (8, 0, -2))


def test_geometry_follows_from_voxel_size_and_offset(volume):
    assert (volume.dims, volume.num_channels, volume.channel_dims) == (3, 2, 1)
    assert volume.spatial_shape == Coordinate(6, 5, 4)
    assert volume.roi == Roi((8, 0, -2), (24, 10, 8))
    assert volume.axis_names == ["c^", "z", "y", "x"] and volume.units == ["nm"] * 3
    assert NumpyArray(np.zeros((3, 3)), (1, 1)).num_channels is None
    assert NumpyArray(np.zeros((2, 3, 3)), (1, 1)).axis_names == ["c^", "y", "x"]
    assert "voxel_size=(4, 2, 2)" in repr(volume)


def test_a_region_is_read_in_world_units(volume):
    np.testing.assert_array_equal(volume[Roi((12, 2, 0), (8, 4, 2))], volume.data[:, 1:3, 1:3, 1:2])


def test_what_lies_beyond_the_data_is_refused_or_filled(volume):
    beyond = Roi((4, -2, -2), (8, 4, 4))
    with pytest.raises(OutsideData, match="reaches beyond the data, which covers"):
        volume[beyond]
    filled = volume.to_ndarray(beyond, fill_value=7)
    assert filled.shape == (2, 2, 2, 2)
    assert (filled[:, 0] == 7).all() and (filled[:, :, 0] == 7).all()
    np.testing.assert_array_equal(filled[:, 1, 1], volume.data[:, 0, 0, :2])
    assert (volume.to_ndarray(Roi((800, 0, 0), (4, 2, 2)), 3) == 3).all()


@pytest.mark.parametrize(
    "roi",
    [
        Roi((9, 0, 0), (4, 2, 2)),
        Roi((8, 0, 0), (3, 2, 2)),
        Roi((8, 0), (4, 2)),
        Roi((None,) * 3, (None,) * 3),
    ],
)
def test_regions_off_the_grid_are_refused(volume, roi):
    with pytest.raises(InvalidArray, match="does not lie on the grid|should be bounded"):
        volume.slices(roi)


KEYS = st.one_of(
    st.integers(-4, 3),
    st.builds(slice, *(st.one_of(st.none(), st.integers(-5, 5)),) * 2, st.sampled_from([None, 1, 2, -1, -3])),
)


class Lazy(Array):
    """Numbers that follow from where they are; notes how many were read."""

    def __init__(self):
        super().__init__((4, 4, 4, 4), np.int64, (1, 1, 1))
        self.count = 0

    def _read(self, slices):
        block = np.arange(256).reshape(4, 4, 4, 4)[(slice(None), *slices)]
        self.count += block[0].size
        return block


@given(st.lists(KEYS, min_size=1, max_size=4), st.booleans())
def test_slices_in_voxels_read_as_numpy_would(keys, dots):
    array, whole = Lazy(), np.arange(256).reshape(4, 4, 4, 4)
    key = (*keys[:1], ..., *keys[1:]) if dots else tuple(keys)
    np.testing.assert_array_equal(array[key], whole[key])


def test_slices_in_voxels_read_only_their_bounding_box():
    array = Lazy()
    assert array[0, 1, 2:4, 3].shape == (2,)
    assert array.count == 2


def test_indices_that_are_not_basic_are_refused():
    with pytest.raises(InvalidArray, match="read array.data first"):
        Lazy()[np.array([0, 1])]
    with pytest.raises(InvalidArray, match="cannot be read"):
        Lazy()[0, 0, 0, 0, 0]
    with pytest.raises(OutsideData, match="lies outside an axis of 4"):
        Lazy()[0, 4]


def test_memory_is_written_by_region_and_by_slices(volume):
    volume[Roi((8, 0, -2), (4, 2, 2))] = 300
    volume[1, -1] = 301
    assert (volume.data[:, 0, 0, 0] == 300).all() and (volume.data[1, -1] == 301).all()
    with pytest.raises(OutsideData):
        volume[Roi((0, 0, 0), (4, 2, 2))] = 0


@pytest.mark.parametrize(
    ("geometry", "says"),
    [
        ({"voxel_size": (1, 1), "axis_names": ["y", "x"]}, "do not go together"),
        ({"voxel_size": (1,)}, "do not go together"),
        ({"voxel_size": (1, 1, 1), "offset": (0, 0)}, "should have 3 values each"),
        ({"voxel_size": (1, 1, 1), "units": ["nm"]}, "should have 3 values each"),
        ({"voxel_size": (1, 0, 1)}, "should be above 0"),
    ],
)
def test_geometry_that_does_not_fit_is_refused(geometry, says):
    with pytest.raises(InvalidArray, match=says):
        NumpyArray(np.zeros((3, 3, 3)), **geometry)


def test_numpy_functions_take_an_array(volume):
    assert np.asarray(volume, dtype=np.float32).dtype == np.float32
    assert np.asarray(Lazy()).sum() == np.arange(256).sum()
