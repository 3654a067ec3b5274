"""Checks for how a task segments its predictions, and how it scores segmentations."""

from __future__ import annotations

import math

import numpy as np

from dacapo.config import Config
from dacapo.errors import InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import Array
from dacapo.experiments.tasks.post_processors import PostProcessorParameters

from .checks import check, demand
from .situation import Situation, same_up_to_names, situation
from .volumes import NDArray


@check("tasks")
def every_parameter_set_post_processes(config: Config) -> None:
    """Each parameter set, all of them different, makes whole numbers that lie where the prediction does."""
    here = situation(config)
    sets = _parameters(here)
    demand(len(set(sets)) == len(sets), "its post-processor enumerates a parameter set twice")
    for parameters in sets:
        found = _segment(here, here.target.data, parameters)
        demand(
            found.roi == here.target.roi and found.spatial_shape == here.target.spatial_shape,
            f"{parameters} makes a segmentation of {found.roi}, of a prediction of {here.target.roi}",
        )
        demand(
            found.dtype.kind in "uib",
            f"{parameters} makes labels of type {found.dtype}, and should make whole numbers",
        )


@check("tasks")
def blocks_are_segmented_like_the_whole(config: Config) -> None:
    """Post-processing block by block gives what it gives in one piece, up to the numbers of objects."""
    here = situation(config)
    half = [size // 2 for size in here.target.spatial_shape]
    for parameters in _parameters(here):
        whole = _segment(here, here.target.data, parameters).data
        parts = here.task.post_processor.process(parameters, None, 2, half).data
        demand(
            same_up_to_names(whole, parts),
            f"{parameters} makes another segmentation in blocks of {half} voxels than of the whole; look at "
            "the whole prediction in process(), or at no neighbours in segment()",
        )


@check("tasks")
def scores_are_those_announced(config: Config) -> None:
    """``evaluate`` returns the criteria of ``score``, numbers within their bounds."""
    here = situation(config)
    evaluator, announced = here.task.evaluator, list(here.task.evaluation_scores.criteria)
    demand(bool(announced), "its evaluator announces no criteria")
    for data in (here.target.data, here.shuffled):
        for parameters in _parameters(here):
            scores = evaluator.evaluate(_segment(here, data, parameters), here.gt)
            demand(
                list(scores.criteria) == announced,
                f"evaluate returns the criteria {scores.criteria}, and its evaluator announces {announced}",
            )
            for criterion in announced:
                value = float(getattr(scores, criterion))
                low, high = evaluator.bounds(criterion)
                demand(
                    math.isnan(value) or low <= value <= high,
                    f"{criterion} is {value:g}, and its bounds are {low:g} and {high:g}; correct one of them",
                )


@check("tasks")
def a_perfect_prediction_beats_a_shuffled_one(config: Config) -> None:
    """With a parameter set the target scores no worse than shuffled by any criterion, and better by one."""
    here = situation(config)
    # All criteria with one and the same set: by those that see one sort of mistake only, such as splits,
    # a set that finds nothing is perfect.
    faults = [_fault(here, parameters) for parameters in _parameters(here)]
    same = np.array_equal(here.target.data, here.shuffled)
    demand(same or None in faults, f"{faults[0]}")


def _fault(here: Situation, parameters: PostProcessorParameters) -> str | None:
    evaluator = here.task.evaluator
    perfect, shuffled = (
        evaluator.evaluate(_segment(here, data, parameters), here.gt)
        for data in (here.target.data, here.shuffled)
    )
    pairs = {c: (float(getattr(perfect, c)), float(getattr(shuffled, c))) for c in evaluator.criteria}
    wrong = [
        f"{c} is {one:g} for a perfect prediction and {other:g} for one whose halves are swapped"
        for c, (one, other) in pairs.items()
        if evaluator.compare(other, one, c)
    ]
    if wrong:
        return f"{parameters}: {'; '.join(wrong)}, which counts as better; see post-processor and direction"
    if not any(evaluator.compare(one, other, c) for c, (one, other) in pairs.items()):
        return f"{parameters}: a perfect prediction has the scores of one whose halves are swapped"
    return None


@check("tasks")
def better_scores_win(config: Config) -> None:
    """Scores are compared in the direction of each criterion, and whatever is measured beats NaN."""
    evaluator = situation(config).task.evaluator
    for criterion in evaluator.criteria:
        higher = evaluator.higher_is_better(criterion)
        demand(isinstance(higher, bool), f"higher_is_better({criterion!r}) is {higher!r}")
        good, bad = (0.75, 0.25) if higher else (0.25, 0.75)
        fine = evaluator.compare(good, bad, criterion) and not evaluator.compare(bad, good, criterion)
        demand(fine, f"{criterion}: {bad} wins over {good}, although higher_is_better is {higher}")
        nothing = evaluator.compare(bad, None, criterion) and evaluator.compare(bad, math.nan, criterion)
        demand(
            nothing and not evaluator.compare(math.nan, bad, criterion),
            f"{criterion}: NaN wins over {bad}; a score that is not there should be worse than any",
        )


@check("tasks")
def a_prediction_is_asked_for(config: Config) -> None:
    """Post-processing without a prediction raises ``InvalidRequest``."""
    here = situation(config)
    parameters = _parameters(here)[0]
    try:
        here.task.post_processor.process(parameters)
    except InvalidRequest:
        return
    raise AssertionError(
        "process() without a prediction should raise InvalidRequest: call set_prediction first"
    )


@check("tasks")
def masked_voxels_are_not_scored(config: Config) -> None:
    """With a mask that hides nothing the scores are those without one."""
    here = situation(config)
    segmentation = _segment(here, here.shuffled, _parameters(here)[0])
    everywhere = here.mask
    everywhere.data[...] = 1
    rows = [here.task.evaluator.evaluate(segmentation, here.gt, mask) for mask in (None, everywhere)]
    for criterion in here.task.evaluator.criteria:
        one, other = (float(getattr(scores, criterion)) for scores in rows)
        demand(
            one == other or (math.isnan(one) and math.isnan(other)),
            f"{criterion} is {one:g} without a mask and {other:g} with one that hides nothing",
        )


@check("tasks")
def slabs_are_scored_like_the_whole(config: Config) -> None:
    """Volumes that are read in slabs, as ``slab_voxels`` asks for, have the scores of those read at once."""
    here = situation(config)
    evaluator, segmentation = here.task.evaluator, _segment(here, here.shuffled, _parameters(here)[0])
    whole = evaluator.evaluate(segmentation, here.gt, here.mask)
    evaluator.slab_voxels = math.prod(segmentation.shape) // 4
    parts = evaluator.evaluate(segmentation, here.gt, here.mask)
    for criterion in evaluator.criteria:
        one, other = (float(getattr(scores, criterion)) for scores in (whole, parts))
        demand(
            math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other)),
            f"{criterion} is {one:g} for the whole and {other:g} for slabs of it; add up over slabs(output) "
            "what scores are made of, and not the scores",
        )


def _parameters(here: Situation) -> list[PostProcessorParameters]:
    found = list(here.task.parameters)
    demand(bool(found), "its post-processor enumerates no parameters; return one set at least")
    return found


def _segment(here: Situation, data: NDArray, parameters: PostProcessorParameters) -> Array:
    here.task.post_processor.set_prediction(here.prediction(data))
    return here.task.post_processor.process(parameters)
