"""A task with ground truth it takes: what the checks of tasks look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import torch

from dacapo.config import Config, build
from dacapo.errors import DataError
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.task import Task

from .volumes import SIZE, NDArray, array, blobs


@attrs.frozen(eq=False)
class Situation:
    """A task, ground truth in a form that it takes, and the target and weight that it makes of that."""

    task: Task
    gt: NumpyArray
    target: NumpyArray
    weight: NumpyArray

    @property
    def mask(self) -> NumpyArray:
        """A mask that leaves out a corner of the ground truth."""
        known = np.ones(self.gt.spatial_shape, np.uint8)
        known[(slice(SIZE // 2),) * self.gt.dims] = 0
        return array(known, self.gt.dims, "mask")

    def tensors(self, *arrays: NDArray) -> tuple[torch.Tensor, ...]:
        """Return arrays as batches of one."""
        return tuple(torch.from_numpy(np.array(data, np.float32))[None] for data in arrays)

    def prediction(self, data: NDArray) -> NumpyArray:
        """Return channels as a prediction that lies where the target does."""
        return array(np.asarray(data, np.float32), self.gt.dims, "prediction")

    @property
    def shuffled(self) -> NDArray:
        """The target with its halves swapped along each axis: a prediction that holds together, elsewhere."""
        # Voxel by voxel nothing would be found, and scores that see one sort of mistake only were perfect.
        axes = tuple(range(1, self.target.data.ndim))
        return np.roll(self.target.data, [self.target.shape[axis] // 2 for axis in axes], axes)


def situation(config: Config) -> Situation:
    """Return the first situation that the task takes: volumes before sections, ids before channels.

    It takes it if it makes targets and weights of it, and scores; it refuses it by raising a ``DataError``.
    """
    task: Task = build(config)
    refused = []
    for gt in truths(len(task.channels)):
        try:
            target = task.predictor.create_target(gt)
            weight, _ = task.predictor.create_weight(gt, target)
            _try_to_score(Situation(build(config), gt, target, weight))
        except DataError as error:
            refused.append(f"{gt.name}: {error}")
        else:
            return Situation(task, gt, target, weight)
    raise AssertionError(
        f"it takes no ground truth, be it ids of objects or of classes, or binary channels; {refused[-1]}"
    )


def _try_to_score(here: Situation) -> None:
    """Score the target; ground truth that the evaluator refuses is not for this task."""
    try:
        here.task.post_processor.set_prediction(here.prediction(here.target.data))
        segmentation = here.task.post_processor.process(here.task.parameters[0])
        here.task.evaluator.evaluate(segmentation, here.gt)
    except DataError:
        raise
    except Exception:
        return  # what goes wrong otherwise is for the check of it to say


def truths(num_channels: int) -> Iterator[NumpyArray]:
    """Yield ground truth as tasks may need it: ids of objects, of classes, and binary channels."""
    for dims in (3, 2):
        objects = blobs((SIZE,) * dims)
        yield array(objects, dims, f"ids of objects in {dims}D")
        for classes in range(max(num_channels, 2), 1, -1):
            yield array(objects % classes, dims, f"ids of {classes} classes in {dims}D")
        for channels in range(num_channels, 0, -1):
            binary = np.stack([(objects > 0) & (objects != c) for c in range(channels)])
            yield array(binary.astype(np.uint8), dims, f"{channels} binary channels in {dims}D")


def same_up_to_names(one: NDArray, other: NDArray) -> bool:
    """Say whether two segmentations have the same background, and objects that differ by their ids only."""
    pairs = np.unique(np.stack([np.ravel(one), np.ravel(other)]), axis=1)
    zero = bool(((pairs[0] == 0) == (pairs[1] == 0)).all())
    return zero and all(len(np.unique(ids)) == pairs.shape[1] for ids in pairs)


def finite(data: Any) -> bool:
    """Say whether all numbers are finite."""
    return bool(np.isfinite(np.asarray(data)).all())
