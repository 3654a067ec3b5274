"""What every predictor offers: a head, and the targets and weights to train it with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.arraytypes import ArrayType
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture
    from dacapo.experiments.model import Model

NDArray = np.ndarray[Any, Any]


class Predictor(ABC):
    """Says what a network is to predict, and makes targets and weights from ground truth.

    Targets and weights are float32, channels first, on the grid of the ground truth they were
    made from; the ground truth may be larger, see ``gt_region_for_roi``.
    """

    @abstractmethod
    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with the head that this prediction needs."""

    @abstractmethod
    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return what the network should predict where this is the ground truth.

        With ``roi`` only that region is returned, at less cost; all of the ground truth is seen.
        """

    @abstractmethod
    def create_weight(
        self,
        gt: Array,
        target: Array,
        mask: Array | None = None,
        moving_class_counts: NDArray | None = None,
    ) -> tuple[NumpyArray, NDArray]:
        """Return how much each value of the target counts, and the class counts used for it.

        Masked voxels weigh 0.  Classes are balanced by ``moving_class_counts``, or by those of
        the target's region if None are given.
        """

    @abstractmethod
    def class_counts(self, gt: Array, mask: Array | None = None) -> NDArray:
        """Return the voxels of each class that count: what ``create_weight`` balances by.

        Counts of several blocks may be added up.
        """

    @property
    @abstractmethod
    def output_array_type(self) -> ArrayType:
        """What the numbers of a prediction mean."""

    def padding(self, gt_voxel_size: Coordinate) -> Coordinate:
        """Return how much ground truth a target needs around it on each side, in world units."""
        return Coordinate((0,) * len(gt_voxel_size))

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        """Return the region of ground truth that a target for ``roi`` is made from."""
        padding = self.padding(Coordinate(voxel_size))
        return roi.grow(padding, padding)


def channels_like(data: NDArray, gt: Array, name: str, roi: Roi | None = None) -> NumpyArray:
    """Wrap (channel, spatial...) data that lies where the ground truth does, or a region of it."""
    axis_names = ["c^", *gt.axis_names[gt.channel_dims :]]
    offset = gt.offset if roi is None else roi.offset
    return NumpyArray(data, gt.voxel_size, offset, axis_names, gt.units, name=name)


def weigh(labels: NDArray, weights: NDArray, mask: NDArray | None) -> NDArray:
    """Look up the weight of each label; masked voxels, and unknown labels, weigh 0."""
    table: NDArray = np.append(weights, 0).astype(np.float32)
    found: NDArray
    if labels.dtype == bool:
        found = np.where(labels, table[1], table[0])
    else:
        outside = len(weights)
        valid = (labels >= 0) & (labels < outside)
        found = table[np.where(valid, labels, outside).astype(np.intp)]
    if mask is not None:
        found *= mask
    return found


def stack(volumes: Sequence[NDArray]) -> NDArray:
    """Stack volumes to channels; a single one is not copied."""
    return volumes[0][np.newaxis] if len(volumes) == 1 else np.stack(volumes)
