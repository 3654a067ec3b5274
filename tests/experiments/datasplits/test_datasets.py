"""Tests of datasets: what they open, and that the arrays of one have to fit."""

from __future__ import annotations

import numpy as np
import pytest

from dacapo.config import build
from dacapo.errors import InvalidArray, InvalidConfig, MissingData
from dacapo.experiments.datasplits.datasets import (
    Dataset,
    DummyDatasetConfig,
    RawGTDatasetConfig,
    SimpleDataset,
    SimpleDatasetConfig,
)
from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr


@pytest.fixture
def raw(memory):
    return memory(np.zeros((8, 8, 8), "f4"), (4, 4, 4), name="raw")


def dataset(raw, gt=None, mask=None, **fields):
    return build(RawGTDatasetConfig("a/b", raw_config=raw, gt_config=gt, mask_config=mask, **fields))


def test_arrays_are_opened_when_asked_for(raw, memory):
    gone = ZarrArrayConfig("gone", file_name="gone.zarr", dataset="x")
    made = dataset(raw, gone, gone, weight=3, sample_points=[(1, 2, 3)])
    assert (made.name, made.weight, made.sample_points) == ("a/b", 3, [(1, 2, 3)])
    assert made.raw is made.raw and made.raw.name == "raw"
    with pytest.raises(MissingData, match="no container"):
        assert made.gt
    assert (
        RawGTDatasetConfig("d", raw_config=raw, gt_config=gone)
        .verify()[1]
        .startswith("gone: there is no zarr")
    )
    assert RawGTDatasetConfig("d", raw_config=raw).verify() == (True, "")


def test_a_missing_mask_takes_no_memory(raw, memory):
    made = dataset(raw, memory(np.zeros((1000, 8, 8), "u1"), (4, 4, 4)))
    assert made.mask is None and made.gt.shape == (1000, 8, 8)
    assert dataset(raw).gt is None


def test_datasets_are_the_same_if_their_names_are(raw, memory):
    one, other = dataset(raw), dataset(memory(np.ones((2, 2, 2))))
    assert one == other and len({one, other}) == 1 and one != "a/b"
    assert str(one) == "ds_a_b" and repr(one) == "RawGTDataset('a/b')"
    assert isinstance(one, Dataset)


def test_ground_truth_may_have_channels_other_voxels_and_cover_a_part(raw, memory):
    gt = memory(np.zeros((2, 8, 8, 8)), (2, 8, 4), (16, 0, 0))
    mask = memory(np.zeros((4, 4, 4)), (2, 8, 4), (18, 8, 0))
    made = dataset(raw, gt, mask)
    assert made.gt.num_channels == 2 and made.mask.offset == (18, 8, 0)


@pytest.mark.parametrize(
    ("shape", "voxel_size", "offset", "says"),
    [
        ((8, 8), (4, 4), None, "have 2 and 3 spatial axes"),
        ((8, 8, 8), (6, 4, 4), None, r"have voxels of \(6, 4, 4\) and \(4, 4, 4\)"),
        ((8, 8, 8), (4, 8, 4), (0, 2, 0), r"begin at \(0, 2, 0\) and \(0, 0, 0\).*snap_to_grid"),
        ((8, 8, 8), (4, 4, 4), (64, 0, 0), "have no region in common"),
    ],
)
def test_ground_truth_that_does_not_fit_the_image_is_refused(raw, memory, shape, voxel_size, offset, says):
    made = dataset(raw, memory(np.zeros(shape), voxel_size, offset, name="gt"))
    with pytest.raises(
        InvalidArray, match=rf"dataset 'a/b': the ground truth \(gt\) and the image \(raw\) {says}"
    ):
        assert made.gt


