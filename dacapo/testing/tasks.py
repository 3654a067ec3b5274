"""Checks for what a task makes of ground truth: channels, targets, weights, loss."""

from __future__ import annotations

import numpy as np
import torch
from funlib.geometry import Coordinate, Roi

from dacapo.config import Config, build
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray

from .checks import check, demand
from .losses import demand_gradient, demand_less_for_the_truth, demand_masked
from .situation import finite, situation
from .volumes import SIZE, small_architecture


@check("tasks")
def channels_are_named(config: Config) -> None:
    """``channels`` is a list of names, at least one, each once."""
    channels = build(config).channels
    fine = isinstance(channels, list) and all(isinstance(name, str) and name for name in channels)
    demand(
        fine and 0 < len(set(channels)) == len(channels),
        f"its channels are {channels!r}, and should be a list of names, at least one, each once",
    )


@check("tasks")
def a_model_predicts_the_channels(config: Config) -> None:
    """The model has a channel for each of ``channels``, the shape it announces, and finite values."""
    here = situation(config)
    model = here.task.create_model(small_architecture(here.gt.dims)).eval()
    shape = (model.num_in_channels, *model.input_shape)
    with torch.no_grad():
        out = model(torch.rand(2, *shape))
    channels = len(here.task.channels)
    demand(
        out.shape[1] == channels,
        f"its models predict {out.shape[1]} channels, and it names {channels} ({here.task.channels})",
    )
    announced = (2, model.num_out_channels, *model.output_shape)
    demand(tuple(out.shape) == announced, f"its models announce {announced} and give out {tuple(out.shape)}")
    demand(bool(out.isfinite().all()), "its models predict values that are not finite")


@check("tasks")
def targets_lie_where_the_prediction_does(config: Config) -> None:
    """Target and weight have a channel for each predicted one, and the voxels of the ground truth."""
    here = situation(config)
    wanted = (len(here.task.channels), *here.gt.spatial_shape)
    for what, made in (("target", here.target), ("weight", here.weight)):
        demand(
            made.shape == wanted,
            f"the {what} has shape {made.shape}, and should have {wanted}: channels, then the ground truth's",
        )
        demand(
            made.roi == here.gt.roi and made.voxel_size == here.gt.voxel_size,
            f"the {what} lies at {made.roi}, and the ground truth at {here.gt.roi}; give it the same place",
        )


@check("tasks")
def targets_are_finite(config: Config) -> None:
    """All values of targets are finite."""
    demand(finite(situation(config).target.data), "its targets have values that are not finite")


@check("tasks")
def weights_are_finite(config: Config) -> None:
    """Weights are finite, never negative, and not all 0."""
    weight = situation(config).weight.data
    demand(finite(weight), "its weights have values that are not finite")
    demand(bool((weight >= 0).all()), f"its weights go down to {weight.min():g}, and should be 0 or more")
    demand(bool(weight.any()), "all its weights are 0; nothing can be learned")


@check("tasks")
def targets_of_a_region_are_cut_from_the_whole(config: Config) -> None:
    """With ``roi`` a target is that region of the target without it, and has a weight that fits it."""
    here = situation(config)
    roi = Roi(Coordinate((16,) * here.gt.dims), Coordinate((64,) * here.gt.dims))
    part = here.task.predictor.create_target(here.gt, roi)
    demand(part.roi == roi, f"asked for {roi} it makes a target of {part.roi}")
    demand(
        np.allclose(part.data, here.target[roi], atol=1e-5),
        "the target of a region is not that region of the whole target; look at all the ground truth",
    )
    weight, _ = here.task.predictor.create_weight(here.gt, part)
    demand(weight.shape == part.shape, f"the weight of a region is {weight.shape}, its target {part.shape}")


@check("tasks")
def ground_truth_stays_as_it_is(config: Config) -> None:
    """Making targets and weights does not change the ground truth."""
    here = situation(config)
    before = here.gt.data.copy()
    target = here.task.predictor.create_target(here.gt)
    here.task.predictor.create_weight(here.gt, target, here.mask)
    demand(np.array_equal(before, here.gt.data), "it changes the ground truth it is given; copy it first")


@check("tasks")
def masked_voxels_weigh_nothing(config: Config) -> None:
    """Weights are 0 where the mask is, and not everywhere."""
    here = situation(config)
    weight, _ = here.task.predictor.create_weight(here.gt, here.target, here.mask)
    known = here.mask.data > 0
    counted = int((weight.data[:, ~known] != 0).sum())
    demand(counted == 0, f"{counted} weights are not 0 although the mask is; multiply them by the mask")
    demand(bool(weight.data[:, known].any()), "with a mask of one corner nothing counts any more")


@check("tasks")
def class_counts_leave_out_masked_voxels(config: Config) -> None:
    """``class_counts`` counts no more voxels with a mask than without, and the weights take them."""
    here = situation(config)
    whole, masked = (here.task.predictor.class_counts(here.gt, mask) for mask in (None, here.mask))
    demand(np.sum(masked) < np.sum(whole), "class_counts counts as many voxels with a mask as without")
    weight, counts = here.task.predictor.create_weight(here.gt, here.target, None, whole)
    demand(np.array_equal(counts, whole), "create_weight was given moving_class_counts, and used others")
    demand(finite(weight.data), "with moving_class_counts its weights are not finite")


@check("tasks")
def the_loss_is_finite_and_has_a_gradient(config: Config) -> None:
    """The loss of noise is a finite scalar with a finite gradient."""
    here = situation(config)
    demand_gradient(here.task.loss, *here.tensors(here.target.data, here.weight.data))


@check("tasks")
def the_truth_costs_less_than_noise(config: Config) -> None:
    """Predicting the target has less loss than predicting noise."""
    here = situation(config)
    demand_less_for_the_truth(here.task.loss, *here.tensors(here.target.data, here.weight.data))


@check("tasks")
def masked_voxels_carry_no_gradient(config: Config) -> None:
    """Nothing is learned from where the weights are 0."""
    here = situation(config)
    # Masked here, so that a mask which does not reach the weights is not blamed on the loss.
    weight = here.weight.data * (here.mask.data > 0)
    demand_masked(here.task.loss, *here.tensors(here.target.data, weight))


@check("tasks")
def a_region_of_ground_truth_suffices(config: Config) -> None:
    """The ground truth that ``gt_region_for_roi`` asks for makes the target that all of it makes."""
    here = situation(config)
    predictor, voxel_size = here.task.predictor, here.gt.voxel_size
    roi = Roi(Coordinate((SIZE // 2 - 2,) * here.gt.dims) * voxel_size, voxel_size * 4)
    region = predictor.gt_region_for_roi(roi, voxel_size)
    demand(region.contains(roi), f"gt_region_for_roi({roi}) is {region}, which does not hold it")
    demand(
        (region.offset - roi.offset).is_multiple_of(voxel_size) and region.shape.is_multiple_of(voxel_size),
        f"gt_region_for_roi({roi}) is {region}, which is not of whole voxels; round the padding up",
    )
    seen = region.intersect(here.gt.roi)
    cut = NumpyArray(here.gt[seen], voxel_size, seen.offset, here.gt.axis_names, name=here.gt.name)
    away = float(np.abs(predictor.create_target(cut)[roi] - here.target[roi]).max())
    demand(
        away < 0.1,
        f"a target made of no more than gt_region_for_roi asks for differs by {away:g} from that made of "
        "all; ask for all that a target depends on, by padding()",
    )
