"""Affinities and shape descriptors: what is learned, what counts, and that objects come apart again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from dacapo import documents
from dacapo.config import build
from dacapo.errors import InvalidArray, InvalidConfig
from dacapo.experiments.architectures import DummyArchitectureConfig
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import AffinitiesTaskConfig, TaskConfig
from dacapo.experiments.tasks.losses import AffinitiesLoss, MSELoss
from dacapo.experiments.tasks.post_processors import WatershedPostProcessor
from dacapo.experiments.tasks.predictors import AffinitiesPredictor
from dacapo.experiments.tasks.predictors.shape_descriptors import names, shape_descriptors

# Made with  get_local_shape_descriptors(labels, sigma, voxel_size, downsample=...)  of lsds 0.1.3,
# which cannot be installed beside zarr 3.
LSDS = np.load(Path(__file__).parent / "data" / "lsds_0_1_3.npz")
OFFSETS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-2, 0, 0), (0, -3, 2), (0, 0, -9)]
NEAR = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
FAR = [(3, 0, 0), (0, 5, 0), (0, 0, 5), (0, 5, 5)]


def objects(shape: tuple[int, ...] = (12, 24, 26), seed: int = 0, count: int = 9) -> np.ndarray:
    """Return touching objects around random points, with some background between them."""
    rng = np.random.default_rng(seed)
    points = rng.random((count, len(shape))) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance = np.sort(np.linalg.norm(grid[..., None, :] - points, axis=-1), axis=-1)
    ids = np.linalg.norm(grid[..., None, :] - points, axis=-1).argmin(axis=-1) + 1
    return np.where(distance[..., 0] < 9, ids * 1000, 0).astype(np.uint64)


def array(data: np.ndarray, voxel_size: tuple[int, ...] = (4, 2, 2)) -> NumpyArray:
    return NumpyArray(data, voxel_size[-data.ndim :], (8,) * data.ndim)


def by_hand(labels: np.ndarray, offset: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the affinities along an offset, voxel by voxel, and which neighbours there are."""
    affinity, there = np.zeros(labels.shape), np.zeros(labels.shape, bool)
    for at in np.ndindex(*labels.shape):
        neighbour = tuple(a + o for a, o in zip(at, offset, strict=True))
        if all(0 <= n < size for n, size in zip(neighbour, labels.shape, strict=True)):
            there[at] = True
            affinity[at] = labels[at] == labels[neighbour] != 0
    return affinity, there


@pytest.mark.parametrize("kind", [np.uint64, np.int32, np.uint8])
def test_an_affinity_says_whether_a_neighbour_has_the_same_id(kind: type) -> None:
    labels = (objects((5, 11, 12)) % 251).astype(kind)
    gt = array(labels)
    predictor = AffinitiesPredictor(OFFSETS, lsds=False)
    target = predictor.create_target(gt)
    weight, counts = predictor.create_weight(gt, target)
    assert target.dtype == weight.dtype == np.float32
    for i, offset in enumerate(OFFSETS):
        affinity, there = by_hand(labels, offset)
        np.testing.assert_array_equal(target.data[i], affinity)
        np.testing.assert_array_equal(weight.data[i] > 0, there)
        assert counts[i].tolist() == [np.sum(there & (affinity == 0)), np.sum(affinity)]


def test_a_part_sees_its_neighbours_beyond_it() -> None:
    predictor, gt = AffinitiesPredictor(OFFSETS, lsds=True, num_voxels=2), array(objects())
    wanted = Roi((16, 18, 32), (16, 20, 12))
    region = predictor.gt_region_for_roi(wanted, gt.voxel_size)
    seen = NumpyArray(gt.to_ndarray(region), gt.voxel_size, region.offset)
    whole, part = predictor.create_target(gt), predictor.create_target(seen, wanted)
    np.testing.assert_allclose(part.data, whole[wanted], atol=1e-6)
    counts = predictor.class_counts(gt)
    weights = [predictor.create_weight(a, t, None, counts)[0] for a, t in ((gt, whole), (seen, part))]
    np.testing.assert_array_equal(weights[1].data, weights[0][wanted])


