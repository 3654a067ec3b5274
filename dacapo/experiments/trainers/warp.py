"""Sampling a volume along an affine map and a field of displacements, in one compiled pass.

Coordinates are in voxels of the source, whole at voxel centres.  Rows of the patch are worked
on one by one: the control grid is reduced to the row, where the field is a cubic polynomial
between any two control points, and the map is evaluated as such; so the deformation costs
little more than an affine map, and nothing as large as the patch is kept.
"""

from __future__ import annotations

from typing import Any, cast

import attrs
import numpy as np

from dacapo.experiments.compiled import compiled

from .deformation import ControlGrid, Deformation

NDArray = np.ndarray[Any, Any]


@attrs.frozen(eq=False)
class IndexMap:
    """For each voxel of a patch, where in a source volume its value is to be found.

    All in voxels, three axes: ``matrix @ n + shift`` plus the displacement at patch voxel n.
    ``control`` is (3, points...); along the first two axes there are, per voxel, the first point
    to weigh and the weights; along the last, stretches between two points, each with the voxel
    where it starts, its first point, and how far beyond its second point that voxel lies.  ``step``
    is the length of a voxel there, from point to point being 1; 0 where nothing is displaced.
    """

    shape: tuple[int, int, int]
    matrix: NDArray
    shift: NDArray
    control: NDArray
    first: tuple[NDArray, NDArray]
    weights: tuple[NDArray, NDArray]
    stretches: NDArray
    fractions: NDArray
    step: float
    smooth: bool

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return (
            self.matrix, self.control, *self.first, *self.weights,
            self.stretches, self.fractions, self.step, self.smooth,
        )  # fmt: skip

    def is_exact(self) -> bool:
        """Say whether it takes voxels as they are: shifted, mirrored or transposed, nothing between."""
        if self.step:
            return False
        near = np.concatenate([self.matrix.ravel(), self.shift])
        return bool(np.abs(near - np.round(near)).max() < 1e-6 and np.abs(self.matrix).sum() < 3.5)

    def box(self) -> tuple[NDArray, NDArray]:
        """Return the smallest and the largest coordinates that occur, per axis."""
        if self.step == 0:
            corners = self.matrix * (np.array(self.shape) - 1)
            return self.shift + np.minimum(corners, 0).sum(1), self.shift + np.maximum(corners, 0).sum(1)
        return cast(tuple[NDArray, NDArray], _box(self.shape, self.shift, *self._arguments))

    def take(self, source: NDArray, begin: NDArray) -> NDArray:
        """Return the voxels of an exact map; ``source`` is (c, z, y, x) and begins at voxel ``begin``."""
        matrix, shift = np.round(self.matrix).astype(int), np.round(self.shift).astype(int) - begin
        axes = np.abs(matrix).argmax(axis=0)
        signs = matrix[axes, [0, 1, 2]]
        keys = [slice(0)] * 3
        for axis, sign, size in zip(axes, signs, self.shape, strict=True):
            start = shift[axis] if sign > 0 else shift[axis] - size + 1
            keys[axis] = slice(start, start + size)
        block = source[:, keys[0], keys[1], keys[2]].transpose(0, *(1 + axes))
        return np.ascontiguousarray(block[:, :: signs[0], :: signs[1], :: signs[2]])

    def linear(self, source: NDArray, begin: NDArray) -> NDArray:
        """Return trilinearly interpolated values, float32, of a (channel, z, y, x) source."""
        if source.dtype != np.uint8:
            source = source.astype(np.float32, copy=False)
        out = np.empty((len(source), *self.shape), np.float32)
        flat = np.ascontiguousarray(source).reshape(-1)
        _linear(flat, source.shape, out, self.shift - begin, *self._arguments)
        return out

    def nearest(self, shape: tuple[int, ...], begin: NDArray) -> NDArray:
        """Return, per voxel, the flat index of the nearest voxel of a source of ``shape``."""
        out = np.empty(self.shape, np.int64)
        _nearest(shape, out, self.shift - begin, *self._arguments)
        return out


