"""Datasets: images with what is known about them."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .configs import (
    DatasetConfig,
    DummyDatasetConfig,
    RawGTDatasetConfig,
    SimpleDataset,
    SimpleDatasetConfig,
)
from .dataset import Dataset

__all__ = [
    "Dataset",
    "DatasetConfig",
    "DummyDatasetConfig",
    "RawGTDatasetConfig",
    "SimpleDataset",
    "SimpleDatasetConfig",
]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "datasets")
