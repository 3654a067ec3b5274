"""The datasplits a run can be given, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs

from dacapo.config import Config, field, implemented_by

from .datasets.arrays.configs import verify_parts
from .datasets.configs import DatasetConfig, DummyDatasetConfig, RawGTDatasetConfig

_MODULE = "dacapo.experiments.datasplits"


@attrs.define(kw_only=True)
class DataSplitConfig(Config, kind="datasplits", builds="datasplit_type"):
    """Which datasets to train on, and which to validate on."""

    def verify(self) -> tuple[bool, str]:
        """Say whether the files behind all datasets exist, and if not, which is missing."""
        return verify_parts(self, DatasetConfig)


@attrs.define(kw_only=True)
class TrainValidateDataSplitConfig(DataSplitConfig):
    """Two lists of datasets."""

    datasplit_type = implemented_by(f"{_MODULE}.train_validate:TrainValidateDataSplit")

    train_configs: list[DatasetConfig] = field("The datasets to train on.")
    validate_configs: list[DatasetConfig] = field("The datasets to validate on.", factory=list)

    @classmethod
    def example(cls) -> Self:
        """Return one dataset for both uses."""
        parts: list[DatasetConfig] = [RawGTDatasetConfig.example()]
        return cls(name="example", train_configs=parts, validate_configs=parts)


@attrs.define
class SimpleDataSplitConfig(DataSplitConfig):
    """Datasets found by their names in one folder or zarr container.

    The arrays lie in <path>, which then serves for both training and validation, in
    <path>/<group>, or in every <path>/<group>/*.
    """

    datasplit_type = implemented_by(f"{_MODULE}.simple:SimpleDataSplit")

    path: Path = field("The folder or zarr container that holds the arrays or the two groups.")
    name: str = field("How the config is called; keep it short, without special characters.")
    train_group_name: str = field("The group to train on.", default="train")
    validate_group_name: str = field("The group to validate on.", default="test")
    raw_name: str = field("Name of every image.", default="raw")
    gt_name: str = field("Name of every ground truth.", default="labels")
    mask_name: str = field("Name of the masks, where there are any.", default="mask")

    def verify(self) -> tuple[bool, str]:
        """Say whether there is such a folder."""
        return self.path.is_dir(), "" if self.path.is_dir() else f"{self.name}: there is no {self.path}"


@attrs.define(kw_only=True)
class DummyDataSplitConfig(DataSplitConfig):
    """One dataset to train on and none to validate on: for tests of the parts around datasplits."""

    datasplit_type = implemented_by(f"{_MODULE}.train_validate:DummyDataSplit")

    train_config: DatasetConfig = field(
        "The dataset to train on.", factory=lambda: DummyDatasetConfig("dummy_dataset")
    )


__all__ = [
    "DataSplitConfig",
    "DummyDataSplitConfig",
    "SimpleDataSplitConfig",
    "TrainValidateDataSplitConfig",
]