def index_map(
    deformation: Deformation,
    shape: tuple[int, ...],
    voxel_size: NDArray,
    begin: NDArray,
    source_voxel_size: NDArray,
    source_begin: NDArray,
) -> IndexMap:
    """Return the map for a patch of ``shape`` voxels into a source, as ``IndexMap`` wants it.

    ``begin`` and ``source_begin`` are the corners of the first voxels, from the centre of the
    deformation, in world units.  Patches of fewer than three axes get leading ones.
    """
    dims = len(shape)
    centres = begin + voxel_size / 2  # of the first voxel
    matrix, shift = np.eye(3), np.zeros(3)
    matrix[-dims:, -dims:] = deformation.matrix * voxel_size / source_voxel_size[:, np.newaxis]
    shift[-dims:] = (deformation.matrix @ centres - source_begin) / source_voxel_size - 0.5
    lengths = (1,) * (3 - dims) + tuple(shape)
    along = [
        (start + np.arange(size) * step) for start, size, step in zip(centres, shape, voxel_size, strict=True)
    ]
    grid = deformation.control
    if grid is None:
        return IndexMap((lengths[0], lengths[1], lengths[2]), matrix, shift, *_still(lengths))
    scaled = grid.displacement / source_voxel_size.reshape((-1,) + (1,) * dims)
    control = np.zeros((3, *(1,) * (3 - dims), *scaled.shape[1:]))
    control[-dims:] = scaled.reshape(dims, *control.shape[1:])
    rows = [_row_taps(grid, axis, along[axis]) if axis >= 0 else _ALONE for axis in range(dims - 3, dims - 1)]
    cells, fractions = grid.cells(dims - 1, along[-1])
    starts = np.flatnonzero(np.diff(cells, prepend=cells[0] - 1))
    stretches = np.stack([np.append(starts, lengths[2]), np.append(cells[starts], 0)]).astype(np.int64)
    step = float(voxel_size[-1] / grid.spacing[-1])
    first, weights = (rows[0][0], rows[1][0]), (rows[0][1], rows[1][1])
    return IndexMap(
        (lengths[0], lengths[1], lengths[2]), matrix, shift,
        control, first, weights, stretches, fractions[starts], step, grid.smooth,
    )  # fmt: skip


_ALONE = np.zeros(1, np.int64), np.ones((1, 1))


def _row_taps(grid: ControlGrid, axis: int, along: NDArray) -> tuple[NDArray, NDArray]:
    first, fractions = grid.cells(axis, along)
    return first, np.ascontiguousarray(grid.weights(fractions))


def _still(lengths: tuple[int, ...]) -> tuple[Any, ...]:
    """Return a field that displaces nothing."""
    first = np.zeros(lengths[0], np.int64), np.zeros(lengths[1], np.int64)
    weights = np.ones((lengths[0], 1)), np.ones((lengths[1], 1))
    stretches = np.array([[0, lengths[2]], [0, 0]], np.int64)
    return np.zeros((3, 1, 1, 4)), first, weights, stretches, np.zeros(1), 0.0, True


@compiled(inline="always")
def _reduce_to_plane(control: Any, first: int, weights: Any, plane: Any) -> None:
    """Weigh the control points along z, for one plane of the patch."""
    plane[:] = 0.0
    for tap in range(weights.shape[0]):
        for c in range(3):
            for y in range(plane.shape[1]):
                for x in range(plane.shape[2]):
                    plane[c, y, x] += weights[tap] * control[c, first + tap, y, x]


@compiled(inline="always")
def _reduce_to_line(plane: Any, first: int, weights: Any, line: Any) -> None:
    """Weigh what is left along y, for one row."""
    line[:] = 0.0
    for tap in range(weights.shape[0]):
        for c in range(3):
            for x in range(line.shape[1]):
                line[c, x] += weights[tap] * plane[c, first + tap, x]


@compiled(inline="always")
def _map_row(
    z: int, y: int, shift: Any, matrix: Any, line: Any,
    stretches: Any, fractions: Any, step: float, smooth: bool, ramp: Any, row: Any,
) -> None:  # fmt: skip
    """Put the source coordinates of one row of the patch into ``row``, (3, x)."""
    for c in range(3):
        base = shift[c] + matrix[c, 0] * z + matrix[c, 1] * y
        slope = matrix[c, 2]
        for s in range(fractions.shape[0]):
            begin, point, fraction = stretches[0, s], stretches[1, s], fractions[s]
            v0, v1, v2, v3 = line[c, point], line[c, point + 1], line[c, point + 2], line[c, point + 3]
            q1, q2, q3 = v2 - v1, 0.0, 0.0
            if smooth:
                q1 = 0.5 * (v2 - v0)
                q2 = v0 - 2.5 * v1 + 2.0 * v2 - 0.5 * v3
                q3 = 1.5 * (v1 - v2) + 0.5 * (v3 - v0)
            # As a polynomial in the voxels from the start of the stretch, the affine part included.
            c0 = base + slope * begin + v1 + fraction * (q1 + fraction * (q2 + fraction * q3))
            c1 = slope + step * (q1 + fraction * (2.0 * q2 + fraction * 3.0 * q3))
            c2 = step * step * (q2 + 3.0 * fraction * q3)
            c3 = step * step * step * q3
            stretch = row[c, begin : stretches[0, s + 1]]
            for i in range(stretch.shape[0]):
                n = ramp[i]
                stretch[i] = c0 + n * (c1 + n * (c2 + n * c3))


