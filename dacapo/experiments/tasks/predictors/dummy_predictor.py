"""Predicting zeros: for tests of the parts around a predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from funlib.geometry import Roi

from dacapo.experiments.arraytypes import EmbeddingArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.model import Model

from ..labels import of_channel, read_mask
from .head import convolution
from .predictor import Predictor, channels_like

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture

NDArray = np.ndarray[Any, Any]


class DummyPredictor(Predictor):
    """Predicts ``embedding_dims`` channels that should all be zero."""

    def __init__(self, embedding_dims: int) -> None:
        self.embedding_dims = embedding_dims

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with a convolution of width 1."""
        return Model(architecture, convolution(architecture, self.embedding_dims))

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return zeros."""
        spatial = (roi or gt.roi).shape / gt.voxel_size
        zeros = np.zeros((self.embedding_dims, *spatial), np.float32)
        return channels_like(zeros, gt, "dummy target", roi)

    def create_weight(
        self,
        gt: Array,
        target: Array,
        mask: Array | None = None,
        moving_class_counts: NDArray | None = None,
    ) -> tuple[NumpyArray, NDArray]:
        """Return ones, zeros where the mask says so, and the counts of the only class there is."""
        weight = np.ones(target.shape, np.float32)
        known = of_channel(read_mask(mask, target.roi), 0)
        if known is not None:
            weight *= known
        counts = self.class_counts(gt, mask) if moving_class_counts is None else moving_class_counts
        return channels_like(weight, gt, "dummy weight", target.roi), counts

    def class_counts(self, gt: Array, mask: Array | None = None) -> NDArray:
        """Return how many voxels count."""
        known = of_channel(read_mask(mask, gt.roi), 0)
        return np.array([np.prod(gt.spatial_shape) if known is None else np.count_nonzero(known)])

    @property
    def output_array_type(self) -> EmbeddingArray:
        """Numbers without a meaning."""
        return EmbeddingArray(self.embedding_dims)
