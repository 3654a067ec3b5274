"""The task as DaCapo sees it: its parts, what counts, and a run that learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dacapo_flows import FlowsPostProcessorParameters, FlowsTaskConfig
from dacapo_flows.task import FlowsLoss, FlowsPredictor
from funlib.geometry import Roi
from worlds import array, touching

from dacapo import documents
from dacapo.config import build
from dacapo.errors import InvalidArray, InvalidConfig
from dacapo.experiments import Run
from dacapo.experiments.architectures import DummyArchitectureConfig
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import TaskConfig
from dacapo.testing import conformance, tiny_run

test_conformance = conformance(
    [FlowsTaskConfig, FlowsTaskConfig("flat", dims=2, diameter=200), FlowsPostProcessorParameters(0)]
)


def test_channels_are_the_flow_and_the_foreground() -> None:
    assert build(FlowsTaskConfig("a")).channels == ["flow_z", "flow_y", "flow_x", "foreground"]
    task = build(FlowsTaskConfig("a", dims=2))
    assert task.channels == ["flow_y", "flow_x", "foreground"]
    model = build(FlowsTaskConfig("a")).create_model(
        build(DummyArchitectureConfig("net", num_in_channels=1, num_out_channels=4))
    )
    raw = torch.randn(1, 1, 10, 10, 10)
    training, predicted = model.train()(raw), model.eval()(raw)
    torch.testing.assert_close(predicted[:, :3], training[:, :3])
    torch.testing.assert_close(predicted[:, 3:], training[:, 3:].sigmoid())


def test_flow_counts_inside_and_nothing_counts_behind_the_mask() -> None:
    labels, mask = touching((16, 20, 20), 6), touching((16, 20, 20), 9, seed=5) > 0
    predictor = FlowsPredictor(FlowsTaskConfig("a"))
    gt = array(labels)
    target = predictor.create_target(gt)
    weight, counts = predictor.create_weight(gt, target, array(mask))
    for channel in weight.data[:3]:
        np.testing.assert_array_equal(channel > 0, mask & (labels != 0))
    np.testing.assert_array_equal(weight.data[3] > 0, mask)
    inside, outside = (weight.data[3][(labels != 0) == there].sum() for there in (True, False))
    assert inside == pytest.approx(outside, rel=1e-4)
    np.testing.assert_array_equal(counts, predictor.class_counts(gt, array(mask)))


def test_ground_truth_is_looked_at_as_far_as_objects_reach() -> None:
    predictor = FlowsPredictor(FlowsTaskConfig("a", diameter=18))
    gt = array(touching((40, 40, 40), 20))
    wanted = Roi((25, 25, 25), (12, 12, 12))
    region = predictor.gt_region_for_roi(wanted, gt.voxel_size)
    seen = NumpyArray(gt.to_ndarray(region), gt.voxel_size, region.offset)
    part, whole = predictor.create_target(seen, wanted), predictor.create_target(gt)
    near = np.abs(part.data - whole[wanted])
    assert np.quantile(near, 0.9) < 0.2  # objects that are cut off even so differ a little


def test_the_loss_is_a_weighted_mean_of_both() -> None:
    torch.manual_seed(0)
    prediction, target, weight = (
        torch.randn(2, 4, 5, 6, 7),
        torch.rand(2, 4, 5, 6, 7),
        torch.rand(2, 4, 5, 6, 7),
    )
    weight[:, :, 0] = 0
    spoiled = prediction.clone()
    spoiled[:, :, 0] = math.nan
    spoiled.requires_grad_()
    value = FlowsLoss(5.0).compute(spoiled, target, weight)
    value.backward()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        prediction[:, 3], target[:, 3], weight[:, 3], reduction="sum"
    )
    squared = (weight[:, :3] * (prediction[:, :3] - target[:, :3]) ** 2).sum()
    expected = entropy / weight[:, 3].sum() + 5 * squared / weight[:, :3].sum()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert spoiled.grad is not None and not spoiled.grad[:, :, 0].any()
    nothing = FlowsLoss(5.0).compute(prediction, target, torch.zeros_like(weight))
    assert nothing == 0


def test_documents_come_back_and_say_whose_they_are() -> None:
    config = FlowsTaskConfig("flows", dims=2, flow_thresholds=[None, 0.3])
    document = documents.write(config)
    assert document["__type__"] == "flows.FlowsTaskConfig" and document["__from__"].startswith(
        "dacapo-flows=="
    )
    assert documents.read(document, TaskConfig) == config
    assert [str(one) for one in build(config).parameters][:2] == [
        "foreground_0.3_flow_any_min_size_10", "foreground_0.3_flow_0.3_min_size_10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"dims": 4}, "dims = 4: should be one of 2, 3"),
        ({"diameter": -1}, "diameter = -1.0: should be 0 or more"),
        ({"flow_weight": math.inf}, "flow_weight = inf: should be 0 or more"),
        ({"clipmin": 0}, "clipmin = 0.0: should be above 0"),
        ({"foreground_thresholds": []}, "at least one threshold, each once"),
        ({"foreground_thresholds": [1.5]}, "should lie between 0 and 1"),
        ({"flow_thresholds": [0.0]}, "should be above 0, or None"),
        ({"flow_thresholds": [None, None]}, "each once"),
        ({"min_size": -1}, "min_size = -1: should be 0 or more"),
    ],
)
def test_configs_that_make_no_sense_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        FlowsTaskConfig("flows", **values)


def test_data_that_does_not_fit_is_refused() -> None:
    task = build(FlowsTaskConfig("flows"))
    with pytest.raises(InvalidArray, match="flows are made from whole numbers"):
        task.predictor.create_target(array(np.zeros((4, 4, 4), np.float32)))
    with pytest.raises(InvalidArray, match="over 3 spatial axes"):
        task.predictor.create_target(array(np.zeros((4, 4), np.uint8)))
    with pytest.raises(InvalidArray, match="predict again as float32"):
        task.post_processor.set_prediction(array(np.zeros((4, 4, 4), np.uint8)))


def test_a_run_learns_and_is_validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dacapo.store.create_store import create_config_store, create_stats_store
    from dacapo.train import train_run

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    task = FlowsTaskConfig("flows", foreground_thresholds=[0.5], flow_thresholds=[None])
    config = tiny_run(tmp_path / "data", task=task, num_iterations=6, validation_interval=6)
    create_config_store().store_run_config(config)
    train_run(Run(config), device="cpu")
    losses = create_stats_store().retrieve_training_stats(config).columns["loss"]
    assert len(losses) == 6 and np.isfinite(losses).all()
    scores = create_stats_store().retrieve_validation_scores(config)
    assert "f1_score" in scores.criteria and scores.scores[-1].iteration == 6