@compiled(fastmath=True)
def _box(
    shape: Any,
    shift: Any, matrix: Any, control: Any, first_z: Any, first_y: Any, weights_z: Any, weights_y: Any,
    stretches: Any, fractions: Any, step: float, smooth: bool,
) -> Any:  # fmt: skip
    """Find the extremes of the coordinates."""
    plane = np.empty((3, control.shape[2], control.shape[3]))
    line = np.empty((3, control.shape[3]))
    row, ramp = np.empty((3, shape[2])), np.arange(shape[2]).astype(np.float64)
    low, high = np.full(3, np.finfo(np.float64).max), np.full(3, np.finfo(np.float64).min)
    for z in range(shape[0]):
        _reduce_to_plane(control, first_z[z], weights_z[z], plane)
        for y in range(shape[1]):
            _reduce_to_line(plane, first_y[y], weights_y[y], line)
            _map_row(z, y, shift, matrix, line, stretches, fractions, step, smooth, ramp, row)
            for c in range(3):
                smallest, largest = low[c], high[c]
                for x in range(shape[2]):
                    smallest = min(smallest, row[c, x])
                    largest = max(largest, row[c, x])
                low[c], high[c] = smallest, largest
    return low, high


@compiled(fastmath=True)
def _linear(
    source: Any, source_shape: Any, out: Any,
    shift: Any, matrix: Any, control: Any, first_z: Any, first_y: Any, weights_z: Any, weights_y: Any,
    stretches: Any, fractions: Any, step: float, smooth: bool,
) -> None:  # fmt: skip
    """Interpolate between the eight voxels around each coordinate."""
    plane = np.empty((3, control.shape[2], control.shape[3]))
    line = np.empty((3, control.shape[3]))
    row, ramp = np.empty((3, out.shape[3])), np.arange(out.shape[3]).astype(np.float64)
    index = np.empty(out.shape[3], np.uint64)
    part = np.empty((3, out.shape[3]), np.float32)
    per_y, per_z = source_shape[3], source_shape[2] * source_shape[3]
    # Unsigned: numba would test every signed index for being negative.  A flat source has nothing behind.
    right, below = np.uint64(1), np.uint64(per_y)
    behind = np.uint64(per_z if source_shape[1] > 1 else 0)
    for z in range(out.shape[1]):
        _reduce_to_plane(control, first_z[z], weights_z[z], plane)
        for y in range(out.shape[2]):
            _reduce_to_line(plane, first_y[y], weights_y[y], line)
            _map_row(z, y, shift, matrix, line, stretches, fractions, step, smooth, ramp, row)
            for x in range(out.shape[3]):
                i, j, k = np.int32(row[0, x]), np.int32(row[1, x]), np.int32(row[2, x])
                part[0, x], part[1, x], part[2, x] = row[0, x] - i, row[1, x] - j, row[2, x] - k
                index[x] = np.uint64(i * per_z + j * per_y + k)
            for channel in range(out.shape[0]):
                at = np.uint64(channel * source_shape[1] * per_z)
                for x in range(out.shape[3]):
                    n = index[x] + at
                    fz, fy, fx = part[0, x], part[1, x], part[2, x]
                    a, b = np.float32(source[n]), np.float32(source[n + below])
                    c, d = np.float32(source[n + behind]), np.float32(source[n + behind + below])
                    a += fx * (np.float32(source[n + right]) - a)
                    b += fx * (np.float32(source[n + below + right]) - b)
                    c += fx * (np.float32(source[n + behind + right]) - c)
                    d += fx * (np.float32(source[n + behind + below + right]) - d)
                    a += fy * (b - a)
                    c += fy * (d - c)
                    out[channel, z, y, x] = a + fz * (c - a)


@compiled(fastmath=True)
def _nearest(
    source_shape: Any, out: Any,
    shift: Any, matrix: Any, control: Any, first_z: Any, first_y: Any, weights_z: Any, weights_y: Any,
    stretches: Any, fractions: Any, step: float, smooth: bool,
) -> None:  # fmt: skip
    """Find the flat index of the voxel around each coordinate."""
    plane = np.empty((3, control.shape[2], control.shape[3]))
    line = np.empty((3, control.shape[3]))
    row, ramp = np.empty((3, out.shape[2])), np.arange(out.shape[2]).astype(np.float64)
    per_y, per_z = source_shape[2], source_shape[1] * source_shape[2]
    for z in range(out.shape[0]):
        _reduce_to_plane(control, first_z[z], weights_z[z], plane)
        for y in range(out.shape[1]):
            _reduce_to_line(plane, first_y[y], weights_y[y], line)
            _map_row(z, y, shift, matrix, line, stretches, fractions, step, smooth, ramp, row)
            for x in range(out.shape[2]):
                i, j, k = np.int32(row[0, x] + 0.5), np.int32(row[1, x] + 0.5), np.int32(row[2, x] + 0.5)
                out[z, y, x] = i * per_z + j * per_y + k
