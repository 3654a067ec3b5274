"""The compiled warp against scipy, which is given coordinates computed the long way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate
from scipy.ndimage import map_coordinates

from dacapo.experiments.trainers import ElasticAugmentConfig
from dacapo.experiments.trainers.augment import Extent
from dacapo.experiments.trainers.deformation import Deformation
from dacapo.experiments.trainers.spatial import ElasticAugment
from dacapo.experiments.trainers.warp import index_map


def elastic(dims: int, subsample: int = 1, **changes: Any) -> ElasticAugment:
    values = {
        "control_point_spacing": (5, 7, 6)[-dims:],
        "control_point_displacement_sigma": (20.0, 9.0, 12.0)[-dims:],
        "rotation_interval": (0.3, 1.2),
        "subsample": subsample,
    }
    return ElasticAugment(ElasticAugmentConfig(**values | changes))


def cubic(values: np.ndarray, at: float) -> np.ndarray:
    """The Catmull-Rom spline through the first axis of ``values``, straight from its definition."""
    i = int(np.floor(at))
    p0, p1, p2, p3 = values[i - 1 : i + 3]
    slope1, slope2, f = (p2 - p0) / 2, (p3 - p1) / 2, at - i
    return (
        (2 * f**3 - 3 * f**2 + 1) * p1 + (f**3 - 2 * f**2 + f) * slope1
        + (-2 * f**3 + 3 * f**2) * p2 + (f**3 - f**2) * slope2
    )  # fmt: skip


def straight(values: np.ndarray, at: float) -> np.ndarray:
    i = int(np.floor(at))
    return values[i] * (i + 1 - at) + values[i + 1] * (at - i)


def coordinates(deformation: Deformation, shape: Any, geometry: Any, points: np.ndarray) -> np.ndarray:
    """Source coordinates of some voxels of a patch, one by one: (points, axes)."""
    voxel_size, begin, source_voxel_size, source_begin = geometry
    control, found = deformation.control, []
    for n in points:
        p = begin + (n + 0.5) * voxel_size
        s = deformation.matrix @ p
        if control is not None:
            values = np.moveaxis(control.displacement, 0, -1)
            for axis in range(len(shape)):
                at = p[axis] / control.spacing[axis] + control.displacement.shape[1 + axis] // 2
                values = (cubic if control.smooth else straight)(values, at)
            s = s + values
        found.append((s - source_begin) / source_voxel_size - 0.5)
    return np.array(found)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("subsample", [1, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint16])
def test_warp_equals_map_coordinates(dims: int, subsample: int, dtype: Any) -> None:
    random = np.random.default_rng(dims + subsample)
    shape = (9, 14, 21)[-dims:]
    voxel_size = np.array([16.0, 8.0, 8.0])[-dims:]
    source_voxel_size = np.array([32.0, 8.0, 4.0])[-dims:]
    size = Coordinate(shape) * Coordinate(voxel_size)
    deformation = elastic(dims, subsample).deformation(Extent(size, Coordinate(voxel_size)), random)
    begin = -np.asarray(size) / 2
    source_shape = (14, 60, 80)[-dims:]
    source_begin = -np.array(source_shape) * source_voxel_size / 2 + 3
    geometry = voxel_size, begin, source_voxel_size, source_begin
    mapped = index_map(deformation, shape, *geometry)

    points = random.integers(shape, size=(400, dims))
    points[0], points[1] = 0, np.array(shape) - 1
    expected = coordinates(deformation, shape, geometry, points)
    low, high = mapped.box()
    assert (expected > low[-dims:] - 1e-9).all() and (expected < high[-dims:] + 1e-9).all()

    source = (random.random((2, *source_shape)) * 255).astype(dtype)
    full = source.reshape(2, *(1,) * (3 - dims), *source_shape)
    assert (low[-dims:] >= 0).all() and (high[-dims:] < np.array(source_shape) - 1).all()
    image = mapped.linear(full, np.zeros(3)).reshape(2, *shape)
    index = mapped.nearest(full.shape[1:], np.zeros(3)).reshape(shape)
    for channel in range(2):
        values = map_coordinates(source[channel].astype(float), expected.T, order=1)
        assert np.abs(image[channel][tuple(points.T)] - values).max() <= 255 * 1e-5
        labels = map_coordinates(source[channel], expected.T, order=0)
        assert (source[channel].reshape(-1)[index[tuple(points.T)]] == labels).all()


def test_box_is_reached() -> None:
    shape, one = (8, 8, 8), np.ones(3)
    random = np.random.default_rng(3)
    deformation = elastic(3).deformation(Extent(Coordinate(shape), Coordinate(1, 1, 1)), random)
    geometry = one, -4 * one, one, -4 * one
    low, high = index_map(deformation, shape, *geometry).box()
    every = coordinates(deformation, shape, geometry, np.argwhere(np.ones(shape)))
    assert np.allclose(low, every.min(0), atol=1e-9) and np.allclose(high, every.max(0), atol=1e-9)


def test_signed_permutations_take_voxels_as_they_are() -> None:
    source = np.random.default_rng(0).integers(0, 255, (2, 9, 9, 9), np.uint8)
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            deformation = Deformation(np.eye(3)[list(order)] * np.array(signs)[:, np.newaxis])
            mapped = index_map(
                deformation, (5, 3, 7), np.ones(3), -np.array([5, 3, 7]) / 2, np.ones(3), -np.full(3, 4.5)
            )
            assert mapped.is_exact()
            low, _ = mapped.box()
            n = np.moveaxis(np.indices((5, 3, 7)), 0, -1)
            c = np.round(n @ mapped.matrix.T + mapped.shift).astype(int)
            assert (mapped.take(source, np.zeros(3, int)) == source[:, c[..., 0], c[..., 1], c[..., 2]]).all()
            assert (c.min((0, 1, 2)) == np.round(low)).all()


def test_a_rotation_or_half_a_voxel_is_not_exact() -> None:
    turned = Deformation(np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]))
    ones = np.ones(3)
    assert not index_map(turned, (4, 4, 4), ones, -2 * ones, ones, -2 * ones).is_exact()
    assert not index_map(Deformation.identity(3), (4, 4, 4), ones, -2 * ones, ones, -2.5 * ones).is_exact()
    assert not index_map(Deformation.identity(3), (4, 4, 4), ones, -2 * ones, 2 * ones, -2 * ones).is_exact()