def test_ground_truth_reaches_as_far_as_the_offsets_each_to_its_side() -> None:
    predictor = AffinitiesPredictor(OFFSETS, lsds=False)
    roi = Roi((100, 100, 100), (40, 40, 40))
    grown = predictor.gt_region_for_roi(roi, Coordinate(4, 2, 2))
    assert grown == Roi((92, 94, 82), (40 + 8 + 4, 40 + 6 + 2, 40 + 18 + 4))
    seeing = AffinitiesPredictor(NEAR, lsds=True, num_voxels=5).gt_region_for_roi(roi, Coordinate(4, 2, 2))
    assert seeing == roi.grow(Coordinate(60, 60, 60), Coordinate(60, 60, 60))


def test_background_may_be_an_object() -> None:
    labels = np.array([[0, 0, 5, 5]], np.uint8)
    gt = NumpyArray(labels, (1, 1))
    plain = AffinitiesPredictor([(0, 1)], lsds=False).create_target(gt)
    object_too = AffinitiesPredictor([(0, 1)], lsds=False, background_as_object=True).create_target(gt)
    assert plain.data.tolist() == [[[0, 0, 1, 0]]] and object_too.data.tolist() == [[[1, 0, 1, 0]]]


def test_an_affinity_counts_only_where_both_ends_are_known() -> None:
    labels, mask = objects(), objects(seed=3) > 0
    predictor = AffinitiesPredictor(OFFSETS, lsds=True, num_voxels=2)
    gt = array(labels)
    target = predictor.create_target(gt)
    weight, counts = predictor.create_weight(gt, target, array(mask))
    for i, offset in enumerate(OFFSETS):
        affinity, there = by_hand(mask.astype(int), offset)
        np.testing.assert_array_equal(weight.data[i] > 0, (affinity > 0) & there)
    for descriptor in weight.data[len(OFFSETS) :]:
        np.testing.assert_array_equal(descriptor > 0, mask & (labels != 0))
    assert counts.shape == (len(OFFSETS) + 1, 2)
    np.testing.assert_array_equal(counts, predictor.class_counts(gt, array(mask)))
    balanced = [weight.data[0][(target.data[0] == value) & (weight.data[0] > 0)].sum() for value in (0, 1)]
    assert balanced[0] == pytest.approx(balanced[1], rel=1e-4)


def test_what_are_no_ids_is_refused() -> None:
    with pytest.raises(InvalidArray, match="of type float32, but affinities compare the ids of objects"):
        AffinitiesPredictor(NEAR).create_target(array(objects().astype(np.float32)))


@pytest.mark.parametrize(
    ("name", "voxel_size", "sigma", "downsample"),
    [("space", (4, 2, 2), 8.0, 1), ("plane", (2, 2), 6.0, 1), ("coarse", (4, 2, 2), 8.0, 2)],
)
def test_descriptors_are_those_of_lsds(
    name: str, voxel_size: tuple[int, ...], sigma: float, downsample: int
) -> None:
    labels, theirs = LSDS[f"{name}_labels"], LSDS[name]
    ours = shape_descriptors(labels, (sigma,) * labels.ndim, voxel_size, downsample=downsample)
    assert ours.shape == theirs.shape == (len(names(labels.ndim)), *labels.shape)
    difference = np.abs(ours - theirs)
    # Of objects that are one voxel thin the correlation is a matter of rounding.
    dims = labels.ndim
    thin = (ours[dims : 2 * dims] * sigma**2 < 0.01).any(axis=0) & (labels != 0)
    difference[2 * dims : -1, thin] = 0
    assert difference.max() < 1e-3
    assert thin.sum() < 0.05 * (labels != 0).sum() and not ours[:, labels == 0].any()


