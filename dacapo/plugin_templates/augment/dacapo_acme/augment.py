"""The augment itself."""

import numpy as np

from dacapo.experiments.trainers import Augment


class AcmeAugment(Augment):
    """Draws the section from the generator that it is given, and keeps nothing between patches."""

    def change(self, patch, random):
        axis = 1 + self.config.axis  # channels come first
        raw = np.moveaxis(patch.raw.copy(), axis, 0)
        raw[random.integers(len(raw))] = self.config.brightness
        patch.raw = np.moveaxis(raw, 0, axis)
