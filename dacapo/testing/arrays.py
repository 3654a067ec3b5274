"""Checks for arrays: geometry, and that every way of reading gives the same voxels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.config import Config, build
from dacapo.errors import OutsideData
from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .checks import check, demand
from .volumes import NDArray

MOST = 32  # voxels to read along each axis


@check("arrays")
def the_geometry_goes_together(config: Config) -> None:
    """Shape, voxel size, offset, axes, units and roi of the array fit each other."""
    demand_geometry(build(config))


@check("arrays")
def what_it_points_at_is_there(config: Config) -> None:
    """``verify`` says that all files exist, as they do in an example."""
    there, lacking = config.verify()
    demand(there and lacking == "", f"verify() says that something is missing: {lacking!r}")


@check("arrays")
def voxels_are_of_the_announced_type(config: Config) -> None:
    """What is read has the dtype, the channels and the shape that the array announces."""
    demand_announced(build(config))


@check("arrays")
def a_part_equals_a_slice_of_the_whole(config: Config) -> None:
    """Reading a region gives the voxels that lie there in a larger one."""
    array: Array = build(config)
    roi = _window(array)
    whole, random = array[roi], np.random.default_rng(0)
    for _ in range(6):
        begin = [int(random.integers(0, size)) for size in whole.shape[array.channel_dims :]]
        end = [
            int(random.integers(b + 1, s + 1))
            for b, s in zip(begin, whole.shape[array.channel_dims :], strict=True)
        ]
        part = Roi(
            roi.offset + Coordinate(begin) * array.voxel_size,
            (Coordinate(end) - Coordinate(begin)) * array.voxel_size,
        )
        index: Any = (..., *(slice(b, e) for b, e in zip(begin, end, strict=True)))
        demand(
            _same(array[part], whole[index]),
            f"{part} reads otherwise than as a part of {roi}; _read gets slices, in voxels",
        )


@check("arrays")
def voxels_are_indexed_as_in_numpy(config: Config) -> None:
    """Whole numbers and slices, with steps and from behind, give what they would of the whole."""
    array: Array = build(config)
    begin = tuple(slice(0, min(size, MOST)) for size in array.spatial_shape)
    whole = array[(..., *begin)]
    for each in (slice(0, 3), slice(1, 6, 2), 0):
        keys: Any = (..., *begin[:-1], each)
        demand(
            _same(array[keys], whole[..., each]), f"[..., {each}] is not what numpy would give of the whole"
        )
    last: Any = (..., *(slice(-2, None),) * array.dims)
    roi = Roi(
        array.roi.end - Coordinate(min(2, size) for size in array.spatial_shape) * array.voxel_size,
        Coordinate(min(2, size) for size in array.spatial_shape) * array.voxel_size,
    )
    demand(_same(array[last], array[roi]), "[-2:] along all axes is not the end of the array")


@check("arrays")
def nothing_lies_outside(config: Config) -> None:
    """A region that reaches beyond the data is refused, or filled if that is what was asked for."""
    array: Array = build(config)
    corner = Roi(array.roi.offset - array.voxel_size, array.voxel_size * 2)
    for outside in (corner, Roi(array.roi.end, array.voxel_size)):
        try:
            array[outside]
        except OutsideData:
            pass
        else:
            raise AssertionError(f"{outside} lies beyond its {array.roi}, and was read; raise OutsideData")
    filled = array.to_ndarray(corner, fill_value=1)
    inside: Any = (..., *(slice(-1, None),) * array.dims)
    first = array[Roi(array.roi.offset, array.voxel_size)]
    demand(_same(filled[inside], first), "to_ndarray of a region half outside gives other voxels inside")
    rest = np.ones(filled.shape, bool)
    rest[inside] = False
    demand(bool((filled[rest] == 1).all()), "to_ndarray does not fill what lies beyond with fill_value")


@check("arrays")
def reading_again_gives_the_same(config: Config) -> None:
    """A region has the same voxels each time, from several threads at once too."""
    array: Array = build(config)
    roi = _window(array)
    once = np.array(array[roi])
    with ThreadPoolExecutor(4) as pool:
        reads = list(pool.map(lambda _: np.array(array[roi]), range(8)))
    demand(
        all(_same(once, again) for again in reads),
        f"reading {roi} again gives other voxels; keep no position between reads, and draw nothing at random",
    )


def demand_geometry(array: Array) -> None:
    """Demand that the attributes of an array fit each other."""
    dims, shape = array.dims, tuple(array.shape)
    for name, count in (("voxel_size", dims), ("offset", dims), ("units", dims), ("axis_names", len(shape))):
        found = len(getattr(array, name))
        demand(found == count, f"{name} of {array.name} has {found} values, and should have {count}")
    demand(min(array.voxel_size) > 0, f"{array.name} has voxels of {tuple(array.voxel_size)}")
    demand(min(shape) > 0, f"{array.name} has shape {shape}: it is empty")
    demand(
        array.roi == Roi(array.offset, array.spatial_shape * array.voxel_size),
        f"{array.name} covers {array.roi}, and has {tuple(array.spatial_shape)} voxels of "
        f"{tuple(array.voxel_size)} from {tuple(array.offset)}; leave roi to the base class",
    )
    marked = ["^" in axis for axis in array.axis_names]
    wanted = [True] * array.channel_dims + [False] * dims
    demand(marked == wanted, f"{array.name} has axes {array.axis_names}; channels come first, marked by ^")
    channels = shape[0] if array.channel_dims else None
    demand(array.num_channels == channels, f"{array.name} says it has {array.num_channels} channels")


def demand_announced(array: Array) -> None:
    """Demand that both ends of an array read, in the shape and type that it announces."""
    for roi in (_window(array), _window(array, at_the_end=True)):
        try:
            data = np.asarray(array[roi])
        except OutsideData as error:
            raise AssertionError(f"{array.name} does not hold what it says: {error}") from error
        wanted = (*array.shape[: array.channel_dims], *(roi.shape / array.voxel_size))
        demand(data.dtype == array.dtype, f"{array.name} announces {array.dtype}, and reads {data.dtype}")
        demand(data.shape == wanted, f"{roi} of {array.name} reads {data.shape}, and should be {wanted}")


def _window(array: Array, at_the_end: bool = False) -> Roi:
    shape = Coordinate(min(size, MOST) for size in array.spatial_shape) * array.voxel_size
    return Roi(array.roi.end - shape if at_the_end else array.roi.offset, shape)


def _same(one: NDArray, other: NDArray) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
