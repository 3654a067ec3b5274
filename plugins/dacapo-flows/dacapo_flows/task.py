"""Learning the way to the centre of each voxel's object."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray
from dacapo.experiments.arraytypes import EmbeddingArray
from dacapo.experiments.datasplits.datasets.arrays import Array
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.model import Model
from dacapo.experiments.tasks import Task
from dacapo.experiments.tasks.evaluators import InstanceEvaluator
from dacapo.experiments.tasks.losses import Loss
from dacapo.experiments.tasks.post_processors import PostProcessor
from dacapo.experiments.tasks.predictors import Predictor

from .configs import FlowsPostProcessorParameters, FlowsTaskConfig
from .diffusion import flows
from .following import flow_errors, keep, part

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture

NDArray = np.ndarray[Any, Any]


class FlowsTask(Task):
    """Flows and foreground, followed to where the flows end, scored as instances."""

    def __init__(self, config: FlowsTaskConfig) -> None:
        self._channels = [*(f"flow_{axis}" for axis in "zyx"[-config.dims :]), "foreground"]
        self.predictor = FlowsPredictor(config)
        self.loss = FlowsLoss(config.flow_weight)
        self.post_processor = FlowsPostProcessor(config)
        self.evaluator = InstanceEvaluator()

    @property
    def channels(self) -> list[str]:
        """The flow along each axis, and then the foreground."""
        return list(self._channels)


class FlowsPredictor(Predictor):
    """Predicts the flow along each axis, and behind it the foreground: a logit, a probability in eval mode.

    Ground truth holds one id for each object, and 0 for the background.
    """

    def __init__(self, config: FlowsTaskConfig) -> None:
        self.dims, self.diameter = config.dims, config.diameter
        self.clips = config.clipmin, config.clipmax

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with a convolution of width 1, the last channel a sigmoid in eval mode."""
        convolution = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[self.dims]
        head = convolution(architecture.num_out_channels, self.dims + 1, 1)
        return Model(architecture, head, eval_activation=ForegroundSigmoid())

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return unit vectors towards the centres, 0 outside, and then 1 in objects and 0 elsewhere."""
        labels, inside = self._ids(gt), gt.slices(roi or gt.roi)
        flow = flows(labels, gt.voxel_size, inside)
        target = np.concatenate([flow, (labels[inside] != 0)[np.newaxis]]).astype(np.float32)
        return self._like(target, gt, "flows target", roi)

    def create_weight(
        self, gt: Array, target: Array, mask: Array | None = None, moving_class_counts: NDArray | None = None
    ) -> tuple[NumpyArray, NDArray]:
        """Return weights: of the flow inside of objects only, of the foreground balanced."""
        known = self._known(mask, target.roi, target.shape[1:])
        objects = target.data[-1] > 0.5
        counts = self._count(objects, known) if moving_class_counts is None else moving_class_counts
        fractions = np.clip(counts / max(counts.sum(), 1), *self.clips)
        outside, inside = 0.5 / fractions
        foreground = np.where(objects, inside, outside) * known
        flow = np.broadcast_to(objects & known, (self.dims, *objects.shape))
        weight = np.concatenate([flow, foreground[np.newaxis]]).astype(np.float32)
        return self._like(weight, gt, "flows weight", target.roi), counts

    def class_counts(self, gt: Array, mask: Array | None = None) -> NDArray:
        """Return how many voxels that count lie outside and inside of objects."""
        labels = self._ids(gt)
        return self._count(labels != 0, self._known(mask, gt.roi, labels.shape))

    @property
    def output_array_type(self) -> EmbeddingArray:
        """Vectors and a probability."""
        return EmbeddingArray(self.dims + 1)

    def padding(self, gt_voxel_size: Coordinate) -> Coordinate:
        """Return the diameter of objects, in whole voxels."""
        return Coordinate(math.ceil(self.diameter / step) * step for step in gt_voxel_size)

    def _ids(self, gt: Array) -> NDArray:
        data: NDArray = gt.data
        if gt.num_channels is not None and len(data) == 1:
            data = data[0]
        if data.ndim != self.dims or data.dtype.kind not in "iub":
            raise InvalidArray(
                f"{gt.name} holds {data.dtype} over {data.ndim} axes, but flows are made from whole "
                f"numbers, one for each object, over {self.dims} spatial axes"
            )
        return data

    def _known(self, mask: Array | None, roi: Roi, shape: tuple[int, ...]) -> NDArray:
        if mask is None:
            return np.ones(shape, bool)
        known: NDArray = mask.to_ndarray(roi) > 0
        return known.all(axis=0) if mask.num_channels is not None else known

    @staticmethod
    def _count(objects: NDArray, known: NDArray) -> NDArray:
        return np.array([np.count_nonzero(known & ~objects), np.count_nonzero(known & objects)])

    @staticmethod
    def _like(data: NDArray, gt: Array, name: str, roi: Roi | None) -> NumpyArray:
        axes = ["c^", *gt.axis_names[-gt.dims :]]
        offset = gt.offset if roi is None else roi.offset
        return NumpyArray(data, gt.voxel_size, offset, axes, gt.units, name=name)


class ForegroundSigmoid(torch.nn.Module):
    """Makes a probability of the last channel, and leaves the flow as it is."""

    def forward(self, prediction: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels, spatial...) of the same shape."""
        return torch.cat([prediction[:, :-1], prediction[:, -1:].sigmoid()], dim=1)


