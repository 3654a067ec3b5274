"""Predicting which neighbours of each voxel belong to the same object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.arraytypes import EmbeddingArray
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.model import Model

from ..balance import class_weights, count_classes
from ..labels import of_channel, read_ids, read_mask
from .affinity_graph import Slices, affinities, both_known, require_ids
from .head import convolution
from .predictor import Predictor, channels_like, weigh
from .shape_descriptors import TRUNCATE, names, shape_descriptors

if TYPE_CHECKING:
    from dacapo.experiments.architectures import Architecture

NDArray = np.ndarray[Any, Any]
Clips = tuple[float, float]


class AffinitiesPredictor(Predictor):
    """Predicts an affinity for each offset of ``neighborhood``, and local shape descriptors if asked to.

    Offsets are in voxels, of any length and sign.  An affinity is 1 where a voxel and its neighbour
    bear the same id, and 0 elsewhere; background (0) has none, unless it is taken for an object.  Of
    ids nothing matters but whether they are the same.  Both are logits in training, and sigmoids of
    them in eval mode.

    Descriptors are looked at through a Gaussian of width ``num_voxels`` times the largest voxel size.
    """

    def __init__(
        self,
        neighborhood: Sequence[Coordinate],
        lsds: bool = True,
        num_voxels: int = 20,
        downsample_lsds: int = 1,
        background_as_object: bool = False,
        affs_weight_clips: Clips = (0.05, 0.95),
        lsd_weight_clips: Clips = (0.05, 0.95),
    ) -> None:
        self.neighborhood = [Coordinate(offset) for offset in neighborhood]
        self.lsds = lsds
        self.num_voxels = num_voxels
        self.downsample_lsds = downsample_lsds
        self.background_as_object = background_as_object
        self.affs_weight_clips, self.lsd_weight_clips = affs_weight_clips, lsd_weight_clips

    @property
    def dims(self) -> int:
        """How many spatial axes there are."""
        return len(self.neighborhood[0])

    @property
    def channels(self) -> list[str]:
        """The names of all channels: affinities in the order of the offsets, then the descriptors."""
        affs = [f"aff_{'.'.join(map(str, offset))}" for offset in self.neighborhood]
        return [*affs, *(names(self.dims) if self.lsds else [])]

    def create_model(self, architecture: Architecture) -> Model:
        """Return the backbone with a convolution of width 1 to one channel each, and sigmoid in eval mode."""
        return Model(
            architecture, convolution(architecture, len(self.channels)), eval_activation=torch.nn.Sigmoid()
        )

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        """Return affinities and descriptors, all between 0 and 1."""
        labels, part = self._ids(gt), gt.slices(roi or gt.roi)
        target = affinities(labels, self.neighborhood, part).astype(np.float32)
        if self.lsds:
            sigma = self._sigma(gt.voxel_size)
            described = shape_descriptors(labels, sigma, gt.voxel_size, part, self.downsample_lsds)
            target = np.concatenate([target, described])
        return channels_like(target, gt, "affinities target", roi)

    def create_weight(
        self,
        gt: Array,
        target: Array,
        mask: Array | None = None,
        moving_class_counts: NDArray | None = None,
    ) -> tuple[NumpyArray, NDArray]:
        """Return weights that balance 0 and 1 of each offset, and inside and outside for descriptors.

        An affinity counts where both ends are known: neither masked, nor beyond the ground truth.
        """
        known, part = of_channel(read_mask(mask, gt.roi), 0), gt.slices(target.roi)
        counts = self._count(gt, known, part) if moving_class_counts is None else moving_class_counts
        number = len(self.neighborhood)
        there = both_known(gt.spatial_shape, known, self.neighborhood, part)
        weights = [
            weigh(target.data[i] > 0.5, class_weights(counts[i], *self.affs_weight_clips), both)
            for i, both in enumerate(there)
        ]
        if self.lsds:
            inside, visible = self._ids(gt)[part] != 0, None if known is None else known[part]
            per_class = class_weights(counts[number], *self.lsd_weight_clips)
            # Background has no descriptors: there is nothing to learn of it.
            weight = weigh(inside, np.array([0, per_class[1]]), visible)
            weights += [weight] * len(names(self.dims))
        return channels_like(np.stack(weights), gt, "affinities weight", target.roi), counts

    def class_counts(self, gt: Array, mask: Array | None = None) -> NDArray:
        """Return how often each affinity is 0 and 1, and of voxels how many are outside and inside.

        Shape (offsets, 2), one row more with descriptors.
        """
        known = of_channel(read_mask(mask, gt.roi), 0)
        return self._count(gt, known, gt.slices(gt.roi))

    @property
    def output_array_type(self) -> EmbeddingArray:
        """Affinities, and descriptors if there are any."""
        return EmbeddingArray(len(self.channels))

    def padding(self, gt_voxel_size: Coordinate) -> Coordinate:
        """Return how far descriptors see, in whole voxels; 0 without them."""
        if not self.lsds:
            return Coordinate((0,) * len(gt_voxel_size))
        reach = TRUNCATE * max(gt_voxel_size) * self.num_voxels
        return Coordinate(math.ceil(reach / step) * step for step in gt_voxel_size)

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        """Return the region of ground truth that a target for ``roi`` is made from.

        It reaches as far as the offsets, each to its own side, and at least as far as descriptors see.
        """
        voxel_size = Coordinate(voxel_size)
        padding = self.padding(voxel_size)
        by_axis = list(zip(*self.neighborhood, strict=True))
        before, after = (
            Coordinate(
                max(pad, step * max(0, *(sign * way for way in ways), 0))
                for pad, step, ways in zip(padding, voxel_size, by_axis, strict=True)
            )
            for sign in (-1, 1)
        )
        return roi.grow(before, after)

    def _sigma(self, voxel_size: Coordinate) -> tuple[float, ...]:
        return (float(max(voxel_size) * self.num_voxels),) * len(voxel_size)

    def _ids(self, gt: Array) -> NDArray:
        require_ids(gt)
        labels = read_ids(gt)
        return labels.astype(np.int64) + 1 if self.background_as_object else labels

    def _count(self, gt: Array, known: NDArray | None, part: Slices) -> NDArray:
        labels = self._ids(gt)
        same = affinities(labels, self.neighborhood, part)
        there = both_known(gt.spatial_shape, known, self.neighborhood, part)
        counts = [count_classes(one > 0, 2, both) for one, both in zip(same, there, strict=True)]
        if self.lsds:
            counts.append(count_classes(labels[part] != 0, 2, None if known is None else known[part]))
        return np.stack(counts)