def test_units_that_certainly_differ_are_refused(tmp_path):
    for name, unit in (("raw", "nm"), ("same", "nanometer"), ("odd", "pixel"), ("gt", "angstrom")):
        create_zarr(tmp_path / "a.zarr", name, (4, 4), "u1", (4, 4), units=[unit] * 2)

    def with_gt(name):
        raw, gt = (ZarrArrayConfig(n, file_name=tmp_path / "a.zarr", dataset=n) for n in ("raw", name))
        return dataset(raw, gt).gt

    assert with_gt("same") and with_gt("odd")
    with pytest.raises(InvalidArray, match="measured in .*angstrom.* and .*nm"):
        with_gt("gt")


@pytest.mark.parametrize(
    ("shape", "voxel_size", "offset", "says"),
    [
        ((8, 8, 8), (8, 4, 4), None, "should be the same voxels"),
        ((8, 8, 8), (4, 4, 4), (2, 0, 0), "not whole voxels apart"),
        ((3, 8, 8, 8), (4, 4, 4), None, "has 3 channels"),
    ],
)
def test_masks_have_the_voxels_of_the_ground_truth(raw, memory, shape, voxel_size, offset, says):
    made = dataset(
        raw, memory(np.zeros((2, 8, 8, 8)), (4, 4, 4)), memory(np.zeros(shape), voxel_size, offset)
    )
    with pytest.raises(InvalidArray, match=says):
        assert made.mask


def test_what_is_missing_or_wrong_is_said(raw):
    with pytest.raises(MissingData, match="'a/b' has no image; give its config a raw_config"):
        assert dataset(None).raw
    with pytest.raises(InvalidArray, match=r"the sample point \(1, 2\) should have 3 values"):
        assert dataset(raw, sample_points=[(1, 2)]).raw
    with pytest.raises(InvalidConfig, match="should be 0 or more"):
        RawGTDatasetConfig("d", weight=-1)


def test_dummy_has_an_image_and_no_ground_truth():
    made = build(DummyDatasetConfig("dummy_dataset"))
    assert made.raw.name == "dummy_array" and made.gt is None and made.mask is None
    assert DummyDatasetConfig("d").verify() == (True, "")


@pytest.mark.parametrize(
    ("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 1)]
)
def test_simple_datasets_bring_images_to_0_and_1(tmp_path, rng, dtype, white):
    data = (rng.random((6, 6)) * white).astype(dtype)
    create_zarr(tmp_path / "a.zarr", "em", (6, 6), dtype, (4, 4))[...] = data
    create_zarr(tmp_path / "a.zarr", "mito", (6, 6), "u1", (4, 4))
    config = SimpleDatasetConfig("s", tmp_path / "a.zarr", raw_name="em", gt_name="mito")
    made = build(config)
    np.testing.assert_allclose(made.raw.data, data / white, rtol=1e-6)
    assert made.raw.dtype == np.float32 and made.gt.shape == (6, 6) and made.mask is None
    assert config.verify() == (True, "")
    assert config.replace(gt_name="er").verify() == (False, f"s: there is no array at {tmp_path}/a.zarr/er")


def test_simple_datasets_take_a_mask_of_whole_numbers(tmp_path):
    for name, dtype in (("raw", "int32"), ("labels", "u8"), ("mask", "u1"), ("soft", "f4")):
        create_zarr(tmp_path / "a.zarr", name, (6, 6), dtype, (4, 4))
    made = build(SimpleDatasetConfig("s", tmp_path / "a.zarr"))
    with pytest.raises(InvalidArray, match="image .* has dtype int32"):
        assert made.raw
    create_zarr(tmp_path / "a.zarr", "raw", (6, 6), "u1", (4, 4), overwrite=True)
    made = build(SimpleDatasetConfig("s", tmp_path / "a.zarr"))
    assert made.mask.dtype == np.uint8
    with pytest.raises(InvalidArray, match="mask .* has dtype float32"):
        assert build(SimpleDatasetConfig("s", tmp_path / "a.zarr", mask_name="soft")).mask


def test_the_config_is_also_called_by_the_name_of_what_it_describes():
    assert SimpleDataset is SimpleDatasetConfig
