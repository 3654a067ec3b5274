"""Predicting of each class both where it is and how far its surface is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from funlib.geometry import Roi

from dacapo.experiments.arraytypes import ArrayType, ProbabilityArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.model import Model

from .distance_predictor import DistancePredictor
from .head import convolution
from .predictor import channels_like

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture

NDArray = np.ndarray[Any, Any]


class HotDistancePredictor(DistancePredictor):
    """Predicts two channels a class: first those of its presence, then those of its distance.

    Presence is a logit in training and a probability (sigmoid) in eval mode, learned from labels of
    0 and 1.  Distances are those of ``DistancePredictor``; ``mask_distances`` leaves out only them.
    ``kernel_size`` is the width in voxels of the last convolution, which is not padded.
    """

    def __init__(
        self,
        channels: Sequence[str],
        scale_factor: float = 1.0,
        mask_distances: bool = False,
        kernel_size: int | None = None,
        clipmin: float = 0.05,
        clipmax: float = 0.95,
        objects: bool = False,
    ) -> None:
        super().__init__(channels, scale_factor, mask_distances, clipmin, clipmax, objects)
        self.kernel_size = kernel_size or 1

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with a convolution to two channels per class, and sigmoid on the first half."""
        head = convolution(architecture, 2 * len(self.channels), self.kernel_size)
        return Model(architecture, head, eval_activation=PresenceSigmoid())

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return 1 where the label is 1 and 0 elsewhere, and then tanh of the scaled signed distances."""
        distance = super().create_target(gt, roi)
        labels = self._labels(gt, distance.roi)
        present = labels > 0 if self.objects else labels == 1
        both = np.concatenate([present, distance.data]).astype(np.float32, copy=False)
        return channels_like(both, gt, "hot-distance target", roi)

    def create_weight(
        self,
        gt: Array,
        target: Array,
        mask: Array | None = None,
        moving_class_counts: NDArray | None = None,
    ) -> tuple[NumpyArray, NDArray]:
        """Return weights that balance inside and outside of each class, for both of its channels."""
        half = len(self.channels)
        distance = channels_like(target.data[half:], gt, "distance target", target.roi)
        weight, counts = super().create_weight(gt, distance, mask, moving_class_counts)
        present = weight.data
        if self.mask_distances:
            present = self._of_presence(gt, target.roi, mask, counts)
        both = np.concatenate([present, weight.data])
        return channels_like(both, gt, "hot-distance weight", target.roi), counts

    def _of_presence(self, gt: Array, roi: Roi, mask: Array | None, counts: NDArray) -> NDArray:
        """Return the weights of voxels whose label is known, be their distance known or not."""
        classes, known = self._read(gt, mask)
        inside = (slice(None), *gt.slices(roi))
        return np.stack(self._of_labels(classes[inside], None if known is None else known[inside], counts))

    @property
    def output_array_type(self) -> ArrayType:
        """Probabilities of the classes, and then their distances."""
        return ProbabilityArray([*self.channels, *map(distance_channel, self.channels)])


class PresenceSigmoid(torch.nn.Module):
    """Makes probabilities of the first half of the channels, and leaves the other half as it is."""

    def forward(self, prediction: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels, spatial...) of the same shape."""
        present, distance = prediction.chunk(2, dim=1)
        return torch.cat([present.sigmoid(), distance], dim=1)


def distance_channel(name: str) -> str:
    """Return what the channel with the distances of a class is called."""
    return f"{name}__distance"
