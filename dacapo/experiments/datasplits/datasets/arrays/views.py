"""Arrays made from one other array, voxel by voxel, or from nothing but its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.config import build
from dacapo.errors import InvalidArray, OutsideData

from .array import Array, NDArray, Slices

if TYPE_CHECKING:
    from .configs import (
        BinarizeArrayConfig,
        ConstantArrayConfig,
        CropArrayConfig,
        DummyArrayConfig,
        IntensitiesArrayConfig,
    )


class DummyArray(Array):
    """A volume of 100 x 50 x 50 zeros."""

    def __init__(self, config: DummyArrayConfig) -> None:
        super().__init__((100, 50, 50), np.float32, (1, 1, 1), name=config.name)

    def _read(self, slices: Slices) -> NDArray:
        return np.zeros([s.stop - s.start for s in slices], self.dtype)


class View(Array):
    """An array that takes from a source whatever it is not told otherwise."""

    def __init__(
        self,
        name: str,
        source: Array,
        *,
        dtype: Any = None,
        channels: tuple[int, ...] | None = None,
        roi: Roi | None = None,
        voxel_size: Coordinate | None = None,
    ) -> None:
        self.source = source
        roi = source.roi if roi is None else roi
        voxel_size = source.voxel_size if voxel_size is None else voxel_size
        same = channels is None
        first = source.axis_names[: source.channel_dims] if same else ["c^"] * len(channels or ())
        super().__init__(
            (*(source.shape[: source.channel_dims] if same else channels or ()), *(roi.shape / voxel_size)),
            source.dtype if dtype is None else dtype,
            voxel_size,
            roi.offset,
            [*first, *source.axis_names[source.channel_dims :]],
            source.units,
            name,
        )


class ConstantArray(View):
    """One value everywhere, in the shape and dtype of a source."""

    def __init__(self, config: ConstantArrayConfig) -> None:
        source = build(config.source_array_config)
        super().__init__(config.name, source)
        self.constant = np.asarray(config.constant).astype(self.dtype)
        if self.constant != config.constant:
            raise InvalidArray(
                f"{config.name}: {config.constant} does not fit {self.dtype}, the dtype of "
                f"{source.name}; choose another constant or another source"
            )

    def _read(self, slices: Slices) -> NDArray:
        channels = self.shape[: self.channel_dims]
        return np.full((*channels, *(s.stop - s.start for s in slices)), self.constant)


class BinarizeArray(View):
    """One channel of zeros and ones (uint8) for every group of labels of the source."""

    def __init__(self, config: BinarizeArrayConfig) -> None:
        source = build(config.source_array_config)
        super().__init__(config.name, source, dtype=np.uint8, channels=(len(config.groupings),))
        if source.channel_dims or source.dtype.kind not in "uib":
            raise InvalidArray(
                f"{config.name}: labels are whole numbers without a channel axis, and {source.name} has "
                f"axes {source.axis_names} and dtype {source.dtype}; choose another source_array_config"
            )
        self.groups = [_labels(ids, source.dtype) if ids else None for _, ids in config.groupings]
        self.background = config.background

    def _read(self, slices: Slices) -> NDArray:
        labels = self.source._read(slices)
        out = np.empty((len(self.groups), *labels.shape), np.uint8)
        for channel, ids in zip(out, self.groups, strict=True):
            if ids is None:
                np.not_equal(labels, self.background, out=channel, casting="unsafe")
            elif len(ids) == 1:
                np.equal(labels, ids[0], out=channel, casting="unsafe")
            else:
                channel[:] = np.isin(labels, ids)
        return out


def _labels(ids: list[int], dtype: np.dtype[Any]) -> NDArray:
    """Return the labels that a dtype can hold at all, in that dtype.

    In another one, numpy would compare large labels as float64, which makes neighbours equal.
    """
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.array(sorted({label for label in ids if low <= label <= high}), dtype)


class IntensitiesArray(View):
    """The source as float32, with ``min`` brought to 0 and ``max`` to 1; not clipped."""

    def __init__(self, config: IntensitiesArrayConfig) -> None:
        source = build(config.source_array_config)
        super().__init__(config.name, source, dtype=np.float32)
        self.min, self.max = config.min, config.max

    def _read(self, slices: Slices) -> NDArray:
        data = self.source._read(slices)
        if data.dtype.itemsize > 2:
            # Large numbers are brought near zero first: float32 has 24 bits for their difference.
            return ((data - np.float64(self.min)) / (self.max - self.min)).astype(np.float32)
        values: NDArray = data.astype(np.float32)
        values -= np.float32(self.min)
        values /= np.float32(self.max - self.min)
        return values


class CropArray(View):
    """The part of the source that lies inside a region."""

    def __init__(self, config: CropArrayConfig) -> None:
        source = build(config.source_array_config)
        if config.roi.dims != source.dims:
            raise InvalidArray(
                f"{config.name}: roi {config.roi} has {config.roi.dims} dimensions, and {source.name} has "
                f"{source.dims}; give one offset and one size per spatial axis"
            )
        roi = source.roi.intersect(config.roi)
        if roi.empty:
            raise OutsideData(
                f"{config.name}: nothing of {source.name}, which covers {source.roi}, lies in {config.roi}"
            )
        self.begin = [s.start for s in source.slices(roi)]
        super().__init__(config.name, source, roi=roi)

    def _read(self, slices: Slices) -> NDArray:
        moved = zip(slices, self.begin, strict=True)
        return self.source._read(tuple(slice(s.start + b, s.stop + b) for s, b in moved))


__all__ = ["BinarizeArray", "ConstantArray", "CropArray", "DummyArray", "IntensitiesArray", "View"]
