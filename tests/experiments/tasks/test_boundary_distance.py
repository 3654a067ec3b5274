"""Distances to the surface between voxels, against going through all pairs of voxels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from dacapo.experiments.tasks.predictors.boundary_distance import (
    border_distance,
    boundary_distance,
    signed_distance,
)


def to_nearest_cube(labels: np.ndarray, voxel_size: tuple[int, ...], outside: bool = False) -> np.ndarray:
    """Return, voxel by voxel, the distance to the cube of the nearest voxel of another label."""
    if outside:
        inner = tuple(slice(1, -1) for _ in labels.shape)
        return to_nearest_cube(np.pad(labels.astype(int), 1, constant_values=-1), voxel_size)[inner]
    places = np.argwhere(np.ones(labels.shape, bool))
    flat, found = labels.ravel(), np.full(labels.size, np.inf)
    for i, place in enumerate(places):
        others = np.abs(places[flat != flat[i]] - place)
        if len(others):
            gaps = np.maximum(others - 0.5, 0) * voxel_size
            found[i] = np.sqrt((gaps**2).sum(axis=1).min())
    return found.reshape(labels.shape)


def on_doubled_grid(labels: np.ndarray, voxel_size: tuple[int, ...]) -> np.ndarray:
    """Return the distance to the faces, edges and corners between voxels, as points of a grid."""
    doubled = np.zeros([2 * size - 1 for size in labels.shape], bool)
    for point in itertools.product(*(range(size) for size in doubled.shape)):
        around = [sorted({p // 2, (p + 1) // 2}) for p in point]
        doubled[point] = len(np.unique(labels[np.ix_(*around)])) > 1
    sampling = [size / 2 for size in voxel_size]
    return distance_transform_edt(~doubled, sampling=sampling)[(slice(None, None, 2),) * labels.ndim]


CASES = [
    ((6, 7, 8), (4, 4, 4)),
    ((6, 7, 8), (40, 4, 6)),
    ((9, 1, 6), (2, 7, 3)),
    ((14, 11), (5, 8)),
    ((1, 1, 12), (3, 3, 3)),
]


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.5, 0.97])
@pytest.mark.parametrize(("shape", "voxel_size"), CASES)
@pytest.mark.parametrize("outside", [False, True])
def test_distance_is_that_to_the_nearest_cube_of_another_label(
    shape: tuple[int, ...], voxel_size: tuple[int, ...], fraction: float, outside: bool
) -> None:
    labels = np.random.default_rng(7).random(shape) < fraction
    found = boundary_distance(labels, voxel_size, outside_differs=outside)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, to_nearest_cube(labels, voxel_size, outside), rtol=1e-5)


@pytest.mark.parametrize(("shape", "voxel_size"), CASES[:4])
def test_distance_is_that_on_the_doubled_grid(shape: tuple[int, ...], voxel_size: tuple[int, ...]) -> None:
    labels = np.random.default_rng(3).random(shape) < 0.2
    expected = on_doubled_grid(labels, voxel_size)
    np.testing.assert_allclose(boundary_distance(labels, voxel_size), expected, rtol=1e-5)


def test_smooth_objects_and_several_labels() -> None:
    grid = np.mgrid[:9, :10, :11]
    labels = (np.hypot(grid[0] - 4, grid[1] - 5) < 3).astype(np.uint8) + 2 * (grid[2] > 6).astype(np.uint8)
    found = boundary_distance(labels, (8, 8, 8))
    np.testing.assert_allclose(found, to_nearest_cube(labels, (8, 8, 8)), rtol=1e-5)


def test_the_surface_lies_halfway_between_voxels() -> None:
    inside = np.array([[False, False, True, True, True, False]])
    np.testing.assert_array_equal(signed_distance(inside, (10, 10)), [[-15, -5, 5, 15, 5, -5]])


def test_without_a_surface_the_distance_is_infinite() -> None:
    np.testing.assert_array_equal(signed_distance(np.ones((3, 3, 3), bool), (8, 8, 8)), np.inf)
    np.testing.assert_array_equal(signed_distance(np.zeros((3, 3), bool), (8, 8)), -np.inf)


def test_a_volume_seen_through_another_order_of_axes_is_the_same() -> None:
    labels = np.random.default_rng(1).random((6, 7, 8)) < 0.1
    turned = boundary_distance(labels.transpose(2, 0, 1), (6, 40, 4))
    np.testing.assert_allclose(turned.transpose(1, 2, 0), boundary_distance(labels, (40, 4, 6)), rtol=1e-6)


@pytest.mark.parametrize(("shape", "voxel_size"), CASES)
def test_border_distance_is_that_of_a_block_that_is_all_one(
    shape: tuple[int, ...], voxel_size: tuple[int, ...]
) -> None:
    expected = boundary_distance(np.ones(shape, bool), voxel_size, outside_differs=True)
    np.testing.assert_allclose(border_distance(shape, voxel_size), expected)


@pytest.mark.parametrize("outside", [False, True])
def test_a_part_alone_is_the_same_as_cut_from_the_whole(outside: bool) -> None:
    labels = np.random.default_rng(5).random((9, 10, 11)) < 0.1
    part = slice(2, 5), slice(0, 7), slice(4, 11)
    found = boundary_distance(labels, (40, 4, 6), outside, part)
    np.testing.assert_array_equal(found, boundary_distance(labels, (40, 4, 6), outside)[part])
    whole = border_distance(labels.shape, (40, 4, 6))
    np.testing.assert_array_equal(border_distance(labels.shape, (40, 4, 6), part), whole[part])
