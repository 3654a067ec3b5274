"""Arrays made from several others, or from several channels of one."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from funlib.geometry import Roi

from dacapo.config import build
from dacapo.errors import InvalidArray

from .array import Array, NDArray, Slices
from .views import View

if TYPE_CHECKING:
    from .configs import ConcatArrayConfig, LogicalOrArrayConfig, SumArrayConfig


def shared_roi(name: str, sources: list[Array]) -> Roi:
    """Return the region that all sources cover, on the grid that they have to share."""
    first = sources[0]
    for other in sources[1:]:
        if other.voxel_size != first.voxel_size or not (other.offset - first.offset).is_multiple_of(
            first.voxel_size
        ):
            raise InvalidArray(
                f"{name}: {other.name} (voxel size {tuple(other.voxel_size)}, offset {tuple(other.offset)}) "
                f"does not lie on the grid of {first.name} (voxel size {tuple(first.voxel_size)}, offset "
                f"{tuple(first.offset)}); wrap one of them in a ResampledArrayConfig"
            )
    roi = reduce(Roi.intersect, (source.roi for source in sources))
    if roi.empty:
        raise InvalidArray(
            f"{name}: its sources have no region in common: "
            + ", ".join(f"{source.name} covers {source.roi}" for source in sources)
        )
    return roi


class _Combined(View):
    """Several sources, read in the region that they have in common."""

    def __init__(
        self, name: str, sources: list[Array], dtype: np.dtype, channels: tuple[int, ...] | None
    ) -> None:
        self.sources = sources
        super().__init__(name, sources[0], roi=shared_roi(name, sources), dtype=dtype, channels=channels)
        self.begins = [[s.start for s in source.slices(self.roi)] for source in sources]

    def _parts(self, slices: Slices) -> list[NDArray]:
        """Read the same region of every source."""
        return [
            source._read(tuple(slice(s.start + b, s.stop + b) for s, b in zip(slices, begin, strict=True)))
            for source, begin in zip(self.sources, self.begins, strict=True)
        ]


class ConcatArray(_Combined):
    """One-channel sources as the channels of one array, in the order of ``channels``."""

    def __init__(self, config: ConcatArrayConfig) -> None:
        # Opened once, however many channels it fills.
        default: Any = build(config.default_config) if config.default_config is not None else None
        given = {channel: build(source) for channel, source in config.source_array_configs.items()}
        self.channels = list(config.channels)
        sources: list[Array] = [given.get(channel, default) for channel in self.channels]
        for channel, source in zip(self.channels, sources, strict=True):
            if source.num_channels not in (None, 1):
                raise InvalidArray(
                    f"{config.name}: {source.name} has {source.num_channels} channels and should have one, "
                    f"to become the channel {channel!r}"
                )
        super().__init__(config.name, sources, np.result_type(*(s.dtype for s in sources)), (len(sources),))

    def _read(self, slices: Slices) -> NDArray:
        out = np.empty((len(self.sources), *(s.stop - s.start for s in slices)), self.dtype)
        for channel, part in zip(out, self._parts(slices), strict=True):
            channel[...] = part.reshape(channel.shape)
        return out


class LogicalOrArray(View):
    """The largest of all channels, without a channel axis."""

    def __init__(self, config: LogicalOrArrayConfig) -> None:
        source = build(config.source_array_config)
        if not source.channel_dims:
            raise InvalidArray(
                f"{config.name}: {source.name} has no channels to merge; its axes are {source.axis_names}"
            )
        super().__init__(config.name, source, channels=())

    def _read(self, slices: Slices) -> NDArray:
        merged: NDArray = self.source._read(slices).max(axis=0)
        return merged


class SumArray(_Combined):
    """The sum of all sources; whole numbers get a dtype wide enough for it."""

    def __init__(self, config: SumArrayConfig) -> None:
        sources: list[Array] = [build(source) for source in config.source_array_configs]
        if len({source.num_channels for source in sources}) > 1:
            raise InvalidArray(
                f"{config.name}: arrays to add should have the same channels, and have "
                + ", ".join(f"{source.num_channels} ({source.name})" for source in sources)
            )
        super().__init__(config.name, sources, _wide_enough([s.dtype for s in sources]), None)

    def _read(self, slices: Slices) -> NDArray:
        parts = self._parts(slices)
        total = parts[0].astype(self.dtype)
        for part in parts[1:]:
            total += part.astype(self.dtype, copy=False)
        return total


def _wide_enough(dtypes: list[np.dtype]) -> np.dtype:
    """Return a dtype that holds the sum of one number of each dtype."""
    common = np.result_type(*dtypes)
    if common.kind not in "uib":
        return common
    limits = [(0, 1) if d.kind == "b" else (np.iinfo(d).min, np.iinfo(d).max) for d in dtypes]
    low, high = (sum(int(limit) for limit in side) for side in zip(*limits, strict=True))
    candidates = ("u1", "u2", "u4", "u8") if low >= 0 else ("i1", "i2", "i4", "i8")
    fits = [c for c in candidates if np.iinfo(c).min <= low and high <= np.iinfo(c).max]
    return np.dtype(fits[0] if fits else candidates[-1])


__all__ = ["ConcatArray", "LogicalOrArray", "SumArray", "shared_roi"]
