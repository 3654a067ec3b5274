"""Reading volumes slab by slab, so that scores of larger ones need no more memory.

A slab reaches across the whole volume but along one axis, the longest.  What is counted in slabs
adds up.  Distances do too, exactly: all that they need to know of other slabs is, for each line
along that axis, how far before the slab the last positive is, and how far behind it the next.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array

NDArray = np.ndarray[Any, Any]


def longest_axis(shape: Sequence[int]) -> int:
    """Return the axis along which ``slabs`` cuts a volume."""
    return int(np.argmax(shape))


def slabs(array: Array, most_voxels: int) -> list[Roi]:
    """Cut an array into slabs, in world units, in order; only one of a single slice may have more voxels.

    Voxels are those of all channels.  Slabs that are thick enough end where chunks end.
    """
    axis = longest_axis(array.spatial_shape)
    length = array.spatial_shape[axis]
    thickness = max(1, most_voxels * length // max(1, math.prod(array.shape)))
    chunk = getattr(array, "chunk_shape", None) or (1,) * array.dims
    if thickness > chunk[axis]:
        thickness -= thickness % chunk[axis]
    along = Coordinate(int(i == axis) for i in range(array.dims))
    size = array.spatial_shape + along * (thickness - length)
    begins = (
        array.offset + along * begin * array.voxel_size for begin in range(0, max(1, length), thickness)
    )
    return [Roi(begin, size * array.voxel_size).intersect(array.roi) for begin in begins]


def with_what_follows(
    slabs: Sequence[Roi], step_back: Callable[[NDArray, Roi], NDArray], behind_all: NDArray
) -> Iterator[tuple[Roi, NDArray]]:
    """Yield each slab with what is known of all slabs behind it.

    From what is known behind a slab ``step_back`` makes what is known before it.  That may be large
    and is not kept for all slabs: those of all sections but the first are looked at twice for it.
    """
    most = max(8, math.isqrt(len(slabs)))
    sections = [slabs[start : start + most] for start in range(0, len(slabs), most)]
    ends = [behind_all]
    for section in reversed(sections[1:]):
        ends.append(functools.reduce(step_back, reversed(section), ends[-1]))
    for section in sections:
        known = list(itertools.accumulate(reversed(section[1:]), step_back, initial=ends.pop()))
        for slab in section:
            yield slab, known.pop()


def in_slices(volume: NDArray, axis: int) -> NDArray:
    """Lay a volume of up to three dimensions out as (slice, row, column), slices along an axis."""
    moved = np.moveaxis(volume, axis, 0)
    return np.ascontiguousarray(moved.reshape(sizes_in_slices(volume.shape, axis)))


def sizes_in_slices(sizes: Sequence[Any], axis: int) -> tuple[Any, ...]:
    """Return the shape, or the voxel size, of what ``in_slices`` lays out."""
    across = [size for i, size in enumerate(sizes) if i != axis]
    return (sizes[axis], *(1,) * (2 - len(across)), *across)
