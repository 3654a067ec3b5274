"""Datasplits: which datasets to train on, and which to validate on."""

from .configs import (
    DataSplitConfig,
    DummyDataSplitConfig,
    SimpleDataSplitConfig,
    TrainValidateDataSplitConfig,
)
from .datasplit import DataSplit

__all__ = [
    "DataSplit",
    "DataSplitConfig",
    "DummyDataSplitConfig",
    "SimpleDataSplitConfig",
    "TrainValidateDataSplitConfig",
]
