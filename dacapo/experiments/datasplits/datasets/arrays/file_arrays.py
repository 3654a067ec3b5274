"""Volumes in files that do not say how large their voxels are."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.errors import InvalidArray, MissingData

from .array import Array, NDArray, Slices

if TYPE_CHECKING:
    from .configs import FileArrayConfig, NumpyArrayConfig


class FileArray(Array):
    """An array whose file may have its channel axis anywhere; here it comes first."""

    def __init__(
        self, config: FileArrayConfig, shape: tuple[int, ...], dtype: Any, axes: list[str] | None = None
    ) -> None:
        dims = len(config.voxel_size)
        names = config.axis_names or axes or _default_axes(len(shape), dims)
        # A stack of one section is often stored without its z axis.
        self._stored_shape = shape
        shape = (1,) * (len(names) - len(shape)) + shape
        channels = [axis for axis, name in enumerate(names) if "^" in name or name == "c"]
        if len(names) != len(shape) or len(channels) > 1 or len(names) - len(channels) != dims:
            raise InvalidArray(
                f"{config.name}: {config.file_name} has shape {shape}, which does not go with axes {names} "
                f"and voxel size {tuple(config.voxel_size)}; give axis_names one name per axis, ^ marking "
                "the only one that is channels"
            )
        self._order = [*channels, *(axis for axis in range(len(names)) if axis not in channels)]
        super().__init__(
            [shape[axis] for axis in self._order],
            np.dtype(dtype).newbyteorder("="),
            config.voxel_size,
            config.offset,
            ["c^" if axis in channels else names[axis] for axis in self._order],
            config.units,
            config.name,
        )

    @abstractmethod
    def _stored(self, slices: Slices) -> NDArray:
        """Return what the file holds in slices along its own axes."""

    def _read(self, slices: Slices) -> NDArray:
        every = (slice(0, size) for size in self.shape[: self.channel_dims])
        wanted = dict(zip(self._order, (*every, *slices), strict=True))
        in_file = tuple(wanted[axis] for axis in range(len(self.shape)))
        size = [s.stop - s.start for s in in_file]
        if 0 in size:
            return np.empty([size[axis] for axis in self._order], self.dtype)
        data = self._stored(in_file[len(self.shape) - len(self._stored_shape) :])
        return np.array(data.reshape(size).transpose(self._order), self.dtype, order="C")


class NumpyFileArray(FileArray):
    """A .npy file, mapped into memory: only what is asked for is read."""

    def __init__(self, config: NumpyArrayConfig) -> None:
        refuse_missing(config.name, config.file_name)
        try:
            self._mapped = np.load(config.file_name, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise InvalidArray(
                f"{config.name}: {config.file_name} is not a .npy file of numbers ({error}); write it with "
                "numpy.save"
            ) from error
        super().__init__(config, self._mapped.shape, self._mapped.dtype)

    def _stored(self, slices: Slices) -> NDArray:
        part: NDArray = self._mapped[slices]
        return part


def refuse_missing(name: str, path: Path) -> None:
    """Raise ``MissingData``, naming the nearest folder that exists, unless a path is a file."""
    if path.is_file():
        return
    if path.is_dir():
        raise MissingData(f"{name}: {path} is a folder and should be a file")
    near = next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
    raise MissingData(f"{name}: there is no file {path}; the nearest folder there is is {near}")


def _default_axes(ndim: int, dims: int) -> list[str]:
    """Name the axes of a file that does not: channels first, if there are any."""
    spatial = ["z", "y", "x"][-dims:]
    return ["c^", *spatial] if ndim > dims else spatial


__all__ = ["FileArray", "NumpyFileArray", "refuse_missing"]
