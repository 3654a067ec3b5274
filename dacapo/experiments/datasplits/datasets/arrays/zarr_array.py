"""Datasets of zarr (version 2 and 3) and N5 containers, read and written by tensorstore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tensorstore as ts
from funlib.geometry import Coordinate, Roi

from dacapo.errors import CorruptData, InvalidArray, InvalidRequest

from .array import Array, NDArray, NumpyArray, Slices, bounds
from .fsspec_arrays import create_chunked, open_chunked
from .zarr_container import (
    RECHECK,
    Node,
    by_fsspec,
    find_array,
    kvstore,
    location,
    missing,
    shared_context,
)
from .zarr_creation import (
    describe_new,
    geometry_attributes,
    make_groups,
    make_room,
    place_for_new,
    write_json,
)
from .zarr_geometry import (
    Described,
    describe,
    describe_level,
    in_unit,
    is_channel,
    is_time,
    spatial_axes,
    whole,
)

if TYPE_CHECKING:
    from .configs import ZarrArrayConfig

_CHUNK_SIDE = {1: 262144, 2: 512, 3: 64}


class ZarrArray(Array):
    """A dataset in a zarr or N5 container.

    Chunks are kept in a bounded cache that all arrays share, and are looked at again when an
    array is opened: open it anew to see what another process has written since.
    """

    def __init__(
        self,
        store: Any,
        voxel_size: Sequence[int],
        offset: Sequence[int] | None = None,
        axis_names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        name: str = "zarr array",
    ) -> None:
        dtype = store.dtype.numpy_dtype
        super().__init__(store.shape, dtype, voxel_size, offset, axis_names, units, name)
        self.store = store

    @property
    def chunk_shape(self) -> Coordinate:
        """The size of a chunk in voxels, without channels: writers aligned to it never meet."""
        return Coordinate(self.store.chunk_layout.write_chunk.shape[self.channel_dims :])

    def _read(self, slices: Slices) -> NDArray:
        try:
            data: NDArray = self.store[(..., *slices)].read(order="C").result()
        except ValueError as error:
            raise CorruptData(
                f"{self.name}: a chunk cannot be read, so the file is damaged or incomplete; copy or "
                f"write it again ({error})"
            ) from error
        return data

    def __setitem__(self, key: Any, values: Any) -> None:
        """Write a region in world units, or slices in voxels as numpy would."""
        if not self.store.writable:
            raise InvalidRequest(f"{self.name} was opened for reading; open it with mode='r+' to write")
        if isinstance(key, Roi):
            self._refuse_outside(key)
            index: tuple[Any, ...] = (..., *self.slices(key))
        else:
            keys = self._full_index(key if isinstance(key, tuple) else (key,))
            index = tuple(_from_the_start(k, size) for k, size in zip(keys, self.shape, strict=True))
        try:
            self.store[index].write(np.asarray(values, self.dtype)).result()
        except (ValueError, NotImplementedError) as error:
            raise InvalidRequest(f"{self.name}: these values cannot be written there: {error}") from error


def _from_the_start(key: Any, size: int) -> Any:
    """Return an index without negative numbers: tensorstore does not count from the end, as numpy does."""
    inside, taken = bounds(key, size)
    if not isinstance(key, slice):
        return inside.start
    if (key.step or 1) < 0:
        raise InvalidArray(f"slices to write to go forwards, unlike {key}; turn the values round instead")
    return slice(inside.start, inside.stop, taken.step)


def open_zarr(
    container: Path | str,
    dataset: str,
    mode: str = "r",
    *,
    axes: list[str] | None = None,
    ome_metadata: bool = False,
    unit: str | None = None,
) -> ZarrArray:
    """Open a dataset to read ("r"), or to read and write ("r+" or "a").

    ``axes`` names the axes in place of the file, ``ome_metadata`` reads sizes from the OME-NGFF
    group above, ``unit`` converts them.  Raises ``MissingData`` or ``InvalidArray``.
    """
    if mode not in ("r", "r+", "a"):
        raise InvalidRequest(f"mode {mode!r} should be 'r', 'r+' or 'a'; create_zarr makes new datasets")
    node = find_array(location(container, dataset))
    if node is None:
        missing(container, dataset)
    described = describe_level(container, dataset, node, axes) if ome_metadata else describe(node, axes)
    described = in_unit(node.place, described, unit, ome_metadata)
    return _array(_open(node, writable=mode != "r"), described, node)


def open_config(config: ZarrArrayConfig, mode: str | None = None) -> ZarrArray:
    """Open the dataset that a config describes, in the mode of the config unless told otherwise."""
    array = open_zarr(
        config.file_name,
        config.dataset,
        mode or config.mode,
        axes=config.axes,
        ome_metadata=config.ome_metadata,
        unit=config.unit,
    )
    return array if config.snap_to_grid is None else _snapped(array, config.snap_to_grid)


def _open(node: Node, writable: bool) -> Any:
    """Open a dataset as tensorstore shows it, with the axes of N5 in our order."""
    spec = {"driver": node.driver, "kvstore": kvstore(node.place), **RECHECK}
    try:
        if by_fsspec(node.place):
            store = open_chunked(node.driver, node.place, writable)
        else:
            store = ts.open(spec, read=True, write=writable, open=True, context=shared_context()).result()
    except ValueError as error:
        raise InvalidArray(f"{node.place} cannot be opened: {error}") from error
    return store[ts.d[tuple(range(store.rank))[::-1]].transpose[:]] if node.driver == "n5" else store


def _array(store: Any, described: Described, node: Node) -> ZarrArray:
    """Put channels first, leave out axes of one time, and hold sizes to whole numbers."""
    names = described.axis_names
    spatial = spatial_axes(names)
    others = [axis for axis in range(len(names)) if axis not in spatial]
    channels = [axis for axis in others if is_channel(names[axis])]
    dropped = [axis for axis in others if is_time(names[axis]) and store.shape[axis] == 1]
    if len(channels) > 1 or len(dropped) + len(channels) < len(others):
        raise InvalidArray(
            f"{node.place}: axes {names} of shape {store.shape} should be at most one of channels and "
            "otherwise space, or a single time; cut out what is wanted into a dataset of its own"
        )
    order = [*dropped, *channels, *spatial]
    if order != list(range(len(names))):
        store = store[ts.d[tuple(order)].transpose[:]]
    if dropped:
        store = store[(0,) * len(dropped)]
    units = described.units
    return ZarrArray(
        store,
        whole(node.place, "voxel size", described.voxel_size, units),
        whole(node.place, "offset", described.offset, units),
        ["c^" if axis in channels else names[axis] for axis in (*channels, *spatial)],
        units,
        name=node.place,
    )


def _snapped(array: ZarrArray, grid: Coordinate) -> ZarrArray:
    """Move an array by less than a voxel onto a grid, and keep the voxels that fill its cells."""
    if len(grid) != array.dims or any(g % v and v % g for g, v in zip(grid, array.voxel_size, strict=True)):
        raise InvalidArray(
            f"{array.name}: snap_to_grid {tuple(grid)} should be a multiple of the voxel size "
            f"{tuple(array.voxel_size)} along every axis, or divide it"
        )
    axes = zip(array.offset, array.spatial_shape, array.voxel_size, grid, strict=True)
    begins, kept = zip(*(_snapped_axis(*axis) for axis in axes), strict=True)
    if any(s.stop <= s.start for s in kept):
        raise InvalidArray(
            f"{array.name}: its region {array.roi} fills no cell of the grid {tuple(grid)}; choose a "
            "smaller snap_to_grid"
        )
    store = array.store[(..., *kept)][ts.d[:].translate_to[0]]
    return ZarrArray(store, array.voxel_size, begins, array.axis_names, array.units, array.name)


def _snapped_axis(offset: int, size: int, voxel: int, cell: int) -> tuple[int, slice]:
    """Return the new offset along an axis, and which voxels stay."""
    step = min(voxel, cell)
    begin = (2 * offset + step) // (2 * step) * step
    if cell <= voxel:
        return begin, slice(0, size)
    first = -(-begin // cell) * cell
    last = (begin + size * voxel) // cell * cell
    return first, slice((first - begin) // voxel, (last - begin) // voxel)


def create_zarr(
    container: Path | str,
    dataset: str,
    shape: Sequence[int],
    dtype: Any,
    voxel_size: Sequence[int],
    offset: Sequence[int] | None = None,
    axis_names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    chunk_shape: Sequence[int] | None = None,
    zarr_format: Literal[2, 3] = 2,
    overwrite: bool = False,
) -> ZarrArray:
    """Make a new dataset of zeros, with its geometry in the attributes, and open it for writing.

    ``container`` is a path or a URL (``s3://``, ``gs://``, ``memory://``, or any that fsspec can write to).
    ``shape`` and ``chunk_shape`` are in voxels, channels first; a chunk is 64 voxels wide (512 in
    2D) and one channel deep unless told otherwise.  Raises ``DuplicateNameError`` where something
    is already, unless it is a dataset and may be overwritten.
    """
    if zarr_format not in (2, 3):
        raise InvalidRequest(f"zarr_format {zarr_format!r} should be 2 or 3")
    root, place = place_for_new(container, dataset)
    zeros = np.broadcast_to(np.zeros((), dtype), tuple(shape))
    # Nothing is touched before the geometry has been found to be right.
    blank = NumpyArray(zeros, voxel_size, offset, axis_names, units, name=place)
    side = _CHUNK_SIDE.get(blank.dims, 64)
    default = (*(1,) * blank.channel_dims, *(min(side, size) for size in blank.spatial_shape))
    chunks = [max(int(size), 1) for size in (default if chunk_shape is None else chunk_shape)]
    make_room(place, overwrite)
    make_groups(root, place, zarr_format)
    spec = describe_new(blank, chunks, zarr_format)
    if zarr_format == 2:
        # Before the array itself, so that nobody sees one without its geometry.
        write_json(place, ".zattrs", geometry_attributes(blank))
    if by_fsspec(place):
        store = create_chunked(spec, place)
    else:
        store = ts.open(spec, create=True, context=shared_context()).result()
    return ZarrArray(store, voxel_size, blank.offset, blank.axis_names, blank.units, blank.name)


__all__ = ["ZarrArray", "create_zarr", "open_config", "open_zarr", "shared_context"]
