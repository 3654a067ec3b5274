"""Tests of datasplits, listed or found on disk."""

from __future__ import annotations

import numpy as np
import pytest

from dacapo.config import build
from dacapo.errors import InvalidConfig, MissingData
from dacapo.experiments.datasplits import (
    DataSplit,
    DummyDataSplitConfig,
    SimpleDataSplitConfig,
    TrainValidateDataSplitConfig,
)
from dacapo.experiments.datasplits.datasets import DummyDatasetConfig, RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr


def crop(path, value=0, raw="raw", gt="labels", mask=None):
    """Write an image and its ground truth; ``value`` tells them from those of other crops."""
    for name in filter(None, (raw, gt, mask)):
        create_zarr(path, name, (4, 4), "u1", (4, 4))[...] = np.full((4, 4), value)


def names(datasets):
    return [dataset.name for dataset in datasets]


def test_lists_of_datasets_become_datasets():
    config = TrainValidateDataSplitConfig(
        "split", train_configs=[DummyDatasetConfig("a"), DummyDatasetConfig("b")], validate_configs=[]
    )
    split = build(config)
    assert isinstance(split, DataSplit)
    assert (names(split.train), names(split.validate)) == (["a", "b"], [])
    assert "train=[DummyDataset('a')" in repr(split)


def test_nothing_is_opened_before_it_is_asked_for():
    gone = ZarrArrayConfig("gone", file_name="gone.zarr", dataset="x")
    config = TrainValidateDataSplitConfig("split", train_configs=[RawGTDatasetConfig("a", raw_config=gone)])
    assert names(build(config).train) == ["a"]
    assert config.verify() == (False, "gone: there is no zarr or N5 dataset at gone.zarr/x")


def test_two_datasets_of_one_name_in_a_list_are_refused():
    for name in ("a/b", "a_b"):
        twice = [DummyDatasetConfig("a/b"), DummyDatasetConfig(name)]
        with pytest.raises(InvalidConfig, match="datasets to validate on .* called a/b"):
            build(TrainValidateDataSplitConfig("split", train_configs=[], validate_configs=twice))
    build(TrainValidateDataSplitConfig("split", train_configs=twice[:1], validate_configs=twice[:1]))


def test_dummy_trains_on_one_dataset():
    split = build(DummyDataSplitConfig("dummy"))
    assert names(split.train) == ["dummy_dataset"] and split.validate == []


def test_a_flat_folder_serves_for_both(tmp_path):
    crop(tmp_path / "flat.zarr", mask="mask")
    split = build(SimpleDataSplitConfig(tmp_path / "flat.zarr", "split"))
    assert names(split.train) == names(split.validate) == ["flat"]
    assert split.train[0].mask is not None


def test_groups_are_found_under_their_names(tmp_path):
    crop(tmp_path / "a.zarr/train", 51)
    crop(tmp_path / "a.zarr/val", 102)
    split = build(SimpleDataSplitConfig(name="split", path=tmp_path / "a.zarr", validate_group_name="val"))
    assert (names(split.train), names(split.validate)) == (["train"], ["val"])
    assert split.train[0].raw[0, 0] == pytest.approx(0.2) and split.validate[0].gt[0, 0] == 102


def test_crops_of_one_name_in_both_groups_stay_apart(tmp_path):
    for place in ("train/crop1", "train/crop2", "test/crop1"):
        crop(tmp_path / "a.zarr" / place)
    split = build(SimpleDataSplitConfig(tmp_path / "a.zarr", "split"))
    assert names(split.train) == ["train/crop1", "train/crop2"]
    assert names(split.validate) == ["test/crop1"]


def test_the_names_of_arrays_are_passed_on(tmp_path):
    crop(tmp_path / "a.zarr", 51, "em", "mito", "known")
    config = SimpleDataSplitConfig(
        tmp_path / "a.zarr", "split", raw_name="em", gt_name="mito", mask_name="known"
    )
    dataset = build(config).train[0]
    assert dataset.raw[0, 0] == pytest.approx(0.2)
    assert dataset.gt.name.endswith("a.zarr/mito") and dataset.mask.name.endswith("a.zarr/known")


def test_what_is_not_found_or_at_several_depths_is_refused(tmp_path):
    config = SimpleDataSplitConfig(tmp_path / "a.zarr", "split")
    assert config.verify() == (False, f"split: there is no {tmp_path}/a.zarr")
    with pytest.raises(
        MissingData, match=r"no image at .*a.zarr/raw, nor at .*train/raw, nor at .*train/\*/raw"
    ):
        build(config)
    crop(tmp_path / "a.zarr/train")
    with pytest.raises(MissingData, match="nor at .*test/raw"):
        build(config)
    crop(tmp_path / "a.zarr/train/crop1")
    with pytest.raises(InvalidConfig, match="at several depths, in .*train and in .*crop1"):
        build(config)
    assert config.verify() == (True, "")
