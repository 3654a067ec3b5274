"""How the task is done."""

import numpy as np

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.model import Model
from dacapo.experiments.tasks import Task
from dacapo.experiments.tasks.balance import class_weights, count_classes
from dacapo.experiments.tasks.evaluators import BinarySegmentationEvaluator
from dacapo.experiments.tasks.labels import read_channels, read_mask
from dacapo.experiments.tasks.losses import MSELoss
from dacapo.experiments.tasks.post_processors import ThresholdPostProcessor
from dacapo.experiments.tasks.predictors import Predictor, channels_like, convolution


class AcmePredictor(Predictor):
    """Predicts 1 inside of objects and 0 outside."""

    output_array_type = ProbabilityArray(["object"])

    def create_model(self, architecture):
        return Model(architecture, convolution(architecture, 1))

    def create_target(self, gt, roi=None):
        inside = read_channels(gt, ["object"], roi) > 0
        return channels_like(inside.astype(np.float32), gt, "target", roi)

    def create_weight(self, gt, target, mask=None, moving_class_counts=None):
        counts = self.class_counts(gt, mask) if moving_class_counts is None else moving_class_counts
        outside, inside = class_weights(counts)  # so that small objects count as much as all around them
        weight, known = np.where(target.data > 0.5, inside, outside), read_mask(mask, target.roi)
        return channels_like(weight if known is None else weight * known, gt, "weight", target.roi), counts

    def class_counts(self, gt, mask=None):
        return count_classes(read_channels(gt, ["object"]) > 0, 2, read_mask(mask, gt.roi))


class AcmeTask(Task):
    """Probabilities, learned by squared error, cut at thresholds, scored voxel by voxel."""

    channels = ["object"]

    def __init__(self, config):
        self.predictor = AcmePredictor()
        self.loss = MSELoss()
        self.post_processor = ThresholdPostProcessor(config.thresholds)
        self.evaluator = BinarySegmentationEvaluator(clip_distance=200, tol_distance=40)
