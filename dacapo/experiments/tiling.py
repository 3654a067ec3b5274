"""Which tiles a network sees to predict a region.

Tiles start at whole strides of the network, counted from where the raw image begins.  So a voxel
is predicted alike whichever region was asked for, as far as the network does not pad.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidRequest, OutsideData, ShapeError

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets.arrays.array import Array
    from dacapo.experiments.model import Model


@attrs.frozen
class Tile:
    """One piece of work: read ``read``, predict, take ``crop`` of it, and write that to ``write``.

    The regions are in world units, ``crop`` counts voxels of the prediction.
    """

    read: Roi
    write: Roi
    crop: tuple[slice, ...]


@attrs.frozen(kw_only=True)
class Tiling:
    """Tiles, all of one shape, that cover ``region``.

    ``step`` is from tile to tile, ``context`` what the network sees beyond its output on each
    side, both in world units.
    """

    region: Roi
    begin: Coordinate
    step: Coordinate
    context: Coordinate
    voxel_size: Coordinate
    output_voxel_size: Coordinate
    input_shape: Coordinate
    output_shape: Coordinate

    @property
    def counts(self) -> Coordinate:
        """How many tiles there are along each axis."""
        extent = self.region.end - self.begin
        return Coordinate(-(-e // s) for e, s in zip(extent, self.step, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __getitem__(self, number: int) -> Tile:
        """Return a tile; they are counted with the last axis running fastest."""
        indices = []
        for count in reversed(self.counts):
            number, index = divmod(number, count)
            indices.append(index)
        return self._tile(Coordinate(reversed(indices)))

    def __iter__(self) -> Iterator[Tile]:
        return map(self._tile, map(Coordinate, itertools.product(*map(range, self.counts))))

    def _tile(self, index: Coordinate) -> Tile:
        begin = self.begin + index * self.step
        read = Roi(begin - self.context, self.input_shape * self.voxel_size)
        write = Roi(begin, self.step).intersect(self.region)
        first = (write.offset - begin) / self.output_voxel_size
        shape = write.shape / self.output_voxel_size
        return Tile(read, write, tuple(slice(f, f + s) for f, s in zip(first, shape, strict=True)))


def tiles_covering(
    model: Model,
    raw: Array,
    output_roi: Roi | None = None,
    tile_shape: Coordinate | None = None,
    max_voxels: int = 0,
) -> Tiling:
    """Return tiles that cover a region of what a model makes of an array.

    The region is grown to whole voxels of the prediction; None is all of ``raw``.  ``tile_shape``
    is the input of one tile in voxels; by default ``model.eval_input_shape``, or, where shapes
    that work are known, as few tiles of even size as are possible with ``max_voxels`` each.
    """
    voxel_size, output_voxel_size = raw.voxel_size, model.scale(raw.voxel_size)
    base = model.eval_input_shape if tile_shape is None else Coordinate(tile_shape)
    output_shape = model.compute_output_shape(base)[1]
    lost = base * voxel_size - output_shape * output_voxel_size
    if any(lost[i] % (2 * voxel_size[i]) for i in range(raw.dims)):
        raise ShapeError(
            f"{model.architecture.name!r} makes {tuple(output_shape)} voxels of {tuple(output_voxel_size)} "
            f"from {tuple(base)} of {tuple(voxel_size)}: the output lies half a voxel beside the input; "
            "change the input shape by one voxel along such an axis"
        )
    stride = model.architecture.stride
    unit = Coordinate(map(math.lcm, voxel_size, output_voxel_size, voxel_size * (stride or 1)))
    region = _region(raw, output_roi, output_voxel_size)
    begin = raw.offset + (region.offset - raw.offset) // unit * unit
    step = output_shape * output_voxel_size // unit * unit
    if tile_shape is None and stride is not None:
        limit = max(max_voxels, math.prod(base))
        step = _even_steps(region.end - begin, unit, lost, voxel_size, limit)
        base = base + _rounded_up(step + lost - base * voxel_size, stride * voxel_size) / voxel_size
        output_shape = model.compute_output_shape(base)[1]
    if min(step) < 1:
        raise ShapeError(
            f"{model.architecture.name!r} makes {tuple(output_shape)} voxels from {tuple(base)}, too few "
            f"to lay tiles of them side by side; ask for larger ones with tile_shape"
        )
    return Tiling(
        region=region,
        begin=begin,
        step=step,
        context=lost / 2,
        voxel_size=voxel_size,
        output_voxel_size=output_voxel_size,
        input_shape=base,
        output_shape=output_shape,
    )


def _region(raw: Array, output_roi: Roi | None, voxel_size: Coordinate) -> Roi:
    """Return the region to predict, on the grid of the prediction, or raise ``OutsideData``."""
    if output_roi is None:
        return (raw.roi - raw.offset).snap_to_grid(voxel_size, mode="shrink") + raw.offset
    if output_roi.dims != raw.dims:
        raise InvalidRequest(
            f"cannot predict {output_roi}: it has {output_roi.dims} axes and {raw.name} has {raw.dims}"
        )
    region = (output_roi - raw.offset).snap_to_grid(voxel_size, mode="grow") + raw.offset
    if region.empty or not raw.roi.contains(region):
        raise OutsideData(
            f"cannot predict {output_roi}: {raw.name} has data in {raw.roi} only; ask for a part of that"
        )
    return region


def _rounded_up(length: Coordinate, unit: Coordinate) -> Coordinate:
    return Coordinate(-(-n // u) * u for n, u in zip(length, unit, strict=True))


def _even_steps(
    extent: Coordinate, unit: Coordinate, lost: Coordinate, voxel_size: Coordinate, limit: int
) -> Coordinate:
    """Return steps of equal length that cover ``extent``, with at most ``limit`` voxels of input each.

    Cuts in two, in three, ... along the axis where that makes for the least input seen twice.
    """

    def step(axis: int, count: int) -> int:
        return int(-(-extent[axis] // (count * unit[axis])) * unit[axis])

    def shorter(axis: int) -> int:
        """Return the number of steps that are the next shorter ones."""
        return int(-(-extent[axis] // (step(axis, counts[axis]) - unit[axis])))

    def voxels(axis: int, count: int) -> int:
        return int((step(axis, count) + lost[axis]) // voxel_size[axis])

    def price(axis: int) -> tuple[float, int]:
        now, then = voxels(axis, counts[axis]), voxels(axis, shorter(axis))
        return round(shorter(axis) * then / (counts[axis] * now), 6), -now

    axes = range(len(extent))
    counts = [1 for _ in axes]
    while math.prod(map(voxels, axes, counts)) > limit:
        divisible = [axis for axis in axes if step(axis, counts[axis]) > unit[axis]]
        if not divisible:
            break
        axis = min(divisible, key=price)
        counts[axis] = shorter(axis)
    return Coordinate(map(step, axes, counts))