def test_a_descriptor_by_hand() -> None:
    labels = np.zeros((1, 21), np.uint8)
    labels[0, 10:12] = 7
    found = dict(zip(names(2), shape_descriptors(labels, (2.0, 2.0), (1, 1)), strict=True))
    at = np.arange(-6, 7)
    gauss = np.exp(-(at**2) / 8) / np.exp(-(at**2) / 8).sum()
    here, beside = gauss[6] ** 2, gauss[6] * gauss[7]
    mean = beside / (here + beside)
    assert found["lsd_size"][0, 10] == pytest.approx(here + beside, rel=1e-5)
    assert found["lsd_offset_x"][0, 10] == pytest.approx(mean / 2 / 2 + 0.5, rel=1e-5)
    assert found["lsd_offset_x"][0, 11] == pytest.approx(0.5 - mean / 2 / 2, rel=1e-5)
    assert found["lsd_offset_y"][0, 10] == 0.5
    assert found["lsd_variance_x"][0, 10] == pytest.approx((mean - mean**2) / 4, rel=1e-4)


def test_the_loss_is_that_of_affinities_plus_a_share_of_that_of_descriptors() -> None:
    torch.manual_seed(0)
    prediction, target, weight = torch.randn(2, 5, 6, 7), torch.rand(2, 5, 6, 7), torch.rand(2, 5, 6, 7)
    target[:, :3] = (target[:, :3] > 0.5).float()
    weight[:, :, 0] = 0
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        prediction[:, :3], target[:, :3], weight[:, :3], reduction="sum"
    ) / weight[:, :3].sum()  # fmt: skip
    squared = MSELoss().compute(prediction[:, 3:].sigmoid(), target[:, 3:], weight[:, 3:])
    found = AffinitiesLoss(3, 0.5).compute(prediction, target, weight)
    assert found.item() == pytest.approx((entropy + squared / 2).item(), rel=1e-5)
    alone = AffinitiesLoss(3).compute(prediction[:, :3], target[:, :3], weight[:, :3])
    assert alone.item() == pytest.approx(entropy.item(), rel=1e-5)


def test_nothing_masked_gets_into_the_loss() -> None:
    torch.manual_seed(1)
    prediction, target, weight = torch.randn(1, 5, 6, 7), torch.rand(1, 5, 6, 7), torch.ones(1, 5, 6, 7)
    weight[..., :3] = 0
    spoiled = prediction.clone()
    spoiled[..., :3] = torch.nan
    spoiled.requires_grad_()
    loss = AffinitiesLoss(2)
    value = loss.compute(spoiled, target, weight)
    value.backward()
    assert spoiled.grad is not None and not spoiled.grad[..., :3].any()
    assert value.item() == pytest.approx(loss.compute(prediction, target, weight).item())


def config(**changes: object) -> AffinitiesTaskConfig:
    values = {"neighborhood": [*NEAR, *FAR], "lsds": True, "num_lsd_voxels": 3, **changes}
    return AffinitiesTaskConfig("affinities", **values)


@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_perfectly_predicted_comes_apart_perfectly(dims: int) -> None:
    offsets = [offset[-dims:] for offset in (*NEAR, *FAR) if any(offset[-dims:])]
    labels = objects((14, 30, 32)[-dims:], seed=2)
    task, gt = build(config(neighborhood=offsets)), array(labels)
    target = task.predictor.create_target(gt)
    task.post_processor.set_prediction(target)
    for parameters in task.parameters:
        made = task.post_processor.process(parameters)
        assert made.dtype == np.uint64 and made.num_channels is None
        scores = task.evaluator.evaluate(made, gt)
        assert scores.voi == pytest.approx(0, abs=1e-9) and scores.f1_score == 1, str(parameters)


def test_strong_affinities_are_believed_first() -> None:
    labels = objects(seed=4)
    task, gt = build(config(lsds=False)), array(labels)
    truth = task.predictor.create_target(gt)
    noise = np.random.default_rng(0).normal(0, 0.25, truth.shape).astype(np.float32)
    noisy = NumpyArray(np.clip(truth.data + noise, 0, 1), truth.voxel_size, truth.offset, truth.axis_names)
    task.post_processor.set_prediction(noisy)
    made = task.post_processor.process(task.parameters[2])
    assert task.evaluator.evaluate(made, gt).voi < 0.2


