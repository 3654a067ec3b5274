"""The post-processor itself."""

import numpy as np
from scipy import ndimage

from dacapo.experiments.tasks.post_processors import PostProcessor


class AcmePostProcessor(PostProcessor):
    """Cuts at a threshold, each channel by itself, and keeps objects that reach a peak."""

    is_blockwise = False  # the peak of an object may lie in another block

    def __init__(self, parameters):
        self.parameters = parameters

    def enumerate_parameters(self):
        return [self.parameters]  # the task sweeps their values

    def segment(self, prediction, parameters):
        # The same for all peaks: made once for each threshold.
        heights = self.shared(heights_of_objects, prediction, parameters.threshold)
        return (heights > parameters.peak).astype(np.uint8)


def heights_of_objects(prediction, threshold):
    """Return the highest value in the object of each voxel, and below the threshold -inf."""
    heights = np.full(prediction.shape, -np.inf)
    for values, made in zip(prediction, heights, strict=True):
        objects, count = ndimage.label(values > threshold)
        peaks = ndimage.maximum(values, objects, np.arange(1, count + 1))
        made[objects > 0] = np.asarray(peaks)[objects[objects > 0] - 1]
    return heights
