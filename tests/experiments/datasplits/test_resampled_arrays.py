"""Tests of resampling, both ways, against numpy and scipy."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dacapo.errors import InvalidArray, InvalidConfig
from dacapo.experiments.datasplits.datasets.arrays import DummyArrayConfig, NumpyArray, ResampledArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.resampled_array_config import ResampledArrayConfig as Old


def resampled(array, up=None, down=None, linear=True):
    return ResampledArrayConfig("r", DummyArrayConfig("unused"), up, down, linear).preprocess(array)


def test_downsampled_images_are_means_of_windows(rng, memory, reads_by_parts):
    source = memory(rng.integers(0, 255, (2, 9, 8, 6)).astype("u1"), (4, 2, 2))
    array = ResampledArrayConfig("r", source, downsample=(2, 4, 1), interp_order=True).array()
    assert array.voxel_size == Coordinate(8, 8, 2) and array.shape == (2, 4, 2, 6)
    expected = source.values[:, :8].reshape(2, 4, 2, 2, 4, 6).mean(axis=(2, 4))
    np.testing.assert_allclose(array.data, expected, rtol=1e-6)
    assert array.dtype == np.float32
    reads_by_parts(array)


def test_downsampled_labels_are_the_most_frequent_ones(rng, reads_by_parts):
    source = NumpyArray(rng.integers(0, 4, (6, 6, 6)).astype("u8"), (1, 1, 1))
    array = resampled(source, down=(2, 3, 1), linear=False)
    assert array.dtype == np.uint64
    for index in np.ndindex(array.shape):
        z, y, x = index
        counts = Counter(source.data[2 * z : 2 * z + 2, 3 * y : 3 * y + 3, x].ravel().tolist())
        most = max(counts.values())
        assert array.data[index] == max(label for label, count in counts.items() if count == most)
    reads_by_parts(array)


def test_upsampled_labels_are_repeated(rng, reads_by_parts):
    source = NumpyArray(rng.integers(0, 9, (3, 4, 5)), (4, 6, 2), (4, 0, -2))
    array = resampled(source, up=(2, 3, 1), linear=False)
    np.testing.assert_array_equal(array.data, source.data.repeat(2, 0).repeat(3, 1))
    assert array.roi == source.roi and array.voxel_size == Coordinate(2, 2, 2)
    reads_by_parts(array)


@pytest.mark.parametrize("factors", [(2, 3, 1), (1, 1, 4), (5, 2, 2)])
def test_upsampled_images_are_interpolated_between_voxel_centres(rng, reads_by_parts, factors):
    source = NumpyArray(rng.random((3, 4, 5)).astype("f4"), (10, 6, 4))
    array = resampled(source, up=factors)
    grid = np.meshgrid(
        *((np.arange(n * f) + 0.5) / f - 0.5 for n, f in zip(source.shape, factors, strict=True)),
        indexing="ij",
    )
    expected = ndimage.map_coordinates(source.data, grid, order=1, mode="nearest")
    np.testing.assert_allclose(array.data, expected, atol=1e-6)
    reads_by_parts(array)


def test_axes_may_go_different_ways(rng, reads_by_parts):
    source = NumpyArray(rng.random((2, 3, 8)).astype("f4"), (40, 4))
    array = resampled(source, up=(10, 1), down=(1, 2))
    assert array.voxel_size == Coordinate(4, 8) and array.shape == (2, 30, 4)
    reads_by_parts(array)
    labels = resampled(NumpyArray(rng.integers(0, 3, (3, 8)), (40, 4)), (10, 1), (1, 2), linear=False)
    assert labels.shape == (30, 4)
    reads_by_parts(labels)


def test_new_voxels_lie_on_multiples_of_their_size(rng):
    source = NumpyArray(rng.random((7, 7)), (2, 2), (2, -2))
    array = resampled(source, down=(2, 2))
    assert array.roi == Roi((4, 0), (12, 12))
    np.testing.assert_allclose(array.data[0, 0], source.data[1:3, 1:3].mean(), rtol=1e-6)
    shifted = resampled(NumpyArray(source.data, (2, 2), (3, -1)), down=(2, 2))
    assert shifted.roi == Roi((5, 1), (12, 12))


def test_zero_means_not_in_this_direction_as_in_old_documents(rng):
    source = NumpyArray(rng.random((4, 4)), (8, 8))
    assert resampled(source, up=(2, 2), down=(0, 0)).shape == (8, 8)
    assert resampled(source, up=(0, 0), down=(2, 2)).shape == (2, 2)
    np.testing.assert_allclose(resampled(source).data, source.data, rtol=1e-6)


def test_only_the_region_is_read(memory):
    source = memory(np.zeros((30, 30, 30)), (4, 4, 4))
    ResampledArrayConfig("r", source, downsample=(2, 2, 2)).array()[Roi((16, 16, 16), (8, 16, 24))]
    ResampledArrayConfig("r", source, upsample=(4, 4, 4)).array()[Roi((16, 16, 17), (4, 8, 1))]
    assert source.reads == [(2, 4, 6), (3, 4, 2)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.booleans(), st.integers(-6, 6), st.data())
def test_any_part_equals_the_part_of_the_whole(factor, up, linear, offset, data):
    source = NumpyArray(
        np.random.default_rng(factor).integers(0, 4, 17).astype("u1"), (12,), (offset,), ["x"]
    )
    array = resampled(source, *((factor,), None) if up else (None, (factor,)), linear=linear)
    begin = data.draw(st.integers(0, array.shape[0]))
    end = data.draw(st.integers(begin, array.shape[0]))
    np.testing.assert_array_equal(array[begin:end], array.data[begin:end])


def test_factors_that_cannot_be_are_refused():
    source = NumpyArray(np.zeros((4, 4)), (3, 3))
    with pytest.raises(InvalidArray, match="cannot be divided by .* into whole world units"):
        resampled(source, up=(2, 2))
    with pytest.raises(InvalidArray, match="should have 2 factors"):
        resampled(source, down=(2, 2, 2))
    with pytest.raises(InvalidArray, match="does not fill a single voxel"):
        resampled(source, down=(8, 8))
    for up, down in (((2, 2), (2, 1)), ((1, 1), (2,)), ((-1, 1), None)):
        with pytest.raises(InvalidConfig, match="upsample"):
            resampled(source, up, down)


def test_the_old_import_path_gives_the_same_class():
    assert Old is ResampledArrayConfig
