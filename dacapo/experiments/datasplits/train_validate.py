"""Datasplits that list their datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dacapo.config import build

from .datasplit import DataSplit

if TYPE_CHECKING:
    from .configs import DummyDataSplitConfig, TrainValidateDataSplitConfig


class TrainValidateDataSplit(DataSplit):
    """Two lists of datasets."""

    def __init__(self, config: TrainValidateDataSplitConfig) -> None:
        super().__init__(config.name, map(build, config.train_configs), map(build, config.validate_configs))


class DummyDataSplit(DataSplit):
    """One dataset to train on and none to validate on."""

    def __init__(self, config: DummyDataSplitConfig) -> None:
        super().__init__(config.name, [build(config.train_config)])


__all__ = ["DummyDataSplit", "TrainValidateDataSplit"]
