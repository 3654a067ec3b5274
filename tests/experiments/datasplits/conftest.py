"""Volumes in memory, and a check that any part of an array is a part of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dacapo.experiments.datasplits.datasets.arrays import Array
from recorded_array import MemoryArrayConfig


@pytest.fixture
def memory() -> Callable[..., MemoryArrayConfig]:
    """Return a function that makes the config of a volume in memory."""

    def make(
        values: Any, voxel_size: Any = None, offset: Any = None, name: str = "memory"
    ) -> MemoryArrayConfig:
        values = np.asarray(values)
        voxel_size = voxel_size or (1,) * values.ndim
        return MemoryArrayConfig(name, values=values, voxel_size=voxel_size, offset=offset)

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def reads_by_parts() -> Callable[[Array], None]:
    """Return a check that every region of an array is what slicing all of it gives."""

    def check(array: Array, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        whole = array.data
        assert whole.shape == array.shape
        assert whole.dtype == array.dtype
        for _ in range(8):
            begin = [int(rng.integers(0, size)) for size in array.spatial_shape]
            end = [
                int(rng.integers(b + 1, size + 1)) for b, size in zip(begin, array.spatial_shape, strict=True)
            ]
            slices = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
            roi = type(array.roi)(
                array.offset + array.voxel_size * type(array.offset)(begin),
                array.voxel_size * (type(array.offset)(end) - type(array.offset)(begin)),
            )
            np.testing.assert_array_equal(array[roi], whole[(..., *slices)])

    return check
