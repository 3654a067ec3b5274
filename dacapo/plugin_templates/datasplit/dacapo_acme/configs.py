"""What can be said about the datasplit; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.datasplits import DataSplitConfig
from dacapo.experiments.datasplits.datasets import DatasetConfig, RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import DummyArrayConfig


@attrs.define(kw_only=True)
class AcmeDataSplitConfig(DataSplitConfig):
    """Every n-th dataset to validate on, all others to train on."""

    datasplit_type = implemented_by("dacapo_acme.datasplit:AcmeDataSplit")

    dataset_configs: list[DatasetConfig] = field("All datasets, in an order that stays.")
    folds: int = field("How many parts the datasets are dealt out to.", default=2)
    fold: int = field("The part to validate on, counted from 0.", default=0)

    def check(self) -> None:
        if not 2 <= self.folds <= len(self.dataset_configs):
            self.refuse("folds", f"should be from 2 to the number of datasets, {len(self.dataset_configs)}")
        if not 0 <= self.fold < self.folds:
            self.refuse("fold", f"should be from 0 to {self.folds - 1}")

    @classmethod
    def example(cls) -> "AcmeDataSplitConfig":
        """Return a small one for checks."""
        array = DummyArrayConfig("dummy")
        datasets = [RawGTDatasetConfig(name, raw_config=array, gt_config=array) for name in "ab"]
        return cls("acme", dataset_configs=datasets)
