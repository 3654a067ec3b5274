"""How far the voxels of one volume are from another's, in sums that are added up slab by slab.

Distances are exact, between the centres of voxels.  Squared distances add up axis by axis: along
the axis that slabs are cut, by looking at what precedes and what follows each voxel; across it,
by the lower envelope of parabolas of Felzenszwalb and Huttenlocher (Theory of Computing 8, 2012).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from dacapo.experiments.compiled import compiled

NDArray = np.ndarray[Any, Any]
Scratch = tuple[NDArray, NDArray, NDArray]

NOWHERE = 2**30  # more slices than any volume has
_LINES = 16  # read side by side: two cache lines of numbers


@attrs.define
class SurfaceDistances:
    """Sums over the distances of some voxels to the nearest of a goal; infinite where it is empty.

    ``voxel_size`` is that of slices, rows and columns.
    """

    voxel_size: Sequence[float]
    tolerance: float
    clip: float
    count: int = 0
    beyond: int = 0  # how many are farther than the tolerance
    total: float = 0.0
    clipped: float = 0.0
    largest: float = 0.0
    _since: NDArray | None = None

    def add(self, wanted: NDArray, goal: NDArray, following: NDArray) -> None:
        """Add voxels of the next slab, booleans of (slice, row, column).

        ``following`` tells how many slices lie, in each line, between the slab and the next of the goal.
        """
        if self._since is None:
            self._since = np.full(goal.shape[1:], NOWHERE, np.int32)
        slices = np.empty(goal.shape, np.int32)
        _along_slabs(goal, self._since, following + np.int32(1), slices)
        size = np.array(self.voxel_size, np.float64)
        count, beyond, total, clipped, largest = _summed(
            wanted, slices, size, float(self.tolerance), float(self.clip)
        )
        self.count += count
        self.beyond += beyond
        self.total += total
        self.clipped += clipped
        self.largest = max(self.largest, largest)


def first_positives(volume: NDArray, following: NDArray) -> NDArray:
    """Return how many slices there are before the first positive of each line, in a slab or what follows."""
    first = following + np.int32(len(volume))
    for at in reversed(range(len(volume))):
        first[volume[at]] = at
    return first


@compiled()
def _along_slabs(goal: NDArray, since: NDArray, until: NDArray, slices: NDArray) -> None:
    """Write how many slices away from each voxel the goal is in its line.

    ``since`` and ``until`` are how many it is away from the last slice before the slab, and from its own
    last; ``since`` is brought up to the end of the slab.
    """
    count, rows, columns = goal.shape
    for z in range(count):
        for y in range(rows):
            for x in range(columns):
                since[y, x] = 0 if goal[z, y, x] else since[y, x] + 1
                slices[z, y, x] = since[y, x]
    for z in range(count - 1, -1, -1):
        for y in range(rows):
            for x in range(columns):
                slices[z, y, x] = min(slices[z, y, x], until[y, x])
                until[y, x] = 1 if goal[z, y, x] else until[y, x] + 1


@compiled()
def _summed(
    wanted: NDArray, slices: NDArray, voxel_size: NDArray, tolerance: float, clip: float
) -> tuple[int, int, float, float, float]:
    """Return the number of wanted voxels, of those beyond the tolerance, and sums of their distances."""
    _, rows, columns = wanted.shape
    plane, needed = np.empty((rows, columns)), np.empty(rows, np.bool_)
    size = max(rows, columns) + 2
    scratch = np.empty(size, np.int64), np.empty(size), np.empty(size)
    count, beyond, total, clipped, largest = 0, 0, 0.0, 0.0, 0.0
    for z in range(len(wanted)):
        for y in range(rows):
            needed[y] = wanted[z, y].any()
        if not needed.any():
            continue
        _across_rows(slices[z], needed, voxel_size, scratch, plane)
        for y in range(rows):
            if not needed[y]:
                continue
            _lower(plane[y], voxel_size[2], scratch)
            for x in range(columns):
                if wanted[z, y, x]:
                    distance = math.sqrt(plane[y, x])
                    count += 1
                    beyond += distance > tolerance
                    total += distance
                    clipped += min(distance, clip)
                    largest = max(largest, distance)
    return count, beyond, total, clipped, largest


@compiled()
def _across_rows(
    slices: NDArray, needed: NDArray, voxel_size: NDArray, scratch: Scratch, plane: NDArray
) -> None:
    """Write the squared distances within slices and rows for all rows that are needed."""
    rows, columns = slices.shape
    lines = np.empty((_LINES, rows))
    for start in range(0, columns, _LINES):
        width = min(_LINES, columns - start)
        for y in range(rows):
            for x in range(width):
                away = slices[y, start + x]
                lines[x, y] = np.inf if away >= NOWHERE else (away * voxel_size[0]) ** 2
        for x in range(width):
            _lower(lines[x], voxel_size[1], scratch)
        for y in range(rows):
            if needed[y]:
                for x in range(width):
                    plane[y, start + x] = lines[x, y]


@compiled()
def _lower(line: NDArray, step: float, scratch: Scratch) -> None:
    """Lower a line of squared distances to the envelope of the parabolas that stand on them."""
    vertex, bottom, begin = scratch
    unit = step * step
    top = -1
    for x in range(len(line)):
        if line[x] == np.inf:
            continue
        crossing = -np.inf
        while top >= 0:
            apart = x - vertex[top]
            crossing = (line[x] - bottom[top]) / (2 * unit * apart) + x - apart / 2
            if crossing > begin[top]:
                break
            top -= 1
        top += 1
        vertex[top], bottom[top] = x, line[x]
        begin[top] = crossing if top > 0 else -np.inf
    if top < 0:
        return
    begin[top + 1] = np.inf
    at = 0
    for x in range(len(line)):
        while begin[at + 1] < x:
            at += 1
        line[x] = bottom[at] + unit * (x - vertex[at]) ** 2
