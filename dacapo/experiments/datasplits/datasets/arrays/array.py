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
        default = ["c^", "z", "y", "x"][-self.dims - 1 :] if channels else ["z", "y", "x"][-self.dims :]
        self.axis_names = list(axis_names if axis_names is not None else default)
        self.units = list(units if units is not None else ["nm"] * self.dims)
        if channels not in (0, 1) or len(self.axis_names) != len(self.shape):
            raise InvalidArray(
                f"{name}: shape {self.shape}, axes {self.axis_names} and voxel size "
                f"{tuple(self.voxel_size)} do not go together; one axis per dimension is needed, "
                "and at most one of them, the first, may be a channel axis such as 'c^'"
            )
        if len(self.offset) != self.dims:
            raise InvalidArray(
                f"{name}: offset {tuple(self.offset)} should have {self.dims} values, one per "
                "spatial axis, in world units"
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
            return np.asarray(self.to_ndarray(self.roi)[key])
        if not self.roi.contains(key):
            raise OutsideData(f"{self.name}: {key} reaches beyond the data, which covers {self.roi}")
        return self._read(self.slices(key))

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
            out[(..., *target)] = self._read(inside)
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
        return self._data[(..., *slices)]

    @property
    def data(self) -> NDArray:
        """The very array it was made from, not a copy."""
        return self._data

    def __setitem__(self, key: Any, values: Any) -> None:
        """Write a region in world units, or slices in voxels as numpy would."""
        if isinstance(key, Roi):
            if not self.roi.contains(key):
                raise OutsideData(f"{self.name}: {key} reaches beyond the data, {self.roi}")
            key = (..., *self.slices(key))
        self._data[key] = values
