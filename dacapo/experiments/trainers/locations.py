"""Choosing the places of a dataset that patches are taken from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.errors import DataError
from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .configs import PatchTrainerConfig
from .patch_source import PatchSource

NDArray = np.ndarray[Any, Any]
Generator = np.random.Generator

TRIES = 1000
VOXELS_AT_ONCE = 2**26


class Locations:
    """Draws places of one dataset by the strategy of a trainer."""

    def __init__(self, source: PatchSource, config: PatchTrainerConfig) -> None:
        self.source, self.config = source, config
        self.strategy = config.sample_strategy or self._fitting()
        proposals: dict[str, Callable[[Generator], NDArray]] = {
            "sample_points": self._around_point,
        }
        if source.mask is not None:
            proposals |= {"mask": self._in_mask, "integral_mask": self._in_mask}
        self._propose = proposals.get(self.strategy, self._anywhere)
        self._by_mask = self.strategy in ("reject", "mask", "integral_mask")

    def draw(self, random: Generator) -> NDArray:
        """Return a place for a patch; ``DataError`` if none is acceptable."""
        for _ in range(TRIES):
            place = self._propose(random)
            if self._acceptable(place, random):
                return place
        raise DataError(
            f"dataset {self.source.name}: none of {TRIES} patches drawn by {self.strategy!r} was acceptable; "
            f"lower min_masked ({self.config.min_masked}) or gt_min_reject ({self.config.gt_min_reject}), "
            "or use sample_strategy='mask' or 'sample_points'"
        )

    def _fitting(self) -> str:
        if self.source.sample_points:
            return "sample_points"
        return "uniform" if self.source.mask is None else "mask"

    def _acceptable(self, place: NDArray, random: Generator) -> bool:
        if self._by_mask and self.source.masked(place) < self.config.min_masked:
            return False
        least = self.config.gt_min_reject
        if least is None or self.source.foreground(place) >= least:
            return True
        return bool(random.random() >= self.config.reject_probability)

    def _anywhere(self, random: Generator) -> NDArray:
        return np.asarray(random.integers(self.source.places))

    def _around_point(self, random: Generator) -> NDArray:
        low, high = self._points
        chosen = random.integers(len(low))
        return np.asarray(random.integers(low[chosen], high[chosen], endpoint=True))

    @cached_property
    def _points(self) -> tuple[NDArray, NDArray]:
        """The first and the last place at which the output holds a point, for each point that has any."""
        source = self.source
        points = np.asarray(source.sample_points or np.empty((0, source.gt.dims)), np.int64)
        step, size = np.asarray(source.shape.voxel_size), np.asarray(source.shape.output_roi.shape)
        relative = points - np.asarray(source.first)
        low = np.maximum(-((size - 1 - relative) // step), 0)
        high = np.minimum(relative // step, np.asarray(source.places) - 1)
        usable = (low <= high).all(axis=1)
        if not usable.any():
            raise DataError(
                f"dataset {source.name}: none of its {len(points)} sample points lies where a patch can be "
                f"taken, in {source.gt.roi.intersect(source.raw.roi)}; give some there, in world units, or "
                "another sample_strategy"
            )
        return low[usable], high[usable]

    def _in_mask(self, random: Generator) -> NDArray:
        """Propose a place in one of the blocks of places of which some may be good enough."""
        edge, blocks, cumulated = self._candidates
        block = blocks[np.searchsorted(cumulated, random.integers(cumulated[-1]), side="right")]
        low = block * edge
        return np.asarray(random.integers(low, np.minimum(low + edge, self.source.places)))

    @cached_property
    def _candidates(self) -> tuple[NDArray, NDArray, NDArray]:
        """Blocks of places, as (edge, index of each, cumulated sizes), that have enough mask around them.

        Only a bound: of the places in such a block some may be good enough.  In the others none is.
        """
        source, mask = self.source, self.source.mask
        assert mask is not None  # nobody asks otherwise
        step, size = np.asarray(source.shape.voxel_size), np.asarray(source.shape.output_roi.shape)
        edge = np.maximum(size // step // 4, 1)
        counts = count_blocks(mask, np.asarray(source.first), edge * step, source.span)
        # As many blocks as the patches from one block can touch.
        reach = -(-(size + np.asarray(mask.voxel_size)) // (step * edge)) + 1
        for axis, width in enumerate(reach):
            counts = _sliding_sum(counts, int(width), axis)
        needed = self.config.min_masked * np.prod(size / np.asarray(mask.voxel_size))
        starts = tuple(slice(-(-n // e)) for n, e in zip(source.places, edge, strict=True))
        blocks = np.argwhere(counts[starts] >= needed)
        if not len(blocks):
            raise DataError(
                f"dataset {source.name}: nowhere does the mask {mask.name} let {self.config.min_masked:.0%} "
                "of a patch count; lower min_masked, or use a smaller network output"
            )
        sizes = np.prod(np.minimum((blocks + 1) * edge, source.places) - blocks * edge, axis=1)
        return edge, blocks, np.cumsum(sizes)


def count_blocks(mask: Array, first: NDArray, edge: NDArray, span: NDArray) -> NDArray:
    """Return how many voxels are not 0 in each block of ``edge``, from ``first`` on, over ``span``.

    All in world units.  The mask is read once, some of it at a time; channels count as one.
    """
    number = -(-span // edge)
    voxel_size, offset = np.asarray(mask.voxel_size), np.asarray(mask.offset)
    bounds = [
        np.clip(
            (first[a] + np.arange(number[a] + 1) * edge[a] - offset[a]) // voxel_size[a],
            0,
            mask.spatial_shape[a],
        )
        for a in range(mask.dims)
    ]
    per_block = np.prod(edge // voxel_size + 1)
    chunk = [
        1,
        *(max(1, int(VOXELS_AT_ONCE // (per_block * number[-1]))) for _ in number[1:-1]),
        int(number[-1]),
    ]
    counts = np.zeros(number, np.int64)
    for corner in itertools.product(*(range(0, n, c) for n, c in zip(number, chunk, strict=True))):
        own = [b[i : i + c + 1] for b, i, c in zip(bounds, corner, chunk, strict=True)]
        begin, end = Coordinate(b[0] for b in own), Coordinate(b[-1] for b in own)
        data = (
            mask.to_ndarray(Roi(mask.offset + begin * mask.voxel_size, (end - begin) * mask.voxel_size)) > 0
        )
        block = np.asarray(data.any(axis=0) if mask.channel_dims else data)
        for axis, edges in enumerate(own):
            block = np.diff(_cumulated(block, axis).take(edges - edges[0], axis=axis), axis=axis)
        counts[tuple(slice(i, i + c) for i, c in zip(corner, chunk, strict=True))] = block
    return counts


def _cumulated(values: NDArray, axis: int) -> NDArray:
    """Return the sums of everything before each index, one more than there are values."""
    zero = np.zeros([1 if a == axis else n for a, n in enumerate(values.shape)], np.int64)
    return np.concatenate([zero, np.cumsum(values, axis=axis, dtype=np.int64)], axis=axis)


def _sliding_sum(values: NDArray, width: int, axis: int) -> NDArray:
    """Return, at each index, the sum of the values from there on, as many as ``width``."""
    size = values.shape[axis]
    total = _cumulated(values, axis)
    last = np.minimum(np.arange(size) + width, size)
    summed: NDArray = total.take(last, axis=axis) - total.take(np.arange(size), axis=axis)
    return summed
