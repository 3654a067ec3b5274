"""A source that remembers what was read of it."""

from __future__ import annotations

from typing import Any

import attrs

from dacapo.config import field
from dacapo.experiments.datasplits.datasets.arrays import ArrayConfig, NumpyArray


class RecordedArray(NumpyArray):
    """A volume in memory that notes every read in its config."""

    def __init__(self, config: MemoryArrayConfig) -> None:
        super().__init__(config.values, config.voxel_size, config.offset, name=config.name)
        self.config = config

    def _read(self, slices: Any) -> Any:
        shape = tuple(s.stop - s.start for s in slices)
        assert all(0 <= s.start <= s.stop <= n for s, n in zip(slices, self.spatial_shape, strict=True))
        self.config.reads.append(shape)
        return super()._read(slices)


@attrs.define(kw_only=True)
class MemoryArrayConfig(ArrayConfig):
    """A volume in memory, for tests."""

    values: Any = field("The voxels.")
    voxel_size: Any = field("Their size.")
    offset: Any = field("Where they begin.")
    reads: list[Any] = field("Shapes of the regions read so far.", factory=list)

    array_type = RecordedArray
