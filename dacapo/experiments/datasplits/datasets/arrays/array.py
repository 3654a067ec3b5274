"""An image or label volume that knows where it lies in the world.

``Array`` is what every array config opens.  It reads nothing until it is indexed, and then
only what was asked for.  Positions and sizes are in world units, the unit of ``voxel_size``;
a channel axis, if there is one, comes first and has a ``^`` in its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, OutsideData

Slices = tuple[slice, ...]
NDArray = np.ndarray[Any, Any]


def bounds(key: Any, size: int) -> tuple[slice, Any]:
    """Split an index into the range of voxels it needs and what is to be taken of that range."""
    if not isinstance(key, slice):
        if not -size <= key < size:
            raise OutsideData(f"voxel {key} lies outside an axis of {size} voxels")
        return slice(int(key) % size, int(key) % size + 1), 0
    wanted = range(size)[key]
    if not wanted:
        return slice(0, 0), slice(None)
    low = min(wanted[0], wanted[-1])
    return slice(low, max(wanted[0], wanted[-1]) + 1), slice(None, None, wanted.step)


class Array(ABC):
    """A lazily read volume with a voxel size, an offset and named axes.

    Subclasses set the geometry through ``__init__`` and implement ``_read``.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        voxel_size: Sequence[int],
        offset: Sequence[int] | None = None,
        axis_names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        name: str = "array",
    ) -> None:
        self.name = name
        self.shape = tuple(int(size) for size in shape)
        self.dtype = np.dtype(dtype)
        self.voxel_size = Coordinate(voxel_size)
        self.dims = len(self.voxel_size)
        self.offset = Coordinate(offset if offset is not None else (0,) * self.dims)
        channels = len(self.shape) - self.dims
        default = ["c^"] * channels + ["z", "y", "x"][-self.dims :]
        self.axis_names = list(axis_names if axis_names is not None else default)
        self.units = list(units if units is not None else ["nm"] * self.dims)
        if channels not in (0, 1) or len(self.axis_names) != len(self.shape):
            raise InvalidArray(
                f"{name}: shape {self.shape}, axes {self.axis_names} and voxel size "
                f"{tuple(self.voxel_size)} do not go together; one axis per dimension is needed, "
                "and at most one of them, the first, may be a channel axis such as 'c^'"
            )
        if len(self.offset) != self.dims or len(self.units) != self.dims:
            raise InvalidArray(
                f"{name}: offset {tuple(self.offset)} and units {self.units} should have {self.dims} "
                "values each, one per spatial axis; the offset is in world units"
            )
        if any(size < 1 for size in self.voxel_size):
            raise InvalidArray(
                f"{name}: voxel size {tuple(self.voxel_size)} should be above 0 along every axis"
            )

    @property
    def num_channels(self) -> int | None:
        """How many channels there are; None without a channel axis."""
        return self.shape[0] if len(self.shape) > self.dims else None

    @property
    def channel_dims(self) -> int:
        """How many channel axes there are: 0 or 1."""
        return len(self.shape) - self.dims

    @property
    def spatial_shape(self) -> Coordinate:
        """The size in voxels, without channels."""
        return Coordinate(self.shape[self.channel_dims :])

    @property
    def roi(self) -> Roi:
        """The region covered, in world units."""
        return Roi(self.offset, self.spatial_shape * self.voxel_size)

    @abstractmethod
    def _read(self, slices: Slices) -> NDArray:
        """Return the voxels of spatial slices within bounds, channels first if there are any."""

    def slices(self, roi: Roi) -> Slices:
        """Return the voxel slices of a region; it must lie on the grid, but may lie outside."""
        if roi.dims != self.dims or None in (*roi.offset, *roi.shape):
            raise InvalidArray(
                f"{self.name}: {roi} should be bounded and have {self.dims} dimensions, as the array has"
            )
        relative = roi - self.offset
        if not (
            relative.offset.is_multiple_of(self.voxel_size) and roi.shape.is_multiple_of(self.voxel_size)
        ):
            raise InvalidArray(
                f"{self.name}: {roi} does not lie on the grid of voxel size {tuple(self.voxel_size)} "
                f"and offset {tuple(self.offset)}; use roi.snap_to_grid(array.voxel_size)"
            )
        begin, size = relative.offset / self.voxel_size, roi.shape / self.voxel_size
        return tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))

    def __getitem__(self, key: Any) -> NDArray:
        """Read a region in world units, or slices in voxels as numpy would."""
        if not isinstance(key, Roi):
            return self._index(key if isinstance(key, tuple) else (key,))
        self._refuse_outside(key)
        return self._read(self.slices(key))

    def _refuse_outside(self, roi: Roi) -> None:
        """Raise ``OutsideData`` for a region that is not wholly inside the data."""
        if roi.dims == self.dims and not self.roi.contains(roi):
            raise OutsideData(f"{self.name}: {roi} reaches beyond the data, which covers {self.roi}")

    def _index(self, keys: tuple[Any, ...]) -> NDArray:
        """Read the voxels that numpy's basic indexing asks for, and no more than their bounding box."""
        keys = self._full_index(keys)
        channels = self.channel_dims
        pairs = [bounds(key, size) for key, size in zip(keys, self.shape, strict=True)]
        block = self._read(tuple(inside for inside, _ in pairs[channels:]))
        rest: Any = (*keys[:channels], *(rest for _, rest in pairs[channels:]))
        return np.asarray(block[rest])

    def _full_index(self, keys: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return one whole number or slice per axis."""
        # By type, because comparing an array of indices with Ellipsis gives an array.
        if any(key is Ellipsis for key in keys):
            at = next(i for i, key in enumerate(keys) if key is Ellipsis)
            fill = len(self.shape) - len(keys) + 1
            keys = keys[:at] + (slice(None),) * fill + keys[at + 1 :]
        keys += (slice(None),) * (len(self.shape) - len(keys))
        if len(keys) > len(self.shape) or not all(isinstance(key, slice | int | np.integer) for key in keys):
            raise InvalidArray(
                f"{self.name}: {keys} cannot be read; an array of shape {self.shape} takes a Roi in world "
                "units, or whole numbers and slices in voxels; for all else, read array.data first"
            )
        return keys

    def to_ndarray(self, roi: Roi | None = None, fill_value: float = 0) -> NDArray:
        """Read a region, filling what lies beyond the data with ``fill_value``."""
        wanted = self.slices(self.roi if roi is None else roi)
        inside = tuple(
            slice(min(max(s.start, 0), size), max(min(s.stop, size), 0))
            for s, size in zip(wanted, self.spatial_shape, strict=True)
        )
        if inside == wanted:
            return self._read(wanted)
        channels = self.shape[: self.channel_dims]
        out = np.full(channels + tuple(s.stop - s.start for s in wanted), fill_value, self.dtype)
        if all(s.stop > s.start for s in inside):
            target = tuple(
                slice(i.start - w.start, i.stop - w.start) for i, w in zip(inside, wanted, strict=True)
            )
            index: Any = (..., *target)
            out[index] = self._read(inside)
        return out

    @property
    def data(self) -> NDArray:
        """The whole volume in memory; mind its size."""
        return self[self.roi]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return self.data.astype(dtype) if dtype is not None else self.data

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, shape={self.shape}, dtype={self.dtype}, "
            f"voxel_size={tuple(self.voxel_size)}, offset={tuple(self.offset)}, axes={self.axis_names})"
        )


class NumpyArray(Array):
    """A volume in memory.

    ``voxel_size`` and ``offset`` are in world units; ``data`` is (z, y, x), (y, x), or either
    of them with channels first.
    """

    def __init__(
        self,
        data: NDArray,
        voxel_size: Sequence[int],
        offset: Sequence[int] | None = None,
        axis_names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        name: str = "numpy array",
    ) -> None:
        super().__init__(data.shape, data.dtype, voxel_size, offset, axis_names, units, name)
        self._data = data

    def _read(self, slices: Slices) -> NDArray:
        index: Any = (..., *slices)
        return np.asarray(self._data[index])

    def _index(self, keys: tuple[Any, ...]) -> NDArray:
        return np.asarray(self._data[keys])

    @property
    def data(self) -> NDArray:
        """The very array it was made from, not a copy."""
        return self._data

    def __setitem__(self, key: Any, values: Any) -> None:
        """Write a region in world units, or slices in voxels as numpy would."""
        if isinstance(key, Roi):
            self._refuse_outside(key)
            key = (..., *self.slices(key))
        self._data[key] = values
