"""The dataset itself: made when it is first looked at."""

from functools import cached_property

import numpy as np

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasets.arrays import NumpyArray

VOXEL_SIZE = (8, 8, 8)


class AcmeDataset(Dataset):
    """Balls of 3 to 5 voxels radius, at random places."""

    def __init__(self, config):
        super().__init__(config.name, config.weight)
        self.config = config

    @cached_property
    def gt(self):
        random, size = np.random.default_rng(self.config.seed), self.config.size
        grid, labels = np.indices((size,) * 3, np.float32), np.zeros((size,) * 3, np.uint8)
        for centre in random.uniform(0, size, (self.config.balls, 3)):
            distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(axis=0))
            labels[distance < random.uniform(3, 5)] = 1
        return NumpyArray(labels, VOXEL_SIZE, name=f"{self.name}_gt")

    @cached_property
    def raw(self):
        random = np.random.default_rng([self.config.seed, 1])
        noise = random.standard_normal(self.gt.shape, np.float32) * self.config.noise
        return NumpyArray(self.gt.data + noise, VOXEL_SIZE, name=f"{self.name}_raw")
