"""Datasets: images with what is known about them."""

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