def test_small_objects_are_left_out() -> None:
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[0, :2, :2], labels[0, 4:, 4:] = 1, 2
    gt = NumpyArray(labels, (1, 1, 1))
    for size, expected in ((0, {4, 16}), (5, {16}), (17, set())):
        processor = WatershedPostProcessor(NEAR, [0.5], size)
        processor.set_prediction(AffinitiesPredictor(NEAR, lsds=False).create_target(gt))
        (parameters,) = processor.enumerate_parameters()
        ids, counts = np.unique(processor.process(parameters).data, return_counts=True)
        assert set(counts[ids > 0].tolist()) == expected


def test_the_channels_of_a_model_are_affinities_and_descriptors() -> None:
    task = build(config())
    assert task.channels[:2] == ["aff_1.0.0", "aff_0.1.0"] and task.channels[-1] == "lsd_size"
    assert len(task.channels) == 7 + 10
    model = task.create_model(build(DummyArchitectureConfig("net", num_in_channels=1, num_out_channels=4)))
    raw = torch.randn(1, 1, 12, 12, 12)
    logits, predicted = model.train()(raw), model.eval()(raw)
    assert logits.shape[1] == 17
    torch.testing.assert_close(predicted, logits.sigmoid())
    assert len(build(config(lsds=False)).channels) == 7


def test_configs_keep_the_fields_of_existing_documents() -> None:
    document = {
        "__type__": "AffinitiesTaskConfig", "name": "affs", "neighborhood": [[1, 0, 0], [0, 1, 0]],
        "lsds": True, "num_lsd_voxels": 10, "downsample_lsds": 1, "lsds_to_affs_weight_ratio": 0.5,
        "affs_weight_clipmin": 0.05, "affs_weight_clipmax": 0.95, "lsd_weight_clipmin": 0.05,
        "lsd_weight_clipmax": 0.95, "background_as_object": False,
    }  # fmt: skip
    task = documents.read(document, TaskConfig)
    assert task.neighborhood == [(1, 0, 0), (0, 1, 0)] and task.lsds_to_affs_weight_ratio == 0.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"neighborhood": []}, "at least one offset of 2 or 3 numbers"),
        ({"neighborhood": [(1, 0), (1, 0, 0)]}, "at least one offset"),
        ({"neighborhood": [(1, 0), (1, 0)]}, "each once"),
        ({"neighborhood": [(0, 0)]}, "leave out the offset 0"),
        ({"num_lsd_voxels": 0}, "num_lsd_voxels = 0: should be 1 or more"),
        ({"downsample_lsds": 0}, "downsample_lsds = 0: should be 1 or more"),
        ({"lsds_to_affs_weight_ratio": -1}, "should be 0 or more"),
        ({"lsd_weight_clipmin": 0.97}, "lsd_weight_clipmin = 0.97: should be above 0 and at most lsd_weight"),
        ({"biases": []}, "at least one bias"),
        ({"biases": [1.5]}, "should lie between 0 and 1"),
        ({"min_size": -1}, "min_size = -1: should be 0 or more"),
    ],
)
def test_configs_that_make_no_sense_are_refused(changes: dict, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        config(**changes)


def test_offsets_have_a_number_for_each_axis():
    predictor = AffinitiesPredictor([Coordinate(0, 1)])
    volume = NumpyArray(np.ones((4, 4, 4), np.uint8), (8, 8, 8), name="volume")
    with pytest.raises(InvalidArray, match="volume has 3 spatial axes, and the offsets .* have 2 numbers"):
        predictor.create_target(volume)
    with pytest.raises(InvalidArray, match="the ground truth has 3 spatial axes"):
        predictor.gt_region_for_roi(volume.roi, volume.voxel_size)
