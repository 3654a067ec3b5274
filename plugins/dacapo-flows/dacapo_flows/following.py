"""Following a predicted flow to where it ends, and parting objects by their ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cc3d
import fastremap
import numba
import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, uniform_filter

from .diffusion import flows

NDArray = np.ndarray[Any, Any]

STEPS = 200  # each as long as the smallest side of a voxel, besides those that long objects need
ROUND = 20  # steps, after which who has not moved on has arrived
REACH = 3  # voxels


def part(flow: NDArray, foreground: NDArray, voxel_size: Sequence[float]) -> NDArray:
    """Return an id for each voxel of the foreground: the same for those that end in the same place.

    ``flow`` is (axis, spatial...) in world units, of length 1 where it is sure; ``foreground`` is
    booleans (spatial...).  Ids are counted from 1; 0 is background.  Objects that touch and whose
    centres lie within about three voxels of each other are not told apart.
    """
    made = np.zeros(foreground.shape, np.uint32)
    starts = np.argwhere(foreground)
    if not len(starts):
        return made
    step = min(voxel_size)
    pace = np.stack([way * (step / size) for way, size in zip(flow, voxel_size, strict=True)], axis=-1)
    space = foreground.shape if foreground.ndim == 3 else (1, *foreground.shape)
    deep = np.zeros((*space, 3), np.float32)
    deep[..., 3 - foreground.ndim :] = pace.reshape(*space, foreground.ndim)
    here = np.zeros((len(starts), 3), np.int64)
    here[:, 3 - foreground.ndim :] = starts
    ends = _follow(deep, here, STEPS)
    found = _sinks(ends, space)[tuple(ends.T)]
    made[foreground] = found
    made = _with_strays(_with_small(made, foreground), foreground)
    made, _ = fastremap.renumber(made, in_place=True)
    return made.astype(np.uint32)


def _sinks(ends: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Number the places where flows end: neighbouring voxels where many do, and those around."""
    counts = np.zeros(shape, np.float32)
    np.add.at(counts, tuple(ends.T), 1)
    around = tuple(3 if size > 1 else 1 for size in shape)
    dense = uniform_filter(counts, around, mode="constant") * np.prod(around)
    # A sink is where more flow ends than voxels lie around it; stray ends join what is beside them.
    structure = np.ones(around, bool)
    strong = (counts > 0) & (dense >= np.prod(around))
    sinks = cc3d.connected_components(binary_dilation(strong, structure), connectivity=26)
    return np.asarray(sinks)


def _with_small(ids: NDArray, foreground: NDArray) -> NDArray:
    """Make an object of each piece of foreground that is too small for enough flow to end in it."""
    pieces = cc3d.connected_components(foreground, connectivity=26 if foreground.ndim == 3 else 8)
    has_sink = np.zeros(int(pieces.max()) + 1, bool)
    has_sink[pieces[ids > 0]] = True
    has_sink[0] = True
    return np.where(has_sink[pieces], ids, pieces + ids.max())


def _with_strays(ids: NDArray, foreground: NDArray) -> NDArray:
    """Give voxels whose flow ends nowhere in particular to the object beside them, if there is one."""
    stray = foreground & (ids == 0)
    if not stray.any() or not ids.any():
        return ids
    away, nearest = distance_transform_edt(ids == 0, return_indices=True)
    return np.where(stray & (away <= REACH), ids[tuple(nearest)], ids)


def flow_errors(ids: NDArray, flow: NDArray, voxel_size: Sequence[float]) -> NDArray:
    """Return, for each id, the mean square, over its voxels, of its own flow less the predicted."""
    error = ((flows(ids, voxel_size) - flow) ** 2).sum(axis=0)
    errors: NDArray = np.bincount(ids.ravel(), error.ravel()) / np.maximum(np.bincount(ids.ravel()), 1)
    return errors


def keep(ids: NDArray, errors: NDArray | None, most: float | None, least: int) -> NDArray:
    """Return the objects of at least so many voxels, and of at most so much error where that is given."""
    bad = np.bincount(ids.ravel()) < least
    if errors is not None and most is not None:
        bad |= errors > most
    bad[0] = True
    kept: NDArray = np.where(bad[ids], 0, ids)
    return fastremap.renumber(kept, in_place=True)[0]


@numba.njit(cache=True, nogil=True)
def _follow(pace: NDArray, starts: NDArray, steps: int) -> NDArray:
    """Return the voxel in which each start ends, walking by linear interpolation, and never out of sight."""
    depth, height, width, _ = pace.shape
    ends = np.empty_like(starts)
    for index in range(len(starts)):
        z, y, x = float(starts[index, 0]), float(starts[index, 1]), float(starts[index, 2])
        # The limit is for flows that go round in circles.
        for _ in range((steps + depth + height + width) // ROUND):
            before = z, y, x
            for _ in range(ROUND):
                a, b, c = _at(pace, z, y, x)
                if a * a + b * b + c * c < 1e-4:
                    break
                z = min(max(z + a, 0.0), depth - 1.0)
                y = min(max(y + b, 0.0), height - 1.0)
                x = min(max(x + c, 0.0), width - 1.0)
            if abs(z - before[0]) + abs(y - before[1]) + abs(x - before[2]) < 0.5:
                break
        ends[index, 0], ends[index, 1], ends[index, 2] = round(z), round(y), round(x)
    return ends


@numba.njit(cache=True, nogil=True)
def _at(pace: NDArray, z: float, y: float, x: float) -> tuple[float, float, float]:
    """Return the pace between voxels, by linear interpolation."""
    depth, height, width, _ = pace.shape
    i, j, k = int(z), int(y), int(x)
    u, v, w = z - i, y - j, x - k
    a = b = c = 0.0
    for di in range(2):
        if (di and u == 0.0) or i + di >= depth:
            continue
        p = u if di else 1.0 - u
        for dj in range(2):
            if (dj and v == 0.0) or j + dj >= height:
                continue
            q = p * (v if dj else 1.0 - v)
            for dk in range(2):
                if (dk and w == 0.0) or k + dk >= width:
                    continue
                r = q * (w if dk else 1.0 - w)
                a += r * pace[i + di, j + dj, k + dk, 0]
                b += r * pace[i + di, j + dj, k + dk, 1]
                c += r * pace[i + di, j + dj, k + dk, 2]
    return a, b, c
