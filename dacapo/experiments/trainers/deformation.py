"""Where each point of a patch comes from: rotated, mirrored, transposed, deformed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

NDArray = np.ndarray[Any, Any]


@attrs.frozen(eq=False)
class ControlGrid:
    """Displacements, in world units, at points of a regular grid around the centre of a patch.

    ``displacement`` has shape (axes, points along each axis...), with an odd number of points
    along each; the middle one lies at the centre.  Between points the field is interpolated by
    cubic convolution (Catmull-Rom: through the points, with continuous first derivative;
    R. Keys, IEEE Trans. ASSP 29, 1981, a = -1/2), or linearly if not ``smooth``.
    """

    displacement: NDArray
    spacing: NDArray
    smooth: bool = True

    @staticmethod
    def points_for(size: Sequence[float], spacing: Sequence[float]) -> tuple[int, ...]:
        """Return how many points, per axis, a patch of ``size`` needs; both in world units."""
        steps = np.floor(np.asarray(size) / 2 / np.asarray(spacing) + 1e-9).astype(int)
        return tuple(int(n) for n in 2 * (steps + 2) + 1)

    def cells(self, axis: int, positions: NDArray) -> tuple[NDArray, NDArray]:
        """Return the first of the four points around each position, and how far it is beyond the second."""
        points = positions / self.spacing[axis]
        below = np.floor(points)
        return below.astype(np.int64) - 1 + self.displacement.shape[1 + axis] // 2, points - below

    def weights(self, fractions: NDArray) -> NDArray:
        """Return the weights of the four points, shape (positions, 4)."""
        f, zero = fractions, np.zeros_like(fractions)
        if not self.smooth:
            return np.stack([zero, 1 - f, f, zero], axis=-1)
        first, last = ((2 - f) * f - 1) * f, (f - 1) * f * f
        middle = [(3 * f - 5) * f * f + 2, ((4 - 3 * f) * f + 1) * f]
        weights: NDArray = np.stack([first, *middle, last], axis=-1) / 2
        return weights

    def evaluate(self, positions: Sequence[NDArray]) -> NDArray:
        """Return the displacements at the points of another grid, given its positions along each axis."""
        values = self.displacement
        for axis, along in enumerate(positions):
            first, fractions = self.cells(axis, along)
            four = np.moveaxis(values, 1 + axis, -1)[..., first[:, np.newaxis] + np.arange(4)]
            values = np.moveaxis((four * self.weights(fractions)).sum(-1), -1, 1 + axis)
        return values

    def at_points_of(self, counts: Sequence[int], spacing: NDArray) -> NDArray:
        """Return the displacements at the points of another control grid for the same patch."""
        positions = []
        for axis, (count, step) in enumerate(zip(counts, spacing, strict=True)):
            # The outermost points only bend the field within; there this grid may not reach.
            reach = (self.displacement.shape[1 + axis] // 2 - 2) * self.spacing[axis]
            positions.append(np.clip((np.arange(count) - count // 2) * step, -reach, reach))
        return self.evaluate(positions)

    def plus(self, other: ControlGrid) -> ControlGrid:
        """Return the sum of two fields, at the points of the one with more of them."""
        fine, coarse = sorted((self, other), key=lambda grid: -grid.displacement.size)
        added = coarse.at_points_of(fine.displacement.shape[1:], fine.spacing)
        return attrs.evolve(fine, displacement=fine.displacement + added)


@attrs.frozen(eq=False)
class Deformation:
    """Says that what a patch shows at p is to be found in the data at matrix @ p + u(p).

    Both are measured from the centre of the patch, in world units; u is the field of
    displacements of the control grid, if there is one.
    """

    matrix: NDArray
    control: ControlGrid | None = None

    @classmethod
    def identity(cls, dims: int) -> Deformation:
        """Return the one that leaves everything where it is."""
        return cls(np.eye(dims))

    def then(self, second: Deformation) -> Deformation:
        """Return both in one; displacements, which are along the axes of the data, are added."""
        if self.control is None or second.control is None:
            return Deformation(self.matrix @ second.matrix, self.control or second.control)
        return Deformation(self.matrix @ second.matrix, self.control.plus(second.control))
