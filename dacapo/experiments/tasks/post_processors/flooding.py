"""Flooding a volume from seeds, the highest voxels first: the watershed of Meyer (1991)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dacapo.experiments.compiled import compiled

NDArray = np.ndarray[Any, Any]
LEVELS = 1024


def flooded(height: NDArray, seeds: NDArray, mask: NDArray) -> NDArray:
    """Return seeds (spatial...), ids in two or three dimensions, grown over all of the mask they reach.

    Of the voxels beside what is flooded the highest is next, and of equal ones that which came
    beside it first.  Heights are told apart in 1024 steps between the lowest and the highest of
    the mask.  Neighbours share a face.
    """
    shape = (1,) * (3 - height.ndim) + height.shape
    ids = np.pad(np.where(mask, seeds, 0).astype(np.uint32).reshape(shape), 1)
    level = np.pad(_levels(height, mask).reshape(shape), 1)  # 0 is not to be flooded
    strides = np.array([step // ids.itemsize for step in ids.strides])
    after = np.full(ids.size, -1, np.int32 if ids.size < 2**31 else np.int64)
    _flood(level.reshape(-1), ids.reshape(-1), after, strides)
    made: NDArray = ids[1:-1, 1:-1, 1:-1].reshape(height.shape)
    return made


def _levels(height: NDArray, mask: NDArray) -> NDArray:
    """Return heights as whole numbers from 1 in the mask, and 0 outside."""
    within = height[mask]
    low, high = (float(within.min()), float(within.max())) if within.size else (0.0, 0.0)
    scale = (LEVELS - 1) / (high - low) if high > low else 0.0
    return np.where(mask, 1 + (height - low) * scale, 0).astype(np.uint16)


@compiled()
def _flood(level: NDArray, ids: NDArray, after: NDArray, strides: NDArray) -> None:
    """Give every voxel above level 0 that can be reached the id of its seed; both have a margin of 0.

    Each level has a queue of voxels, linked by ``after``.
    """
    first = np.full(LEVELS + 1, -1, np.int64)
    last = np.full(LEVELS + 1, -1, np.int64)
    top = 0
    for voxel in range(level.size):
        if ids[voxel] != 0:
            top = max(top, _join(first, last, after, level[voxel], voxel))
    while top > 0:
        voxel = first[top]
        if voxel < 0:
            top -= 1
            continue
        first[top] = after[voxel]
        if first[top] < 0:
            last[top] = -1
        for axis in range(3):
            for step in (-strides[axis], strides[axis]):
                beside = voxel + step
                if level[beside] != 0 and ids[beside] == 0:
                    ids[beside] = ids[voxel]
                    top = max(top, _join(first, last, after, level[beside], beside))


@compiled()
def _join(first: NDArray, last: NDArray, after: NDArray, level: int, voxel: int) -> int:
    """Put a voxel at the end of the queue of its level, and return that."""
    if last[level] < 0:
        first[level] = voxel
    else:
        after[last[level]] = voxel
    last[level] = voxel
    return level
