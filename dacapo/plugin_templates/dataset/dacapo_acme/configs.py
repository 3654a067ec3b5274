"""What can be said about the dataset; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.datasplits.datasets import DatasetConfig


@attrs.define(kw_only=True)
class AcmeDatasetConfig(DatasetConfig):
    """A made-up image of bright balls, and where they are."""

    dataset_type = implemented_by("dacapo_acme.dataset:AcmeDataset")

    size: int = field("How many voxels it is long along each of its three axes.", default=48)
    balls: int = field("How many balls there are.", default=20)
    noise: float = field("The standard deviation of the noise; balls have a brightness of 1.", default=0.1)
    seed: int = field("Another number gives other balls.", default=0)

    def check(self) -> None:
        super().check()
        for name in ("size", "balls"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be at least 1")
        for name in ("noise", "seed"):
            if getattr(self, name) < 0:
                self.refuse(name, "should be 0 or more")
