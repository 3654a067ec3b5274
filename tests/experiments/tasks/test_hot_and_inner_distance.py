"""Hot distances and inner distances: what is learned, what counts, and what comes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dacapo.config import build
from dacapo.experiments.architectures import DummyArchitectureConfig
from dacapo.experiments.arraytypes import DistanceArray, ProbabilityArray
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import HotDistanceTaskConfig, InnerDistanceTaskConfig
from dacapo.experiments.tasks.losses import CrossEntropyLoss, HotDistanceLoss, MSELoss
from dacapo.experiments.tasks.post_processors import HotDistancePostProcessor
from dacapo.experiments.tasks.predictors import (
    DistancePredictor,
    HotDistancePredictor,
    InnerDistancePredictor,
)

VOXEL, SCALE = (12, 4, 4), 10.0
NAMES = ["mito", "er"]


def blobs(seed: int = 0, shape: tuple[int, ...] = (8, 20, 22)) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    return (field > np.quantile(field, 0.7)).astype(np.uint8)


def gt(voxel_size: tuple[int, ...] = VOXEL) -> NumpyArray:
    return NumpyArray(np.stack([blobs(0), blobs(1)]), voxel_size)


def mask() -> NumpyArray:
    return NumpyArray(blobs(2), VOXEL)


def test_an_inner_distance_is_the_distance_inside_and_0_outside() -> None:
    inner = InnerDistancePredictor(NAMES, SCALE).create_target(gt())
    full = DistancePredictor(NAMES, SCALE).create_target(gt())
    np.testing.assert_array_equal(inner.data, np.where(gt().data == 1, full.data, 0))
    assert InnerDistancePredictor(NAMES, SCALE).output_array_type == DistanceArray(NAMES)


def test_outside_nothing_is_unknown_about_an_inner_distance() -> None:
    predictor = InnerDistancePredictor(NAMES, SCALE)
    weight, _ = predictor.create_weight(gt(), predictor.create_target(gt()))
    outside = gt().data == 0
    assert (weight.data[outside] > 0).all() and not (weight.data[~outside] > 0).all()


def test_a_hot_distance_is_the_labels_and_then_the_distances() -> None:
    target = HotDistancePredictor(NAMES, SCALE).create_target(gt())
    np.testing.assert_array_equal(target.data[:2], gt().data)
    np.testing.assert_array_equal(target.data[2:], DistancePredictor(NAMES, SCALE).create_target(gt()).data)
    assert target.axis_names == ["c^", "z", "y", "x"]


@pytest.mark.parametrize("masked", [False, True])
def test_masked_voxels_weigh_nothing_in_either_half(masked: bool) -> None:
    predictor = HotDistancePredictor(NAMES, SCALE, mask_distances=masked)
    target = predictor.create_target(gt())
    weight, counts = predictor.create_weight(gt(), target, mask())
    hidden = np.broadcast_to(mask().data == 0, target.data[:2].shape)
    assert not weight.data[:2][hidden].any() and not weight.data[2:][hidden].any()
    present = weight.data[:2][~hidden]
    assert (present > 0).all()
    assert (weight.data[2:][~hidden] > 0).all() == (not masked)
    plain, same = DistancePredictor(NAMES, SCALE, masked).create_weight(
        gt(), DistancePredictor(NAMES, SCALE, masked).create_target(gt()), mask()
    )
    np.testing.assert_array_equal(weight.data[2:], plain.data)
    np.testing.assert_array_equal(counts, same)


def test_a_part_of_a_target_is_cut_from_the_whole() -> None:
    for predictor in (HotDistancePredictor(NAMES, SCALE, True), InnerDistancePredictor(NAMES, SCALE)):
        whole = predictor.create_target(gt())
        roi = gt().roi.grow((-24, -16, -16), (-12, -16, -20))
        part = predictor.create_target(gt(), roi)
        np.testing.assert_allclose(part.data, whole[roi], rtol=1e-6)
        weight, _ = predictor.create_weight(gt(), part, mask(), predictor.class_counts(gt(), mask()))
        full, _ = predictor.create_weight(gt(), whole, mask())
        np.testing.assert_allclose(weight.data, full[roi], rtol=1e-6)


def test_presence_is_a_probability_only_in_eval_mode() -> None:
    config = HotDistanceTaskConfig("hot", channels=NAMES, clip_distance=50, tol_distance=10)
    backbone = DummyArchitectureConfig("net", num_in_channels=1, num_out_channels=4)
    model = build(config).create_model(build(backbone))
    raw = torch.randn(1, 1, 8, 8, 8)
    training, predicted = model.train()(raw), model.eval()(raw)
    torch.testing.assert_close(predicted[:, :2], training[:, :2].sigmoid())
    torch.testing.assert_close(predicted[:, 2:], training[:, 2:])
    names = [*NAMES, "mito__distance", "er__distance"]
    assert build(config).predictor.output_array_type == ProbabilityArray(names)


def test_the_hot_loss_is_the_sum_of_its_halves() -> None:
    torch.manual_seed(0)
    prediction, weight = torch.randn(2, 4, 5, 6), torch.rand(2, 4, 5, 6)
    target = torch.cat([(torch.rand(2, 2, 5, 6) > 0.5).float(), torch.rand(2, 2, 5, 6)], dim=1)
    weight[:, :, 0] = 0
    present = torch.stack([target[:, :2], 1 - target[:, :2]], dim=1).flatten(3)
    logits = torch.stack([prediction[:, :2], torch.zeros(2, 2, 5, 6)], dim=1).flatten(3)
    both = weight[:, :2].flatten(2)[:, None].expand(-1, 2, -1, -1)
    entropy = CrossEntropyLoss().compute(logits, present, both)
    squared = MSELoss().compute(prediction[:, 2:], target[:, 2:], weight[:, 2:])
    assert HotDistanceLoss().compute(prediction, target, weight).item() == pytest.approx(
        (entropy + squared).item(), rel=1e-5
    )


def test_surface_is_where_both_halves_agree_on_it() -> None:
    prediction = np.array([0.9, 0.9, 0.2, 0.5, 0.6, 0.1, -0.9, -0.1, 0.1, 0.0])[:, None]
    prediction = np.stack([prediction[:5, 0], prediction[5:, 0]])
    processor = HotDistancePostProcessor([0.0])
    (parameters,) = processor.enumerate_parameters()
    # ((2 p - 1) + d) / 2: 0.45, -0.05, -0.35, 0.05, 0.1
    np.testing.assert_array_equal(
        processor.segment(processor.evidence(prediction), parameters), [[1, 0, 0, 1, 1]]
    )


def test_inner_distance_configs_keep_the_fields_of_existing_scripts() -> None:
    config = InnerDistanceTaskConfig(
        "inner", channels=["a"], clip_distance=10, tol_distance=1, scale_factor=2
    )
    assert build(config).channels == ["a"]
    hot = HotDistanceTaskConfig("hot", channels=["a"], clip_distance=10, tol_distance=1, scale_factor=2,
                                mask_distances=True, kernel_size=3)  # fmt: skip
    assert build(hot).predictor.kernel_size == 3
