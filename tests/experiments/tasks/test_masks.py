"""What a mask hides is not learned from: a property of every task, of the whole way from mask to gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dacapo.config import build
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import AffinitiesTaskConfig, HotDistanceTaskConfig
from dacapo.experiments.tasks.predictors.affinity_graph import pairs
from dacapo.experiments.tasks.predictors.distance_predictor import SATURATED
from dacapo.registry import registry
from dacapo.testing.volumes import NDArray, blobs
from every_task import CASES, VOXEL, Case, truth_of

AFFINITIES = [name for name, case in CASES.items() if isinstance(case.task, AffinitiesTaskConfig)]
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Masked:
    """Random ground truth under a random mask, and the gradient of the loss of a random prediction."""

    def __init__(self, case: Case, seed: int, share: float, boxes: bool) -> None:
        self.case, self.task, self.rng = case, build(case.task), np.random.default_rng(seed)
        shape = self.rng.integers(1, 12, case.dims)
        part = tuple(map(slice, shape))
        self.labels = truth_of(case, blobs((12,) * case.dims, 5, seed, (1, 4))[part])
        # Hidden in single voxels, or in blocks as where annotation ends.
        coarse = self.rng.random(-(-shape // 4) if boxes else shape) >= share
        for axis in range(case.dims if boxes else 0):
            coarse = coarse.repeat(4, axis)
        self.known = coarse[part]
        self.target, self.weight = self.made_of(self.labels)
        self.prediction = self.rng.standard_normal(self.target.shape).astype(np.float32)
        self.loss, self.gradient = self.learn(self.prediction)

    def made_of(self, labels: NDArray) -> tuple[NDArray, NDArray]:
        """Return target and weight, both (channel, spatial...)."""
        axes = (
            ["c^", "z", "y", "x"][-labels.ndim :] if self.case.dims == 3 else ["c^", "y", "x"][-labels.ndim :]
        )
        gt = NumpyArray(labels, (VOXEL,) * self.case.dims, axis_names=axes)
        mask = NumpyArray(self.known.astype(np.uint8), gt.voxel_size)
        target = self.task.predictor.create_target(gt)
        return target.data, self.task.predictor.create_weight(gt, target, mask)[0].data

    def learn(self, prediction: NDArray) -> tuple[float, NDArray]:
        """Return the loss of a prediction, and its gradient."""
        given, target, weight = (
            torch.from_numpy(np.array(data, np.float32))[None]
            for data in (prediction, self.target, self.weight)
        )
        loss = self.task.loss.compute(given.requires_grad_(), target, weight)
        return float(loss.detach()), torch.autograd.grad(loss, given)[0][0].numpy()


def masked_volumes(test: object) -> object:
    """Try a test on every task, and many masks: none, some and all of the voxels hidden."""
    given_masks = given(
        seed=st.integers(0, 2**32 - 1),
        share=st.sampled_from([0.0, 0.02, 0.3, 0.7, 0.98, 1.0]),
        boxes=st.booleans(),
    )
    return pytest.mark.parametrize("name", CASES)(SETTINGS(given_masks(test)))


def test_no_built_in_task_is_forgotten():
    built_in = {registry.load("tasks", name) for name in registry.names("tasks") if "." not in name}
    assert {type(case.task) for case in CASES.values()} == built_in


@masked_volumes
def test_hidden_voxels_have_no_gradient_in_any_channel(name, seed, share, boxes):
    here = Masked(CASES[name], seed, share, boxes)
    assert np.isfinite(here.loss) and np.isfinite(here.gradient).all()
    assert not here.gradient[:, ~here.known].any()
    if not here.known.any():
        assert here.loss == 0 and not here.gradient.any()
    # Weights that let nothing through would keep this promise as well.
    assert here.gradient[here.weight > 0].any() == (here.weight > 0).any()


@masked_volumes
def test_what_is_predicted_for_hidden_voxels_does_not_matter(name, seed, share, boxes):
    here = Masked(CASES[name], seed, share, boxes)
    for absurd in (np.nan, np.inf, 1e30):
        loss, gradient = here.learn(np.where(here.known, here.prediction, np.float32(absurd)))
        assert loss == here.loss
        np.testing.assert_array_equal(gradient, here.gradient)


@masked_volumes
def test_labels_of_hidden_voxels_do_not_matter(name, seed, share, boxes):
    here = Masked(CASES[name], seed, share, boxes)
    config = here.case.task
    other = here.labels.copy()
    other[..., ~here.known] = here.rng.integers(0, 200, other[..., ~here.known].shape)
    target, weight = here.made_of(other)
    counted = slice(None)
    if isinstance(config, AffinitiesTaskConfig):
        counted = slice(len(config.neighborhood))  # descriptors of an object are of all of it that there is
    elif isinstance(config, HotDistanceTaskConfig) and not config.mask_distances:
        counted = slice(len(config.channels))  # distances are left in on request
    np.testing.assert_array_equal(weight[counted], here.weight[counted])
    known = weight[counted] > 0
    # Distances beyond where they are taken for saturated need not be known better.
    one, other = (np.clip(each[counted][known], -SATURATED, SATURATED) for each in (target, here.target))
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", AFFINITIES)
@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.1, 0.5]))
def test_an_affinity_is_learned_where_both_of_its_ends_are_known(name, seed, share):
    here = Masked(CASES[name], seed, share, False)
    whole = (slice(None),) * here.case.dims
    for channel, offset in enumerate(here.case.task.neighborhood):
        within, first, second = pairs(here.known.shape, whole, offset)
        both = np.zeros(here.known.shape, bool)
        both[within] = here.known[first] & here.known[second]
        # A logit of a random prediction has a gradient wherever it counts.
        np.testing.assert_array_equal(here.gradient[channel] != 0, both)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("descriptors")])
@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.1, 0.5]))
def test_a_descriptor_is_learned_in_known_objects_up_to_the_last_voxel(name, seed, share):
    here = Masked(CASES[name], seed, share, True)
    config = here.case.task
    inside = here.known & ((here.labels > 0) | config.background_as_object)
    behind = slice(len(config.neighborhood), None)
    for weight, gradient in zip(here.weight[behind], here.gradient[behind], strict=True):
        np.testing.assert_array_equal(weight > 0, inside)
        np.testing.assert_array_equal(gradient != 0, inside)
