"""TIFF files: single pages and stacks of them, of any size."""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from dacapo.errors import InvalidArray

from .array import NDArray, Slices
from .file_arrays import FileArray, refuse_missing

if TYPE_CHECKING:
    from .configs import TiffArrayConfig

PAGE_CACHE_BYTES = 256 * 1024**2


class TiffArray(FileArray):
    """The first image series of a TIFF file.

    What is not compressed is mapped into memory; other pages are decoded when something on them
    is asked for, and those used last are kept.
    """

    def __init__(self, config: TiffArrayConfig) -> None:
        refuse_missing(config.name, config.file_name)
        try:
            tiff = tifffile.TiffFile(config.file_name)
        except (tifffile.TiffFileError, OSError) as error:
            raise InvalidArray(f"{config.name}: {config.file_name} is not a TIFF file: {error}") from error
        # Kept open, because pages are found by reading the file; closed with the array.
        weakref.finalize(self, tiff.close)
        series = tiff.series[0]
        self._pages = series.pages
        self._bytes = np.memmap(config.file_name, np.uint8, mode="r")
        self._page_dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
        self._whole = self._mapped(series.dataoffset, series.shape)
        self._decoded: OrderedDict[int, NDArray] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__(config, tuple(series.shape), self._page_dtype, _axes(series, len(config.voxel_size)))

    def _mapped(self, offset: int | None, shape: tuple[int, ...]) -> NDArray | None:
        """Return a part of the file as it lies there, without copying it."""
        if offset is None:
            return None
        size = math.prod(shape) * self._page_dtype.itemsize
        return self._bytes[offset : offset + size].view(self._page_dtype).reshape(shape)

    def _stored(self, slices: Slices) -> NDArray:
        if self._whole is not None:
            return self._whole[slices]
        shape = self._stored_shape
        leading = len(shape) - len(self._pages.keyframe.shape) if len(self._pages) > 1 else 0
        out = np.empty([s.stop - s.start for s in slices], self.dtype)
        for index in product(*(range(s.start, s.stop) for s in slices[:leading])):
            page = self._page(int(np.ravel_multi_index(index, shape[:leading])) if leading else 0)
            inside = tuple(i - s.start for i, s in zip(index, slices[:leading], strict=True))
            out[inside] = page.reshape(shape[leading:])[slices[leading:]]
        return out

    def _page(self, number: int) -> NDArray:
        """Return a page, decoded at most once while it is kept."""
        with self._lock:
            if number in self._decoded:
                self._decoded.move_to_end(number)
                return self._decoded[number]
            page: Any = self._pages[number]
            if page.is_memmappable:
                mapped = self._mapped(page.dataoffsets[0], page.shape)
                if mapped is not None:
                    return mapped
            try:
                data: NDArray = page.asarray()
            except ValueError as error:
                raise InvalidArray(
                    f"{self.name}: page {number} cannot be decoded: {error}; for most compressions  "
                    "pip install imagecodecs  helps"
                ) from error
            self._decoded[number] = data
            while len(self._decoded) > 1 and len(self._decoded) * data.nbytes > PAGE_CACHE_BYTES:
                self._decoded.popitem(last=False)
            return data


def _axes(series: Any, dims: int) -> list[str] | None:
    """Name the axes as the file does, if it has as many in space as there are voxel sizes."""
    channels = ["c^" if letter in "CS" else None for letter in series.axes]
    if channels.count(None) != dims or dims > 3:
        return None
    spatial = iter(["z", "y", "x"][-dims:])
    return [name or next(spatial) for name in channels]


__all__ = ["PAGE_CACHE_BYTES", "TiffArray"]
