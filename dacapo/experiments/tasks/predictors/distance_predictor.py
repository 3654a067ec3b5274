"""Predicting the signed distance to the surface of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from fastremap import renumber
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray
from dacapo.experiments.arraytypes import ArrayType, DistanceArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.model import Model

from ..balance import class_weights, count_classes
from ..labels import BINARY_REMEDY, of_channel, read_channels, read_mask, require_labels
from .boundary_distance import Slices, border_distance, boundary_distance, signed_distance
from .head import convolution
from .predictor import Predictor, channels_like, stack, weigh

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture

NDArray = np.ndarray[Any, Any]

SATURATED = 0.95  # a distance whose tanh is beyond this need not be known better


class DistancePredictor(Predictor):
    """Predicts tanh(d / scale_factor), d the signed distance to the surface of each class.

    d is in world units, positive inside, and measured from voxel centres to the surface that
    runs halfway between voxels of different label.  It is exact wherever the block shows the
    surface; where no surface is in sight the target is saturated at 1 or -1.  With the padding
    that ``gt_region_for_roi`` adds it is then off by at most 0.05, on ground truth that goes on.

    ``mask_distances`` leaves out voxels of which that cannot be said: those for which the edge of
    what is known, be it the mask or the border of the block, is as near as the surface, and
    nearer than where tanh saturates.

    With ``objects`` the ground truth of the only class holds an id for each object and 0 outside:
    the surface then also runs between objects that touch.
    """

    def __init__(
        self,
        channels: Sequence[str],
        scale_factor: float = 1.0,
        mask_distances: bool = True,
        clipmin: float = 0.05,
        clipmax: float = 0.95,
        objects: bool = False,
    ) -> None:
        self.channels = list(channels)
        self.scale_factor = scale_factor
        self.mask_distances = mask_distances
        self.clipmin, self.clipmax = clipmin, clipmax
        self.objects = objects

    @property
    def saturation_distance(self) -> float:
        """The distance, in world units, beyond which the target hardly changes any more."""
        return math.atanh(SATURATED) * self.scale_factor

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with a convolution of width 1 to one channel per class."""
        return Model(architecture, convolution(architecture, len(self.channels)))

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return tanh of the scaled signed distance; voxels of label 1, or of an object, are inside."""
        part = None if roi is None else gt.slices(roi)
        targets = []
        for labels in self._labels(gt):
            distance = signed_distance(labels if self.objects else labels == 1, gt.voxel_size, part)
            distance /= self.scale_factor
            targets.append(np.tanh(distance, out=distance))
        return channels_like(stack(targets), gt, "distance target", roi)

    def create_weight(
        self,
        gt: Array,
        target: Array,
        mask: Array | None = None,
        moving_class_counts: NDArray | None = None,
    ) -> tuple[NumpyArray, NDArray]:
        """Return weights that balance inside and outside of each class; see ``Predictor``."""
        classes, known = self._read(gt, mask)
        part = gt.slices(target.roi)
        inside = (slice(None), *part)
        wanted, visible = classes[inside], None if known is None else known[inside]
        counts = self._count(wanted, visible) if moving_class_counts is None else moving_class_counts
        weights = self._of_labels(wanted, visible, counts)
        if self.mask_distances:
            for channel, weight in enumerate(weights):
                edge = self._edge_distance(gt, of_channel(known, channel), part)
                weight *= self._certain(target.data[channel], edge)
        return channels_like(stack(weights), gt, "distance weight", target.roi), counts

    def class_counts(self, gt: Array, mask: Array | None = None) -> NDArray:
        """Return the voxels outside and inside of each class, shape (channels, 2)."""
        return self._count(*self._read(gt, mask))

    @property
    def output_array_type(self) -> ArrayType:
        """Signed distances, one channel per class."""
        return DistanceArray(self.channels)

    def padding(self, gt_voxel_size: Coordinate) -> Coordinate:
        """Return, in whole voxels, the distance at which the target saturates."""
        return Coordinate(math.ceil(self.saturation_distance / step) * step for step in gt_voxel_size)

    def _labels(self, gt: Array, roi: Roi | None = None) -> NDArray:
        """Return the labels of each class; ids of objects are numbered anew, as few as there are."""
        if self.objects and gt.dtype.kind not in "iub":
            raise InvalidArray(
                f"{gt.name} holds {gt.dtype}, but objects are told apart by whole numbers; give it their ids"
            )
        labels = read_channels(gt, self.channels, roi)
        return renumber(labels, in_place=False)[0] if self.objects else labels

    def _read(self, gt: Array, mask: Array | None) -> tuple[NDArray, NDArray | None]:
        """Return where each class is 0 and 1, and where that is known."""
        classes = self._labels(gt)
        known = read_mask(mask, gt.roi, len(classes))
        if self.objects:
            return classes > 0, known
        for channel, labels in enumerate(classes):
            whose = f"channel {self.channels[channel]!r} of {gt.name}"
            require_labels(labels, 2, of_channel(known, channel), whose, BINARY_REMEDY)
        return classes, known

    def _of_labels(self, classes: NDArray, known: NDArray | None, counts: NDArray) -> list[NDArray]:
        """Return for each class the weights that balance its inside and outside where labels are known."""
        return [
            weigh(labels == 1, class_weights(one, self.clipmin, self.clipmax), of_channel(known, channel))
            for channel, (labels, one) in enumerate(zip(classes, counts, strict=True))
        ]

    def _count(self, classes: NDArray, known: NDArray | None) -> NDArray:
        counts = [count_classes(labels == 1, 2, of_channel(known, i)) for i, labels in enumerate(classes)]
        return np.stack(counts)

    def _edge_distance(self, gt: Array, known: NDArray | None, part: Slices) -> NDArray:
        """Return how far each voxel is from what is not known, be it masked or beyond the block."""
        if known is None:
            return border_distance(gt.spatial_shape, gt.voxel_size, part)
        return boundary_distance(known, gt.voxel_size, outside_differs=True, part=part)

    def _certain(self, target: NDArray, edge: NDArray) -> NDArray | bool:
        """Say where the target would stay what it is, whatever lies beyond what is known."""
        if edge.min() >= self.saturation_distance:
            return True
        edge /= self.scale_factor
        np.tanh(edge, out=edge)
        # At equal distance the nearest surface may be one that the labels of unknown voxels make up.
        certain: NDArray = (np.abs(target) < edge - 1e-6) | (edge >= SATURATED)
        return certain
