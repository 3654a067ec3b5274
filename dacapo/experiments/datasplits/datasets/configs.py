"""The datasets a datasplit can be made of, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs
from funlib.geometry import Coordinate

from dacapo.config import Config, field, implemented_by

from .arrays.configs import ArrayConfig, DummyArrayConfig, OnesArrayConfig, verify_parts

_MODULE = "dacapo.experiments.datasplits.datasets"


@attrs.define(kw_only=True)
class DatasetConfig(Config, kind="datasets", builds="dataset_type"):
    """Arrays that belong together: an image, and what is known about it."""

    weight: int = field("How often to train on it, compared with the other datasets.", default=1)

    def check(self) -> None:
        if self.weight < 0:
            self.refuse("weight", "should be 0 or more")

    def verify(self) -> tuple[bool, str]:
        """Say whether the files behind all arrays exist, and if not, which is missing."""
        return verify_parts(self, ArrayConfig)


@attrs.define(kw_only=True)
class RawGTDatasetConfig(DatasetConfig):
    """An image with ground truth, and a mask of where this is known."""

    dataset_type = implemented_by(f"{_MODULE}.raw_gt:RawGTDataset")

    raw_config: ArrayConfig | None = field("The image.", default=None)
    gt_config: ArrayConfig | None = field(
        "The ground truth; may be left out where nothing is trained or scored.", default=None
    )
    mask_config: ArrayConfig | None = field(
        "Where the ground truth counts: above 0 it does, at 0 it is ignored. None means everywhere.",
        default=None,
    )
    sample_points: list[Coordinate] | None = field(
        "Places, in world units, to take training patches around. None means anywhere.", default=None
    )

    @classmethod
    def example(cls) -> Self:
        """Return an image in which all is foreground."""
        return cls(name="example", raw_config=DummyArrayConfig("raw"), gt_config=OnesArrayConfig.example())


@attrs.define
class SimpleDatasetConfig(DatasetConfig):
    """An image, ground truth and perhaps a mask that lie side by side in a zarr group.

    8 and 16 bit images are brought to the range 0 to 1.
    """

    dataset_type = implemented_by(f"{_MODULE}.simple:SimpleDataset")

    path: Path = field("The folder or zarr group that holds the arrays.")
    weight: int = field("How often to train on it, compared with the other datasets.", default=1)
    raw_name: str = field("Name of the image.", default="raw")
    gt_name: str = field("Name of the ground truth.", default="labels")
    mask_name: str = field("Name of the mask, if there is one; ground truth counts above 0.", default="mask")

    def verify(self) -> tuple[bool, str]:
        """Say whether image and ground truth exist."""
        for name in (self.raw_name, self.gt_name):
            if not (self.path / name).is_dir():
                return False, f"{self.name}: there is no array at {self.path / name}"
        return True, ""


@attrs.define(kw_only=True)
class DummyDatasetConfig(DatasetConfig):
    """An image without ground truth: for tests of the parts around datasets."""

    dataset_type = implemented_by(f"{_MODULE}.raw_gt:DummyDataset")

    raw_config: ArrayConfig = field("The image.", factory=lambda: DummyArrayConfig(name="dummy_array"))


# Existing scripts and documents call the config by the name of what it describes.
SimpleDataset = SimpleDatasetConfig

__all__ = [
    "DatasetConfig",
    "DummyDatasetConfig",
    "RawGTDatasetConfig",
    "SimpleDataset",
    "SimpleDatasetConfig",
]
