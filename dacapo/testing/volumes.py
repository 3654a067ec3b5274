"""Small seeded volumes and what is made of them, for checks and for tests of plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from funlib.geometry import Coordinate

from dacapo.experiments.architectures import Architecture, CNNectomeUNetConfig
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.datasplits.datasets.dataset import Dataset

NDArray = np.ndarray[Any, Any]
SIZE = 16  # voxels along each axis


class MemoryDataset(Dataset):
    """A dataset of arrays that are given, not opened."""

    def __init__(
        self, name: str, raw: Array, gt: Array | None = None, mask: Array | None = None, **rest: Any
    ) -> None:
        super().__init__(name, **rest)
        self._arrays = raw, gt, mask

    @property
    def raw(self) -> Array:
        return self._arrays[0]

    @property
    def gt(self) -> Array | None:
        return self._arrays[1]

    @property
    def mask(self) -> Array | None:
        return self._arrays[2]


def blobs(shape: Sequence[int], count: int = 5, seed: int = 0, radii: tuple[int, int] = (3, 4)) -> NDArray:
    """Return ids of ``count`` round objects, some of which touch, on a background of 0; uint8."""
    random = np.random.default_rng(seed)
    grid, labels = np.indices(shape), np.zeros(shape, np.uint8)
    for label in range(1, count + 1):
        centre = [random.integers(2, size - 2) for size in shape]
        distance = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        labels[distance < random.integers(*radii, endpoint=True) ** 2] = label
    return labels


def image_of(labels: NDArray, seed: int = 0) -> NDArray:
    """Return a noisy image, float32 of one channel between 0 and 1, in which objects are bright."""
    noise = np.random.default_rng(seed).normal(0, 0.05, labels.shape)
    image: NDArray = np.clip(0.2 + 0.6 * (labels > 0) + noise, 0, 1).astype(np.float32)
    return image[np.newaxis]


def array(data: NDArray, dims: int, name: str, offset: int = 0) -> NumpyArray:
    """Return data as an array with voxels of 8 nm."""
    return NumpyArray(data, (8,) * dims, (offset,) * dims, name=name)


def dataset(name: str = "volume", dims: int = 3, size: int = 2 * SIZE, seed: int = 0) -> MemoryDataset:
    """Return an image and its binary ground truth, with a channel axis each."""
    labels = blobs((size,) * dims, count=12, seed=seed)
    truth = (labels > 0).astype(np.uint8)[np.newaxis]
    return MemoryDataset(name, array(image_of(labels), dims, "image"), array(truth, dims, "labels"))


def small_architecture(dims: int = 3, num_in_channels: int = 1) -> Architecture:
    """Return a network of two convolutions that gives out the shape it takes."""
    config = CNNectomeUNetConfig(
        "small", input_shape=Coordinate((SIZE,) * dims), fmaps_in=num_in_channels, fmaps_out=4, num_fmaps=4,
        fmap_inc_factor=2, downsample_factors=[], padding="same",
    )  # fmt: skip
    made: Architecture = config.architecture_type(config)
    return made
