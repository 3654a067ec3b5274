"""Volumes of objects that touch."""

from __future__ import annotations

from typing import Any

import numpy as np

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray


def touching(shape: tuple[int, ...], count: int, radius: float = 9, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return ids of balls around random points, each cut where it meets the next."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    nearest, ids = np.full(shape, np.inf), np.zeros(shape, np.uint64)
    for number, point in enumerate(rng.random((count, len(shape))) * shape, start=1):
        distance = np.linalg.norm(grid - point, axis=-1)
        closer = distance < nearest
        nearest[closer], ids[closer] = distance[closer], number
    ids[nearest >= radius] = 0
    return ids


def array(data: np.ndarray[Any, Any], voxel_size: tuple[int, ...] = (1, 1, 1)) -> NumpyArray:
    """Return an array that begins away from 0."""
    return NumpyArray(data, voxel_size[-data.ndim :], tuple(5 * size for size in voxel_size[-data.ndim :]))
