"""Flows within objects: where heat that is let into the centre comes from.

Heat is let into the voxel of an object that is nearest to its mean, step by step, and spreads over its
voxels only; the flow is the direction in which the logarithm of the heat rises.  It leads from any
voxel to the centre without leaving the object, however it is bent.  The idea is that of Cellpose
(Stringer et al., Nature Methods 18, 2021), here in two or three dimensions, with steps between voxels
that are weighted by 1 / distance^2, as in the heat equation on an anisotropic grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastremap
import numba
import numpy as np
from scipy.ndimage import find_objects

NDArray = np.ndarray[Any, Any]
Slices = tuple[slice, ...]


def flows(labels: NDArray, voxel_size: Sequence[float], part: Slices | None = None) -> NDArray:
    """Return unit vectors, in world units, towards the centre of each voxel's object; 0 outside of objects.

    ``labels`` are ids (spatial...) in two or three dimensions, 0 is background; the result is float32
    (axis, spatial...) of ``part``.  Objects are taken to end with the block.
    """
    part = part or (slice(None),) * labels.ndim
    bounds = [kept.indices(size)[:2] for kept, size in zip(part, labels.shape, strict=True)]
    made = np.zeros((labels.ndim, *(end - begin for begin, end in bounds)), np.float32)
    few = fastremap.renumber(labels, in_place=False)[0].astype(np.int32)
    for label, box in enumerate(find_objects(few), start=1):
        if box is None:
            continue
        shared = [
            (max(kept.start, begin), min(kept.stop, end))
            for kept, (begin, end) in zip(box, bounds, strict=True)
        ]
        if any(first >= last for first, last in shared):
            continue
        mask = few[box] == label
        flow = flow_of(mask, voxel_size)
        source = tuple(
            slice(a - kept.start, b - kept.start) for (a, b), kept in zip(shared, box, strict=True)
        )
        target = tuple(slice(a - begin, b - begin) for (a, b), (begin, _) in zip(shared, bounds, strict=True))
        inside = mask[source]
        made[(slice(None), *target)][:, inside] = flow[(slice(None), *source)][:, inside]
    return made


def flow_of(mask: NDArray, voxel_size: Sequence[float]) -> NDArray:
    """Return the flow within one object, given as booleans (spatial...); 0 at its centre and outside."""
    size = np.asarray(voxel_size, np.float64)
    padded = np.pad(mask, 1)
    space = padded if padded.ndim == 3 else padded[np.newaxis]
    if space is not padded:  # a plane lies between two empty ones
        space = np.concatenate([np.zeros_like(space), space, np.zeros_like(space)])
    sizes = np.concatenate([np.ones(3 - len(size)), size])
    weights = (1 / sizes**2) / (2 * (1 / size**2).sum())
    heat = _diffuse(space, centre_of(space, sizes), weights, 2 * sum(mask.shape) + 10)
    vectors = _rise(heat, space, sizes)
    inner = vectors[:, 1:-1, 1:-1, 1:-1]
    return inner if mask.ndim == 3 else inner[1:, 0]


def centre_of(mask: NDArray, voxel_size: NDArray) -> NDArray:
    """Return the index of the voxel of an object that is nearest to its mean."""
    places = np.argwhere(mask)
    away = ((places - places.mean(axis=0)) * voxel_size) ** 2
    found: NDArray = places[away.sum(axis=1).argmin()]
    return found


@numba.njit(cache=True, nogil=True)
def _diffuse(mask: NDArray, centre: NDArray, weights: NDArray, steps: int) -> NDArray:
    """Return the heat of each voxel after so many steps; the mask has an empty margin."""
    heat = np.zeros(mask.shape, np.float64)
    other = np.zeros(mask.shape, np.float64)
    depth, height, width = mask.shape
    for _ in range(steps):
        heat[centre[0], centre[1], centre[2]] += 1.0
        for z in range(1, depth - 1):
            for y in range(1, height - 1):
                for x in range(1, width - 1):
                    if not mask[z, y, x]:
                        continue
                    here = heat[z, y, x]
                    # What would flow across the surface stays: half of each voxel moves at every step.
                    total = here
                    if mask[z - 1, y, x]:
                        total += 0.5 * weights[0] * (heat[z - 1, y, x] - here)
                    if mask[z + 1, y, x]:
                        total += 0.5 * weights[0] * (heat[z + 1, y, x] - here)
                    if mask[z, y - 1, x]:
                        total += 0.5 * weights[1] * (heat[z, y - 1, x] - here)
                    if mask[z, y + 1, x]:
                        total += 0.5 * weights[1] * (heat[z, y + 1, x] - here)
                    if mask[z, y, x - 1]:
                        total += 0.5 * weights[2] * (heat[z, y, x - 1] - here)
                    if mask[z, y, x + 1]:
                        total += 0.5 * weights[2] * (heat[z, y, x + 1] - here)
                    other[z, y, x] = total
        heat, other = other, heat
    return heat


@numba.njit(cache=True, nogil=True)
def _rise(heat: NDArray, mask: NDArray, sizes: NDArray) -> NDArray:
    """Return the direction in which the logarithm of the heat rises, within the mask."""
    depth, height, width = mask.shape
    flow = np.zeros((3, depth, height, width), np.float32)
    tiny = 1e-300
    for z in range(1, depth - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                if not mask[z, y, x]:
                    continue
                here = np.log(heat[z, y, x] + tiny)
                length = 0.0
                for axis in range(3):
                    a, b, c = int(axis == 0), int(axis == 1), int(axis == 2)
                    # Beyond the surface nothing is known: there it rises no further.
                    ahead, behind = here, here
                    if mask[z + a, y + b, x + c]:
                        ahead = np.log(heat[z + a, y + b, x + c] + tiny)
                    if mask[z - a, y - b, x - c]:
                        behind = np.log(heat[z - a, y - b, x - c] + tiny)
                    rise = (ahead - behind) / sizes[axis]
                    flow[axis, z, y, x] = rise
                    length += rise * rise
                if length > 0:
                    length = np.sqrt(length)
                    for axis in range(3):
                        flow[axis, z, y, x] /= length
    return flow
