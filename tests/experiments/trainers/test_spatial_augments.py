"""Fields of displacements, rotations, mirrors: what is drawn is what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from dacapo.errors import InvalidConfig
from dacapo.experiments.trainers import ElasticAugmentConfig, SimpleAugmentConfig
from dacapo.experiments.trainers.augment import Extent
from dacapo.experiments.trainers.deformation import ControlGrid, Deformation
from dacapo.experiments.trainers.spatial import ElasticAugment, SimpleAugment

CUBE = Extent(Coordinate(160, 160, 160), Coordinate(8, 8, 8))


def elastic(**changes: Any) -> ElasticAugment:
    values: dict[str, Any] = {
        "control_point_spacing": (5, 5, 5),
        "control_point_displacement_sigma": (10, 20, 30),
        "rotation_interval": (0, 0),
    }
    return ElasticAugment(ElasticAugmentConfig(**values | changes))


def grid(seed: int, spacing: float, points: int) -> ControlGrid:
    displacement = np.random.default_rng(seed).normal(size=(2, points, points))
    return ControlGrid(displacement, np.array([spacing, spacing]))


def test_the_field_goes_through_its_control_points_and_is_smooth() -> None:
    field = grid(0, 10.0, 9)
    inner = (np.arange(9) - 4)[2:7] * 10.0
    assert np.allclose(field.evaluate([inner, inner]), field.displacement[:, 2:7, 2:7])
    along = np.linspace(-19, 19, 4001)
    slopes = np.diff(field.evaluate([np.zeros(1), along])[:, 0]) / np.diff(along)
    assert np.abs(np.diff(slopes)).max() < 0.02 * np.abs(slopes).max()


def test_two_fields_add_up_at_the_points_of_the_finer() -> None:
    fine, coarse = grid(1, 5.0, 13), grid(2, 10.0, 9)
    at = (np.arange(13) - 6)[2:11] * 5.0
    both = coarse.plus(fine)
    assert both.displacement.shape == fine.displacement.shape
    assert np.allclose(both.evaluate([at, at]), fine.evaluate([at, at]) + coarse.evaluate([at, at]))


def test_deformations_one_after_the_other() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    mirror = np.diag([1.0, -1.0])
    field = grid(1, 5.0, 9)
    both = Deformation(mirror).then(Deformation(turn, field))
    assert np.allclose(both.matrix, mirror @ turn) and both.control is field
    twice = both.then(Deformation(np.eye(2), field))
    assert twice.control is not None
    assert np.allclose(twice.control.displacement[:, 2:-2, 2:-2], 2 * field.displacement[:, 2:-2, 2:-2])


def test_control_points_are_displaced_by_sigma_and_never_beyond_three() -> None:
    drawn = [elastic().deformation(CUBE, np.random.default_rng(i)).control for i in range(20)]
    values = np.stack([control.displacement for control in drawn if control is not None])
    assert np.allclose(values.std(axis=(0, 2, 3, 4)), [10, 20, 30], rtol=0.03)
    assert (np.abs(values).max(axis=(0, 2, 3, 4)) <= [30, 60, 90]).all()
    assert drawn[0] is not None and (drawn[0].spacing == 40).all()


def test_no_displacement_needs_no_field() -> None:
    assert (
        elastic(control_point_displacement_sigma=(0, 0, 0))
        .deformation(CUBE, np.random.default_rng(0))
        .control
        is None
    )


def test_rotation_is_in_the_plane_of_the_last_two_axes_and_within_the_interval() -> None:
    augment = elastic(rotation_interval=(-0.5, 1.0), control_point_displacement_sigma=(0, 0, 0))
    angles = []
    for seed in range(200):
        matrix = augment.deformation(CUBE, np.random.default_rng(seed)).matrix
        assert matrix[0].tolist() == [1, 0, 0] and matrix[:, 0].tolist() == [1, 0, 0]
        assert np.allclose(matrix @ matrix.T, np.eye(3))
        angles.append(np.arctan2(matrix[2, 1], matrix[1, 1]))
    assert -0.5 <= min(angles) < -0.4 and 0.9 < max(angles) <= 1.0


def test_uniform_rotations_turn_a_direction_anywhere() -> None:
    augment = elastic(uniform_3d_rotation=True)
    matrices = np.stack([augment.deformation(CUBE, np.random.default_rng(i)).matrix for i in range(2000)])
    assert np.allclose(np.linalg.det(matrices), 1)
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    # A uniform point on the sphere has each coordinate uniform in [-1, 1] (Archimedes).
    assert np.abs(matrices.mean(0)).max() < 0.06 and np.abs(matrices.var(0) - 1 / 3).max() < 0.03


def test_subsampled_field_is_exact_at_every_nth_voxel_and_linear_between() -> None:
    whole = elastic().deformation(CUBE, np.random.default_rng(1)).control
    coarse = elastic(subsample=4).deformation(CUBE, np.random.default_rng(1)).control
    assert whole is not None and coarse is not None
    nodes = np.arange(-2, 3) * 32.0
    at = coarse.evaluate([nodes] * 3)
    assert np.allclose(at, whole.evaluate([nodes] * 3))
    between = coarse.evaluate([nodes, nodes, nodes[:-1] + 8.0])
    assert np.allclose(between, 0.75 * at[..., :-1] + 0.25 * at[..., 1:])


def test_spacing_must_fit_the_patch() -> None:
    flat = Extent(Coordinate(80, 80), Coordinate(8, 8))
    with pytest.raises(InvalidConfig, match="control_point_spacing .* should have 2 values"):
        elastic().deformation(flat, np.random.default_rng(0))


def test_simple_augment_reaches_all_orientations_of_a_cube() -> None:
    augment = SimpleAugment(SimpleAugmentConfig())
    seen = {
        augment.deformation(CUBE, np.random.default_rng(i)).matrix.astype(int).tobytes() for i in range(800)
    }
    assert len(seen) == 48


def test_only_equal_axes_are_transposed_unless_told() -> None:
    flat = Extent(Coordinate(80, 160, 160), Coordinate(40, 8, 8))
    plain, told = (
        SimpleAugment(SimpleAugmentConfig()),
        SimpleAugment(SimpleAugmentConfig(transpose_axes=[0, 2])),
    )
    for seed in range(50):
        matrix = plain.deformation(flat, np.random.default_rng(seed)).matrix
        assert abs(matrix[0, 0]) == 1
    shapes = {np.abs(told.deformation(flat, np.random.default_rng(i)).matrix).tobytes() for i in range(50)}
    assert shapes == {np.eye(3).tobytes(), np.eye(3)[[2, 1, 0]].tobytes()}


def test_only_the_axes_asked_for_are_mirrored() -> None:
    augment = SimpleAugment(SimpleAugmentConfig(mirror_axes=[2], transpose_axes=[]))
    seen = {tuple(np.diag(augment.deformation(CUBE, np.random.default_rng(i)).matrix)) for i in range(30)}
    assert seen == {(1, 1, 1), (1, 1, -1)}


@pytest.mark.parametrize("name", ["mirror_axes", "transpose_axes"])
def test_axes_that_a_patch_has_not(name: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{name} .* should be axes of the patch, 0 to 2"):
        SimpleAugment(SimpleAugmentConfig(**{name: [3]})).deformation(CUBE, np.random.default_rng(0))
