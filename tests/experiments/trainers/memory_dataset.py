"""A dataset, a task and a network in memory, as small as they can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.tasks.losses import Loss
from dacapo.experiments.trainers.patch_source import PatchShape, PatchSource
from dacapo.testing.volumes import MemoryDataset

__all__ = ["MemoryDataset", "TinyModel", "balls", "noise", "shape_for", "source_for", "tiny_task"]


class TinyModel(torch.nn.Module):
    """One convolution, valid or same, with the attributes of a ``Model`` that a trainer looks at."""

    def __init__(self, input_shape: Any, valid: bool = False, upscale: int = 1, channels: int = 1) -> None:
        super().__init__()
        self.input_shape = Coordinate(input_shape)
        self.num_in_channels, self.num_out_channels = channels, 1
        dims = len(self.input_shape)
        convolution = torch.nn.Conv3d if dims == 3 else torch.nn.Conv2d
        self.convolution = convolution(channels, 1, 3, padding=0 if valid else 1)
        self.upscale = upscale
        lost = 2 if valid else 0
        self.output_shape = (self.input_shape - lost) * upscale

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        return voxel_size / self.upscale

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return self.convolution(raw)


class CopyPredictor:
    """The target is the ground truth, the weight is the mask; both need ``margin`` voxels around."""

    def __init__(self, margin: int = 0) -> None:
        self.margin = margin

    def gt_region_for_roi(self, roi: Roi, voxel_size: Coordinate) -> Roi:
        return roi.grow(voxel_size * self.margin, voxel_size * self.margin)

    def create_target(self, gt: Array, roi: Roi | None = None) -> NumpyArray:
        roi = gt.roi if roi is None else roi
        data = gt[roi].astype(np.float32)
        return NumpyArray(data[np.newaxis] if gt.num_channels is None else data, gt.voxel_size, roi.offset)

    def create_weight(self, gt: Any, target: Any, mask: Any = None, moving_class_counts: Any = None) -> Any:
        counts = 1 if mask is None else mask[target.roi] > 0
        data = np.zeros_like(target.data) + counts
        return NumpyArray(data, gt.voxel_size, target.offset), moving_class_counts

    def class_counts(self, gt: Array, mask: Any = None) -> Any:
        return np.array([np.sum(gt.data == 0), np.sum(gt.data != 0)])


class MeanSquares(Loss):
    """The weighted mean of squared errors."""

    def compute(self, prediction: torch.Tensor, target: torch.Tensor, weight: Any = None) -> torch.Tensor:
        return ((prediction - target) ** 2 * (1 if weight is None else weight)).mean()


def tiny_task(margin: int = 0) -> Any:
    return SimpleNamespace(predictor=CopyPredictor(margin), loss=MeanSquares())


def shape_for(model: Any, dataset: Any, margin: int = 0) -> PatchShape:
    return PatchShape.of(model, CopyPredictor(margin), dataset.raw)


def source_for(model: Any, dataset: Any, margin: int = 0, **options: Any) -> PatchSource:
    return PatchSource(dataset, shape_for(model, dataset, margin), **options)


def noise(shape: Any, voxel_size: Any = (8, 8, 8), offset: Any = None, seed: int = 0) -> NumpyArray:
    data = np.random.default_rng(seed).random(shape, np.float32)
    return NumpyArray(data, voxel_size, offset, name="raw")


def balls(shape: Any, voxel_size: Any = (8, 8, 8), offset: Any = None, seed: int = 0) -> NumpyArray:
    random = np.random.default_rng(seed)
    grid = np.indices(shape)
    data = np.zeros(shape, np.uint8)
    for _ in range(6):
        centre = [random.integers(size) for size in shape]
        distance = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        data[distance < 25] = 1
    return NumpyArray(data, voxel_size, offset, name="gt")
