"""Augments that move voxels: mirror and transpose, rotate and deform."""

from __future__ import annotations

from typing import Any

import numpy as np

from .augment import Extent, SpatialAugment
from .deformation import ControlGrid, Deformation

NDArray = np.ndarray[Any, Any]

SIGMAS = 3.0  # no control point is displaced further: it bounds what has to be read


class SimpleAugment(SpatialAugment):
    """Mirrors each axis with probability 1/2, and permutes equal axes, all orders equally likely."""

    def deformation(self, extent: Extent, random: np.random.Generator) -> Deformation:
        """Return a signed permutation of the axes."""
        for name in ("mirror_axes", "transpose_axes"):
            if any(not 0 <= axis < extent.dims for axis in getattr(self.config, name) or ()):
                self.config.refuse(name, f"should be axes of the patch, 0 to {extent.dims - 1}")
        order = np.arange(extent.dims)
        for group in self._groups(extent):
            order[group] = random.permutation(group)
        mirrored = random.random(extent.dims) < 0.5
        if self.config.mirror_axes is not None:
            mirrored &= np.isin(np.arange(extent.dims), self.config.mirror_axes)
        matrix = np.eye(extent.dims)[order]
        return Deformation(matrix * np.where(mirrored, -1.0, 1.0)[:, np.newaxis])

    def _groups(self, extent: Extent) -> list[list[int]]:
        """Return which axes may be exchanged with each other."""
        if self.config.transpose_axes is not None:
            return [sorted(set(self.config.transpose_axes))]
        alike: dict[tuple[int, int], list[int]] = {}
        for axis, length in enumerate(zip(extent.size, extent.voxel_size, strict=True)):
            alike.setdefault(length, []).append(axis)
        return list(alike.values())


class ElasticAugment(SpatialAugment):
    """Rotates around the centre and displaces control points, the field between them being smooth."""

    def deformation(self, extent: Extent, random: np.random.Generator) -> Deformation:
        """Return a rotation and a grid of displacements."""
        config = self.config
        if len(config.control_point_spacing) != extent.dims:
            config.refuse(
                "control_point_spacing", f"should have {extent.dims} values, one per axis of the patch"
            )
        if config.uniform_3d_rotation:
            matrix = any_rotation(extent.dims, random)
        else:
            matrix = plane_rotation(extent.dims, random.uniform(*config.rotation_interval))
        sigma = np.asarray(config.control_point_displacement_sigma)
        if not sigma.any():
            return Deformation(matrix)
        spacing = np.asarray(config.control_point_spacing, np.float64) * extent.voxel_size
        points = ControlGrid.points_for(extent.size, spacing)
        drawn = random.standard_normal((extent.dims, *points)).clip(-SIGMAS, SIGMAS)
        control = ControlGrid(drawn * sigma.reshape((-1,) + (1,) * extent.dims), spacing)
        return Deformation(matrix, self._subsampled(control, extent))

    def _subsampled(self, control: ControlGrid, extent: Extent) -> ControlGrid:
        if self.config.subsample == 1:
            return control
        spacing = np.asarray(extent.voxel_size, np.float64) * self.config.subsample
        points = ControlGrid.points_for(extent.size, spacing)
        return ControlGrid(control.at_points_of(points, spacing), spacing, smooth=False)


def plane_rotation(dims: int, angle: float) -> NDArray:
    """Return the rotation by an angle, in radians, in the plane of the last two axes."""
    matrix = np.eye(dims)
    if dims > 1:
        matrix[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def any_rotation(dims: int, random: np.random.Generator) -> NDArray:
    """Draw a rotation, all equally likely: the orthonormal part of a matrix of normal numbers."""
    q, r = np.linalg.qr(random.standard_normal((dims, dims)))
    q *= np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] *= -1
    rotation: NDArray = q
    return rotation
