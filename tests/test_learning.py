"""Every task really learns: its loss falls, and what it then predicts is worth more than chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.run import Run
from dacapo.experiments.tasks import DummyTaskConfig
from dacapo.train import train_run
from every_task import CASES, VOXEL, network, run_of, trainer

ITERATIONS = 120
ONE_SIDED = ("voi_split", "voi_merge")


def best_scores(run: Run, prediction: NumpyArray) -> dict[str, float]:
    """Return the best value of each score that best checkpoints are kept by, over all parameter sets."""
    evaluator, [dataset] = run.task.evaluator, run.datasplit.validate
    # Objects that are all in pieces, or all one, are best by these two.
    names = [name for name in evaluator.criteria if evaluator.store_best(name) and name not in ONE_SIDED]
    best: dict[str, float] = dict.fromkeys(names, math.nan)
    run.task.post_processor.set_prediction(prediction)
    for parameters in run.task.parameters:
        scores = evaluator.evaluate(run.task.post_processor.process(parameters), dataset.gt)
        for criterion, so_far in best.items():
            value = float(getattr(scores, criterion))
            if evaluator.compare(value, so_far, criterion):
                best[criterion] = value
    return best


def predicted(run: Run) -> NumpyArray:
    """Return what the network makes of the whole image to validate on."""
    [dataset] = run.datasplit.validate
    with torch.no_grad():
        found = run.model.eval()(torch.from_numpy(np.array(dataset.raw.data))[None])[0].numpy()
    cut = (Coordinate(dataset.raw.spatial_shape) - Coordinate(found.shape[1:])) / 2
    return NumpyArray(found, dataset.raw.voxel_size, cut * VOXEL)


def shuffled(prediction: NumpyArray) -> NumpyArray:
    """Return a prediction with the same values in random places."""
    flat: Any = prediction.data.reshape(len(prediction.data), -1)
    order = np.random.default_rng(0).permutation(flat.shape[1])
    return NumpyArray(flat[:, order].reshape(prediction.shape), prediction.voxel_size, prediction.offset)


@pytest.mark.parametrize("name", CASES)
def test_a_task_is_learned(name, tmp_path):
    case = CASES[name]
    run = Run(
        run_of(
            case,
            tmp_path / "data",
            architecture=network(case.dims).replace(batch_norm=True),
            trainer=trainer(case.dims).replace(augments=[], decay_until=ITERATIONS, learning_rate=0.02),
            num_iterations=ITERATIONS,
        )
    )
    train_run(run, do_validate=False, device="cpu")
    losses = run.training_stats.columns["loss"]
    assert np.median(losses[-20:]) < 0.85 * np.median(losses[:5])
    if isinstance(case.task, DummyTaskConfig):
        return  # whose scores say nothing
    prediction, evaluator = predicted(run), run.task.evaluator
    found, by_chance = best_scores(run, prediction), best_scores(run, shuffled(prediction))
    assert not any(math.isnan(value) for value in found.values())
    for criterion, value in found.items():
        assert not evaluator.compare(by_chance[criterion], value, criterion), criterion
    assert any(abs(value - by_chance[criterion]) > 0.05 for criterion, value in found.items())
