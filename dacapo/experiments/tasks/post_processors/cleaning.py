"""Tidying up predictions and segmentations: smoothing, filling holes, leaving out what is small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cc3d
import fastremap
import numpy as np
from scipy.ndimage import gaussian_filter

from .parameters import TRUNCATE, CleaningParameters

NDArray = np.ndarray[Any, Any]


def smoothed(prediction: NDArray, deviation: float, voxel_size: Sequence[float]) -> NDArray:
    """Return each channel (channel, spatial...) smoothed by a Gaussian, all in world units; float32."""
    sigma = [deviation / step for step in voxel_size]
    made = np.empty(prediction.shape, np.float32)
    for channel, result in zip(prediction, made, strict=True):
        gaussian_filter(channel, sigma, output=result, mode="nearest", truncate=TRUNCATE)
    return made


def tidied(ids: NDArray, parameters: Any) -> NDArray:
    """Return ids (spatial...) as ``fill_holes`` and ``min_size`` of the parameters say."""
    if parameters.fill_holes:
        ids = without_holes(ids)
    return without_small(ids, parameters.min_size)


def tidied_classes(classes: NDArray, parameters: CleaningParameters) -> NDArray:
    """Return classes (spatial...) so tidied up; each connected piece has a size of its own."""
    if parameters.fill_holes:
        classes = without_holes(classes)
    if parameters.min_size < 2:
        return classes
    kept = without_small(components(classes), parameters.min_size) > 0
    return classes * kept


def components(labels: NDArray) -> NDArray:
    """Number the pieces of equal labels that are connected by faces, from 1; 0 stays; uint32."""
    made: NDArray = cc3d.connected_components(
        np.ascontiguousarray(labels), connectivity=2 * labels.ndim, out_dtype=np.uint32
    )
    return made


def without_holes(ids: NDArray) -> NDArray:
    """Return ids with those of the only object around a hole in it.

    A hole is background that is connected by faces, not to the border.
    """
    holes = components(ids == 0)
    around = dict[int, int]()
    for hole, label in _neighbours(holes, ids):
        if around.setdefault(hole, label) != label:
            around[hole] = 0
    for axis in [axis for axis, size in enumerate(ids.shape) if size > 1]:
        for side in (0, -1):
            around |= dict.fromkeys(np.unique(holes.take(side, axis)).tolist(), 0)
    names = np.zeros(int(holes.max(initial=0)) + 1, ids.dtype)
    names[list(around)] = list(around.values())
    return np.where(ids == 0, names[holes], ids)


def _neighbours(holes: NDArray, ids: NDArray) -> Iterable[tuple[int, int]]:
    """Yield the pairs of a hole and the id of an object that share a face, often more than once."""
    for axis in range(ids.ndim):
        one, other = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        for hole, label in ((holes[one], ids[other]), (holes[other], ids[one])):
            touching = (hole != 0) & (label != 0)
            pairs = np.stack([hole[touching], label[touching]], axis=1)
            yield from map(tuple, np.unique(pairs, axis=0).tolist())


def without_small(ids: NDArray, least: int) -> NDArray:
    """Return ids, counted anew from 1, without those of fewer than ``least`` voxels; uint64."""
    few = ids
    if ids.max(initial=0) > 2 * ids.size:  # a table of all up to the largest would not pay
        few = fastremap.renumber(ids, in_place=False)[0]
    names = np.bincount(few.ravel().astype(np.int64, copy=False)) >= max(least, 1)
    names[:1] = False
    counted = np.where(names, np.cumsum(names), 0).astype(np.uint64)
    made: NDArray = counted[few]
    return made
