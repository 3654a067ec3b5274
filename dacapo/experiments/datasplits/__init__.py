"""Datasplits: which datasets to train on, and which to validate on."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

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

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "datasplits")
