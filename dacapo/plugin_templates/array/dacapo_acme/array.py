"""The array itself: reads what is asked for, and no more."""

import numpy as np

from dacapo.config import build
from dacapo.experiments.datasplits.datasets.arrays import Array


class AcmeArray(Array):
    """A view of another array, as float32."""

    def __init__(self, config):
        self.source, self.white = build(config.source_array_config), np.float32(config.white)
        super().__init__(
            self.source.shape,
            np.float32,
            self.source.voxel_size,
            self.source.offset,
            self.source.axis_names,
            self.source.units,
            config.name,
        )

    def _read(self, slices):
        return self.white - self.source[(..., *slices)].astype(np.float32)
