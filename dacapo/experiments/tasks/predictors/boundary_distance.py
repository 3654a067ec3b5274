"""How far each voxel is from the surface between labels, exactly and in one pass.

The surface runs along the faces of voxels, halfway between neighbours of different label.
The distance from the centre of voxel x to it is the distance to the cube of the nearest
voxel y of another label,

    d(x) = min over y of sqrt( sum over axes of (s * max(|x - y| - 1/2, 0))^2 ),

with x, y in voxels and s the voxel size.  It is what one gets on a grid of twice the
resolution (2n - 1 points) that holds the faces, edges and corners between voxels, at an
eighth of the voxels.  The squares add up axis by axis.  Along one axis a voxel y to the
left is (x - 1/2) - y away, one to the right y - (x + 1/2); so the lower envelope of
parabolas of Felzenszwalb and Huttenlocher (Theory of Computing 8, 2012) is built once for
each run of equal labels and read off between the voxels, never at their centres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dacapo.experiments.compiled import compiled

NDArray = np.ndarray[Any, Any]
Slices = tuple[slice, ...]
Envelope = tuple[NDArray, NDArray, NDArray]


def boundary_distance(
    labels: NDArray, voxel_size: Sequence[float], outside_differs: bool = False, part: Slices | None = None
) -> NDArray:
    """Return the distance of each voxel centre to the surface of its label, in world units.

    ``labels`` are booleans or unsigned integers, in two or three dimensions.  With
    ``outside_differs`` the border of the block is a surface too; without, nothing is known
    beyond it, and where the block holds no surface at all the distance is infinite.  Of a
    ``part`` alone the result is the same, at less cost: all labels are looked at.
    """
    part = part or (slice(None),) * labels.ndim
    labels = np.ascontiguousarray(labels)
    labels = labels.view(np.uint8) if labels.dtype == bool else labels
    squared = np.empty(labels.shape, np.float32)
    for axis in range(labels.ndim - 1, -1, -1):
        before, after = math.prod(labels.shape[:axis]), math.prod(labels.shape[axis + 1 :])
        shape = before, labels.shape[axis], after
        seen = _scan_rows if axis == labels.ndim - 1 else _add_axis
        seen(labels.reshape(shape), voxel_size[axis], outside_differs, squared.reshape(shape))
        wanted = (*(slice(None),) * axis, part[axis])
        labels, squared = np.ascontiguousarray(labels[wanted]), np.ascontiguousarray(squared[wanted])
    return np.sqrt(squared, out=squared)


def signed_distance(foreground: NDArray, voxel_size: Sequence[float], part: Slices | None = None) -> NDArray:
    """Return the distance to the surface between labels: positive inside of one, negative in 0.

    A volume that is all foreground is everywhere plus infinity, an empty one minus infinity.
    """
    distance = boundary_distance(foreground, voxel_size, part=part)
    outside = (foreground if part is None else foreground[part]) == 0
    return np.negative(distance, out=distance, where=outside)


def border_distance(shape: Sequence[int], voxel_size: Sequence[float], part: Slices | None = None) -> NDArray:
    """Return how far each voxel centre is from the border of a block, in world units."""
    part = part or (slice(None),) * len(shape)
    index = [np.arange(size)[kept] for size, kept in zip(shape, part, strict=True)]
    nearest = np.full([len(kept) for kept in index], np.inf, np.float32)
    for axis, (size, step, kept) in enumerate(zip(shape, voxel_size, index, strict=True)):
        along = (np.minimum(kept, size - 1 - kept) + 0.5) * step
        beside = (1,) * axis + (len(kept),) + (1,) * (len(shape) - axis - 1)
        np.minimum(nearest, along.astype(np.float32).reshape(beside), out=nearest)
    return nearest


@compiled()
def _scan_rows(labels: NDArray, step: float, outside_differs: bool, squared: NDArray) -> None:
    """Set the squared distances along the last axis alone; labels are (rows, n, 1)."""
    rows, n, _ = labels.shape
    for row in range(rows):
        start = 0
        while start < n:
            stop = start + 1
            while stop < n and labels[row, stop, 0] == labels[row, start, 0]:
                stop += 1
            for x in range(start, stop):
                distance = np.inf
                if start > 0 or outside_differs:
                    distance = x - start + 0.5
                if stop < n or outside_differs:
                    distance = min(distance, stop - x - 0.5)
                squared[row, x, 0] = (distance * step) ** 2
            start = stop


@compiled()
def _add_axis(labels: NDArray, step: float, outside_differs: bool, squared: NDArray) -> None:
    """Let the squared distances see across one more axis, the middle one of (before, n, after)."""
    before, n, after = labels.shape
    line, line_labels = np.empty(n), np.empty(n, labels.dtype)
    envelope = np.empty(n + 3), np.empty(n + 3), np.empty(n + 3)
    unit = float(step) * step
    for i in range(before):
        for j in range(after):
            for x in range(n):
                line[x] = squared[i, x, j] / unit
                line_labels[x] = labels[i, x, j]
            start = 0
            while start < n:
                stop = start + 1
                while stop < n and line_labels[stop] == line_labels[start]:
                    stop += 1
                # The voxels beside a run have another label: surfaces at height 0.
                first = start - 1 if start > 0 or outside_differs else start
                last = stop if stop < n or outside_differs else stop - 1
                _lower(line, start, stop, first, last, envelope)
                start = stop
            for x in range(n):
                squared[i, x, j] = line[x] * unit


@compiled()
def _lower(line: NDArray, start: int, stop: int, first: int, last: int, envelope: Envelope) -> None:
    """Lower the run [start, stop) of a line to the envelope of the parabolas at first ... last."""
    vertex, height, begin = envelope
    top = -1
    for y in range(first, last + 1):
        bottom = line[y] if start <= y < stop else 0.0
        if bottom == np.inf:
            continue
        raised = bottom + y * y
        crossing = -np.inf
        while top >= 0:
            crossing = (raised - height[top]) / (2 * (y - vertex[top]))
            if crossing > begin[top]:
                break
            top -= 1
        top += 1
        vertex[top], height[top] = y, raised
        begin[top] = crossing if top > 0 else -np.inf
    if top < 0:
        return
    begin[top + 1] = np.inf
    at = 0
    left = np.inf
    for x in range(start - 1, stop):
        between = x + 0.5
        while begin[at + 1] < between:
            at += 1
        right = between * (between - 2 * vertex[at]) + height[at]
        if x >= start:
            line[x] = min(line[x], left, right)
        left = right