class FlowsLoss(Loss):
    """Cross-entropy of the foreground, plus the squared error of the flow; weighted means."""

    def __init__(self, flow_weight: float) -> None:
        super().__init__()
        self.flow_weight = flow_weight

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w bce(p, t)) / sum(w) + flow_weight * sum(w (p - t)^2) / sum(w)."""
        weight = torch.ones_like(target) if weight is None else weight
        # What does not count is taken out first: not even NaN there gets through.
        prediction = torch.where(weight > 0, prediction.float(), 0.0)
        target = torch.where(weight > 0, target.float(), 0.0)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            prediction[:, -1], target[:, -1], reduction="none"
        )
        squared = (prediction[:, :-1] - target[:, :-1]).square()
        return _mean(entropy, weight[:, -1]) + self.flow_weight * _mean(squared, weight[:, :-1])


class FlowsPostProcessor(PostProcessor):
    """Follows the flow of each voxel of the foreground; those that end in one place are one object.

    Objects are found in the whole volume, which is held in memory.
    """

    is_blockwise = False

    def __init__(self, config: FlowsTaskConfig) -> None:
        self.config = config

    def enumerate_parameters(self) -> Iterable[FlowsPostProcessorParameters]:
        """Return a set for each pair of thresholds, numbered from 0."""
        pairs = [(a, b) for a in self.config.foreground_thresholds for b in self.config.flow_thresholds]
        return [
            FlowsPostProcessorParameters(
                i, foreground_threshold=a, flow_threshold=b, min_size=self.config.min_size
            )
            for i, (a, b) in enumerate(pairs)
        ]

    def set_prediction(self, prediction: Array) -> None:
        """Say which prediction to segment; raises ``InvalidArray`` unless it is one of this task."""
        if prediction.dtype.kind != "f" or prediction.num_channels != self.config.dims + 1:
            raise InvalidArray(
                f"{prediction.name} holds {prediction.dtype} in {prediction.num_channels} channels, but "
                f"flows and foreground are real numbers in {self.config.dims + 1}; predict again as float32"
            )
        super().set_prediction(prediction)

    def segment(self, prediction: NDArray, parameters: FlowsPostProcessorParameters) -> NDArray:
        """Return ids of objects, counted from 1, and 0 where there is none; uint64."""
        threshold, most = parameters.foreground_threshold, parameters.flow_threshold
        ids = self.shared(self._part, prediction, threshold)
        errors = None if most is None else self.shared(self._errors, prediction, threshold)
        return keep(ids, errors, most, parameters.min_size).astype(np.uint64)

    def _part(self, prediction: NDArray, threshold: float) -> NDArray:
        return part(prediction[:-1], prediction[-1] > threshold, self._voxel_size)

    def _errors(self, prediction: NDArray, threshold: float) -> NDArray:
        ids = self.shared(self._part, prediction, threshold)
        return flow_errors(ids, prediction[:-1], self._voxel_size)

    @property
    def _voxel_size(self) -> tuple[float, ...]:
        return (1.0,) * self.config.dims if self.prediction is None else tuple(self.prediction.voxel_size)


def _mean(errors: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    smallest = torch.finfo(torch.float32).tiny
    return (errors * weight).sum() / weight.sum(dtype=torch.float32).clamp(min=smallest)
