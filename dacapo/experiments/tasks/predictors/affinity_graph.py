"""Which neighbours of a voxel belong to the same object: affinities along offsets of any length and sign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from funlib.geometry import Coordinate

from dacapo.errors import InvalidArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array

NDArray = np.ndarray[Any, Any]
Slices = tuple[slice, ...]


def require_ids(array: Array) -> None:
    """Raise ``InvalidArray`` for ground truth that does not hold whole numbers."""
    if array.dtype.kind not in "iub":
        raise InvalidArray(
            f"{array.name} is of type {array.dtype}, but affinities compare the ids of objects; give "
            "whole numbers, one for each object and 0 for the background"
        )


def pairs(shape: Sequence[int], part: Slices, offset: Coordinate) -> tuple[Slices, Slices, Slices]:
    """Return where both ends of an offset lie in a block: in the part, of first ends, and of second ends.

    The first says which voxels of ``part`` have a neighbour in the block; the other two cut these and
    their neighbours out of the block.
    """
    within, first, second = [], [], []
    for size, kept, step in zip(shape, part, offset, strict=True):
        begin, end, _ = kept.indices(size)
        low = min(max(begin, -step, 0), end)
        high = max(min(end, size - step, size), low)
        within.append(slice(low - begin, high - begin))
        first.append(slice(low, high))
        second.append(slice(low + step, high + step))
    return tuple(within), tuple(first), tuple(second)


def affinities(labels: NDArray, offsets: Sequence[Coordinate], part: Slices | None = None) -> NDArray:
    """Return 1 where a voxel and its neighbour along an offset have the same id, not 0; else 0.

    ``labels`` are ids (spatial...), the result is uint8 (offset, spatial...) of ``part``.  Where the
    neighbour lies beyond the block it is 0, and ``both_known`` says so.
    """
    part = part or (slice(None),) * labels.ndim
    labels = _narrow(labels)
    inside = labels != 0
    made = np.zeros((len(offsets), *labels[part].shape), bool)
    for channel, offset in zip(made, offsets, strict=True):
        within, first, second = pairs(labels.shape, part, offset)
        np.equal(labels[first], labels[second], out=channel[within])
        channel[within] &= inside[first]
    return made.view(np.uint8)


def both_known(
    shape: Sequence[int], known: NDArray | None, offsets: Sequence[Coordinate], part: Slices
) -> Iterator[NDArray]:
    """Yield for each offset where both ends lie in the block, and are known by a mask (spatial...)."""
    sizes = [len(range(*kept.indices(size))) for kept, size in zip(part, shape, strict=True)]
    for offset in offsets:
        within, first, second = pairs(shape, part, offset)
        both = np.zeros(sizes, bool)
        both[within] = True if known is None else known[first] & known[second]
        yield both


def _narrow(labels: NDArray) -> NDArray:
    """Return ids in as few bytes as they fit: comparing is a matter of memory."""
    if labels.dtype.itemsize <= 4 or labels.size == 0:
        return labels
    low, high = labels.min(), labels.max()
    return labels.astype(np.uint32) if low >= 0 and high < 2**32 else labels
