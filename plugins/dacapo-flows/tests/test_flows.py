"""Flows towards centres: where they lead, and that they part what touches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dacapo_flows import FlowsTaskConfig
from dacapo_flows.diffusion import flow_of, flows
from dacapo_flows.following import keep, part
from scipy.ndimage import label as connected
from worlds import array, touching

from dacapo.config import build

BENT = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
    ],
    bool,
)


def test_in_a_ball_the_flow_is_the_way_to_its_centre() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3, indexing="ij")).astype(float)
    away = np.linalg.norm(grid, axis=0)
    flow = flow_of(away <= 7.5, (1, 1, 1))
    there = (away <= 6.5) & (away > 1.5)
    straight = -grid / np.maximum(away, 1)
    assert (flow * straight).sum(axis=0)[there].min() > 0.9
    np.testing.assert_allclose(np.linalg.norm(flow, axis=0)[there], 1, atol=1e-5)
    assert not flow[:, away > 7.5].any()


def test_flow_is_in_world_units() -> None:
    z, y, x = np.meshgrid(np.arange(-4, 5), np.arange(-16, 17), np.arange(-16, 17), indexing="ij")
    world = np.stack([z * 4, y, x]).astype(float)
    away = np.linalg.norm(world, axis=0)
    flow = flow_of(away <= 15, (4, 1, 1))
    there = (away <= 12) & (away > 6)
    assert np.median((flow * -world / np.maximum(away, 1)).sum(axis=0)[there]) > 0.9


def test_flow_does_not_leave_an_object_however_it_is_bent() -> None:
    flow = flow_of(BENT, (1, 1))
    assert flow[0, 3, 0] < -0.9 and flow[0, 3, 6] < -0.9  # up first, from the ends of both legs
    assert flow[1, 0, 1] > 0.9 and flow[1, 0, 5] < -0.9  # and then along, to the middle
    assert not flow[:, ~BENT].any()


def test_objects_of_one_voxel_and_none_have_a_flow_of_0() -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    assert not flows(labels, (1, 1, 1)).any()
    labels[2, 3, 4] = 9
    assert not flows(labels, (1, 1, 1)).any()


def test_a_part_of_a_flow_is_cut_from_the_whole() -> None:
    labels = touching((20, 24, 26), 8)
    inside = (slice(4, 15), slice(0, 20), slice(10, 26))
    np.testing.assert_array_equal(flows(labels, (2, 1, 1), inside), flows(labels, (2, 1, 1))[:, *inside])


def test_what_flows_to_one_place_is_one_object() -> None:
    ids = part(flow_of(BENT, (1, 1)), BENT, (1, 1))
    assert set(np.unique(ids[BENT])) == {1} and not ids[~BENT].any()


@pytest.mark.parametrize(
    ("shape", "count", "voxel_size"),
    [((40, 40, 40), 30, (1, 1, 1)), ((96, 96), 40, (2, 2)), ((20, 48, 48), 25, (2, 1, 1))],
)
def test_from_true_flows_every_object_comes_back(shape: Any, count: int, voxel_size: Any) -> None:
    labels = touching(shape, count)
    task = build(FlowsTaskConfig("flows", dims=len(shape)))
    gt = array(labels, voxel_size)
    # So they touch that nothing but the flow parts them.
    assert connected(labels)[1] < 0.6 * (len(np.unique(labels)) - 1)
    task.post_processor.set_prediction(task.predictor.create_target(gt))
    for parameters in task.parameters:
        scores = task.evaluator.evaluate(task.post_processor.process(parameters), gt)
        assert scores.f1_score > 0.95 and scores.average_precision > 0.85, str(parameters)


def test_ways_may_be_longer_than_any_number_of_steps() -> None:
    labels = np.zeros((900, 12), np.uint32)
    labels[5:895, 1:6], labels[5:895, 6:11] = 1, 2
    ids = part(flows(labels, (1, 1)), labels > 0, (1, 1))
    assert [list(np.unique(ids[labels == label])) for label in (1, 2)] in ([[1], [2]], [[2], [1]])


def test_flow_that_goes_round_in_circles_comes_to_an_end() -> None:
    y, x = np.mgrid[-60:61, -60:61].astype(np.float32)
    away = np.hypot(y, x)
    turning = np.stack([x, -y]) / np.maximum(away, 1)
    part(turning, (away > 20) & (away < 40), (1, 1))  # returns


def test_objects_of_fewer_voxels_than_make_a_sink_are_found() -> None:
    labels = np.zeros((20, 20, 20), np.uint32)
    labels[2:4, 2:4, 2:5] = 1  # 12 voxels
    labels[np.arange(6, 18), np.arange(6, 18), np.arange(6, 18)] = 2  # a line from corner to corner
    labels[2, 2, 15] = 3
    flow = flows(labels, (1, 1, 1))
    ids = part(flow, labels > 0, (1, 1, 1))
    assert len(np.unique(ids)) == 4
    for label in (1, 2, 3):
        (only,) = np.unique(ids[labels == label])
        np.testing.assert_array_equal(ids == only, labels == label)
    assert set(np.unique(labels[keep(ids, None, None, 10) > 0])) == {1, 2}


def test_objects_whose_flow_is_another_are_left_out() -> None:
    labels = touching((40, 40, 40), 20, seed=2)
    task = build(FlowsTaskConfig("flows", foreground_thresholds=[0.5], flow_thresholds=[None, 0.4]))
    gt = array(labels)
    prediction = task.predictor.create_target(gt)
    false = labels == 3
    noise = np.random.default_rng(0).normal(size=(3, int(false.sum())))
    prediction.data[:3, false] = noise / np.linalg.norm(noise, axis=0)
    task.post_processor.set_prediction(prediction)
    every, some = (task.post_processor.process(one).data for one in task.parameters)
    assert (every[false] > 0).any() and (some[false] > 0).mean() < (every[false] > 0).mean()
    assert len(np.unique(some)) - 1 >= len(np.unique(labels)) - 3


@pytest.mark.parametrize("sweep", [{}, {"min_size": [5, 10]}])
def test_voxels_are_followed_once_for_all_flow_thresholds(
    monkeypatch: pytest.MonkeyPatch, sweep: dict[str, Any]
) -> None:
    followed = []

    def counted(flow: Any, foreground: Any, voxel_size: Any) -> Any:
        if foreground.size > 1:
            followed.append(int(foreground.sum()))
        return part(flow, foreground, voxel_size)

    monkeypatch.setattr("dacapo_flows.task.part", counted)
    task = build(
        FlowsTaskConfig(
            "flows", foreground_thresholds=[0.3, 0.7], flow_thresholds=[None, 0.4, 1.0], sweep=sweep
        )
    )
    labels = touching((24, 24, 24), 8)
    prediction = task.predictor.create_target(array(labels))
    prediction.data[3, labels == 3] = 0.5
    task.post_processor.set_prediction(prediction)
    for parameters in task.parameters:
        task.post_processor.process(parameters)
    assert followed == [np.count_nonzero(labels), np.count_nonzero(labels) - np.count_nonzero(labels == 3)]


def test_nothing_is_found_where_there_is_no_foreground() -> None:
    task = build(FlowsTaskConfig("flows"))
    empty = array(np.zeros((12, 12, 12), np.uint8))
    task.post_processor.set_prediction(task.predictor.create_target(empty))
    assert not task.post_processor.process(task.parameters[0]).data.any()
