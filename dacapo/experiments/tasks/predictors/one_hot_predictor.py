"""Predicting which of several classes each voxel belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from funlib.geometry import Roi

from dacapo.experiments.arraytypes import ProbabilityArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.model import Model

from ..balance import class_weights, count_classes
from ..labels import IDS_REMEDY, of_channel, read_ids, read_mask, require_labels, without
from .head import convolution
from .predictor import Predictor, channels_like, weigh

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture

NDArray = np.ndarray[Any, Any]


class OneHotPredictor(Predictor):
    """Predicts one channel per class: logits in training, probabilities (softmax) in eval mode.

    Ground truth has the ids 0 ... n - 1.  A voxel of any other id belongs to no class; it must be
    masked out, or have the ``ignore_label``, which is as good.  ``kernel_size`` is the width of the last
    convolution, which is not padded.  ``weights`` of the classes take the place of balancing.
    """

    def __init__(
        self,
        classes: Sequence[str],
        kernel_size: int | None = None,
        balance_classes: bool = True,
        clipmin: float = 0.05,
        clipmax: float = 0.95,
        weights: Sequence[float] | None = None,
        ignore_label: int | None = None,
    ) -> None:
        self.classes = list(classes)
        self.kernel_size = kernel_size or 1
        self.balance_classes = balance_classes
        self.clipmin, self.clipmax = clipmin, clipmax
        self.weights, self.ignore_label = weights, ignore_label

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with a convolution to one channel per class, and softmax in eval mode."""
        head = convolution(architecture, len(self.classes), self.kernel_size)
        return Model(architecture, head, eval_activation=torch.nn.Softmax(dim=1))

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return 1 in the channel of each voxel's class and 0 in all others."""
        ids = read_ids(gt, roi)
        target = np.empty((len(self.classes), *ids.shape), np.float32)
        for label, channel in enumerate(target):
            np.equal(ids, label, out=channel, casting="unsafe")
        return channels_like(target, gt, "one-hot target", roi)

    def create_weight(
        self,
        gt: Array,
        target: Array,
        mask: Array | None = None,
        moving_class_counts: NDArray | None = None,
    ) -> tuple[NumpyArray, NDArray]:
        """Return the weight of each voxel, the same in all channels; see ``Predictor``.

        Without weights and ``balance_classes`` every voxel that counts weighs 1.
        """
        ids, known = self._read(gt, mask, target.roi)
        counts = (
            count_classes(ids, len(self.classes), known)
            if moving_class_counts is None
            else moving_class_counts
        )
        weight = weigh(ids, self._per_class(counts), known)
        shared = np.broadcast_to(weight, (len(self.classes), *ids.shape))
        return channels_like(shared, gt, "one-hot weight", target.roi), counts

    def class_counts(self, gt: Array, mask: Array | None = None) -> NDArray:
        """Return how many voxels that count belong to each class."""
        ids, known = self._read(gt, mask)
        return count_classes(ids, len(self.classes), known)

    @property
    def output_array_type(self) -> ProbabilityArray:
        """Probabilities, one channel per class."""
        return ProbabilityArray(self.classes)

    def _per_class(self, counts: NDArray) -> NDArray:
        if self.weights is not None:
            return np.array(self.weights, np.float32)
        if self.balance_classes:
            return class_weights(counts, self.clipmin, self.clipmax)
        return np.ones(len(self.classes), np.float32)

    def _read(self, gt: Array, mask: Array | None, roi: Roi | None = None) -> tuple[NDArray, NDArray | None]:
        ids = read_ids(gt, roi)
        known = without(self.ignore_label, ids, of_channel(read_mask(mask, roi or gt.roi), 0))
        require_labels(ids, len(self.classes), known, gt.name, IDS_REMEDY)
        return ids, known
