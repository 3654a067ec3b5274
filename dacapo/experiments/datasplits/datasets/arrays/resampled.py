"""Arrays with larger or smaller voxels than their source."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.config import build
from dacapo.errors import InvalidArray

from .array import Array, NDArray, Slices
from .views import View

if TYPE_CHECKING:
    from .configs import ResampledArrayConfig


@attrs.frozen
class _Axis:
    """How voxels along one axis come from those of the source, which has ``size`` of them."""

    up: int
    down: int
    begin: int
    size: int

    def source(self, wanted: slice, linear: bool) -> slice:
        """Return the voxels of the source that a range of ours is made of."""
        if self.up == 1:
            return slice(self.begin + wanted.start * self.down, self.begin + wanted.stop * self.down)
        if wanted.stop <= wanted.start:
            return slice(0, 0)
        low, high, _ = self.neighbours(wanted) if linear else self.owners(wanted)
        return slice(int(low[0]), int(high[-1]) + 1)

    def owners(self, wanted: slice) -> tuple[NDArray, NDArray, NDArray]:
        """Return, for every voxel of ours, the voxel of the source it lies in."""
        owner = np.arange(wanted.start, wanted.stop) // self.up
        return owner, owner, np.zeros(len(owner), np.float32)

    def neighbours(self, wanted: slice) -> tuple[NDArray, NDArray, NDArray]:
        """Return, for every voxel of ours, the two of the source it lies between, and how far."""
        centre = (np.arange(wanted.start, wanted.stop) + 0.5) / self.up - 0.5
        low = np.floor(centre).astype(np.int64)
        low_in, high_in = (np.clip(index, 0, self.size - 1) for index in (low, low + 1))
        return low_in, high_in, (centre - low).astype(np.float32)


class ResampledArray(View):
    """The source with voxels ``upsample`` times smaller or ``downsample`` times larger."""

    def __init__(self, config: ResampledArrayConfig, source: Array | None = None) -> None:
        source = build(config.source_array_config) if source is None else source
        up = _factors(config.name, "upsample", config.upsample, source)
        down = _factors(config.name, "downsample", config.downsample, source)
        if not source.voxel_size.is_multiple_of(up):
            raise InvalidArray(
                f"{config.name}: voxels of {tuple(source.voxel_size)} ({source.name}) cannot be divided by "
                f"{tuple(up)} into whole world units; choose other factors of upsample"
            )
        voxel_size = source.voxel_size / up * down
        roi = _whole_voxels(source, voxel_size)
        if roi.empty:
            raise InvalidArray(
                f"{config.name}: {source.name}, which covers {source.roi}, does not fill a single voxel of "
                f"{tuple(voxel_size)}; choose smaller factors of downsample"
            )
        self.linear = config.interp_order
        begin = (roi.offset - source.offset) / source.voxel_size
        self.mapping = [_Axis(*of) for of in zip(up, down, begin, source.spatial_shape, strict=True)]
        super().__init__(
            config.name,
            source,
            roi=roi,
            voxel_size=voxel_size,
            dtype=np.float32 if self.linear else source.dtype,
        )

    def _read(self, slices: Slices) -> NDArray:
        axes = list(zip(self.mapping, slices, strict=True))
        wanted = tuple(axis.source(s, self.linear) for axis, s in axes)
        data = self.source._read(wanted)
        if self.linear:
            data = data.astype(np.float32, copy=False)
        # Going down first, because it leaves less to interpolate.
        down = Coordinate(axis.down for axis in self.mapping)
        if max(down) > 1:
            windows = _windows(data, down)
            data = windows.mean(axis=-1, dtype=np.float32) if self.linear else _most_frequent(windows)
        for number, ((axis, s), read) in enumerate(zip(axes, wanted, strict=True)):
            if axis.up > 1:
                low, high, part = axis.neighbours(s) if self.linear else axis.owners(s)
                dimension = self.source.channel_dims + number
                data = _between(data, dimension, low - read.start, high - read.start, part)
        return data


def _factors(name: str, field: str, factors: Coordinate | None, source: Array) -> Coordinate:
    """Return one factor per axis, 1 where nothing is to be done."""
    if factors is not None and len(factors) != source.dims:
        raise InvalidArray(
            f"{name}: {field} {tuple(factors)} should have {source.dims} factors, one per spatial axis of "
            f"{source.name}"
        )
    return Coordinate(max(factor, 1) for factor in factors or (1,) * source.dims)


def _whole_voxels(source: Array, voxel_size: Coordinate) -> Roi:
    """Return the largest region of the source that is made of whole voxels of the new size.

    These lie on multiples of their size, as those of other arrays do, if the source's own do.
    """
    origin = source.offset % source.voxel_size
    return (source.roi - origin).snap_to_grid(voxel_size, mode="shrink") + origin


def _windows(data: NDArray, factors: Coordinate) -> NDArray:
    """Return the voxels that each larger voxel covers, along a new last axis."""
    channels = data.shape[: data.ndim - len(factors)]
    spatial = data.shape[len(channels) :]
    split = [n for size, f in zip(spatial, factors, strict=True) for n in (size // f, f)]
    first = len(channels)
    outer = [first + 2 * i for i in range(len(factors))]
    inner = [axis + 1 for axis in outer]
    moved = data.reshape(*channels, *split).transpose(*range(first), *outer, *inner)
    windows: NDArray = moved.reshape(*moved.shape[: first + len(factors)], math.prod(factors))
    return windows


def _most_frequent(windows: NDArray) -> NDArray:
    """Return the most frequent value of each window, the largest of equally frequent ones."""
    values = np.moveaxis(np.sort(windows, axis=-1), -1, 0)
    best: NDArray = values[0].copy()
    length = np.ones(best.shape, np.int32)
    longest = length.copy()
    for before, value in zip(values[:-1], values[1:], strict=True):
        length = np.where(value == before, length + 1, 1)
        better = length >= longest
        best[better] = value[better]
        np.maximum(longest, length, out=longest)
    return best


def _between(data: NDArray, axis: int, low: NDArray, high: NDArray, part: NDArray) -> NDArray:
    """Interpolate along one axis between the voxels ``low`` and ``high``."""
    below: NDArray = data.take(low, axis)
    if not part.any():
        return below
    part = part.reshape([-1 if i == axis else 1 for i in range(data.ndim)])
    below += (data.take(high, axis) - below) * part
    return below


__all__ = ["ResampledArray"]
