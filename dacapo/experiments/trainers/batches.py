"""Making batches: patches, augmented, with targets and weights, ahead of the network.

Batch i follows from the seed and i alone, so that neither the number of threads nor a pause in
training changes what the network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import numpy as np
import torch
from funlib.geometry import Roi

from dacapo.config import build
from dacapo.errors import InvalidArray, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.balance import MovingCounts

from .augment import Augment, Patch, SpatialAugment
from .configs import PatchTrainerConfig
from .deformation import Deformation
from .locations import Locations
from .patch_source import PatchShape, PatchSource

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets.dataset import Dataset
    from dacapo.experiments.model import Model
    from dacapo.experiments.tasks.task import Task

NDArray = np.ndarray[Any, Any]
T = TypeVar("T")

COUNTED = 4  # one patch in so many: enough, since all are drawn alike, and counting affinities takes its time
# What a generator is for; part of its seed, so that no two draw the same numbers.
_TRAINING, _COUNTING = 0, 1


@attrs.frozen(eq=False)
class Sample:
    """One patch and what the network should make of it; arrays are channels first."""

    patch: Patch
    target: NDArray
    weight: NDArray


@attrs.frozen(eq=False)
class Batch:
    """Images, targets and weights as tensors (batch, channel, spatial...), and the first sample."""

    first: Sample
    raw: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor


class BatchMaker:
    """Makes any batch of a training, by its number.

    ``pinned`` batches lie where a GPU can fetch them while the host goes on.
    """

    pinned = False

    def __init__(
        self, config: PatchTrainerConfig, datasets: Sequence[Dataset], model: Model, task: Task, seed: int
    ) -> None:
        if not datasets:
            raise InvalidRequest(
                f"trainer {config.name!r} was given no dataset to train on; add one to the train_configs "
                "of the datasplit"
            )
        self.config, self.seed, self.predictor = config, seed, task.predictor
        self._counts = MovingCounts(self._count, config.balance_window)
        self.augments: list[Augment] = [build(augment) for augment in config.augments]
        self.shape = PatchShape.of(model, task.predictor, datasets[0].raw)
        self.sources = [PatchSource(dataset, self.shape, config.clip_raw) for dataset in datasets]
        for source in self.sources:
            channels = source.raw.num_channels or 1
            if channels != model.num_in_channels:
                raise InvalidArray(
                    f"dataset {source.name}: {source.raw.name} has {channels} channel(s), and the network "
                    f"takes {model.num_in_channels}; set fmaps_in of the architecture, or give other images"
                )
        self.locations = [Locations(source, config) for source in self.sources]
        weights = np.array([source.weight for source in self.sources], np.float64)
        if not weights.sum() > 0:
            raise InvalidRequest(
                f"trainer {config.name!r} cannot choose between datasets that all weigh 0; give at least one "
                "of them a weight"
            )
        self.shares = np.cumsum(weights / weights.sum())
        self.shares[-1] = 1.0  # which rounding may have missed

    def class_counts(self, iteration: int) -> NDArray:
        """Return the voxels of each class by which targets of an iteration are balanced.

        They are those of the last ``balance_window`` of the patches that are counted, where they were cut
        and before they are augmented, up to those of the iteration itself.  At the beginning patches that
        are not trained on stand in for those before.
        """
        return self._counts.until((iteration + 1) * self.config.batch_size // COUNTED)

    def _count(self, number: int) -> NDArray:
        """Count the classes in a patch; those of negative numbers are the ones before training."""
        patch = divmod(number * COUNTED, self.config.batch_size)
        source, place = self._drawn(*((_TRAINING, *patch) if number >= 0 else (_COUNTING, -number, 0)))
        gt, mask = source.labels(self.shape.output_roi, place)
        return self.predictor.class_counts(*self._as_arrays(source, gt, mask, self.shape.output_roi))

    def make(self, iteration: int) -> Batch:
        """Return the batch of an iteration."""
        samples = [self.sample(iteration, number) for number in range(self.config.batch_size)]
        raw = self._stacked([sample.patch.raw for sample in samples])
        target = self._stacked([sample.target for sample in samples])
        weight = self._stacked([sample.weight for sample in samples])
        return Batch(samples[0], raw, target, weight)

    def _stacked(self, arrays: Sequence[NDArray]) -> torch.Tensor:
        tensor = torch.from_numpy(np.stack(arrays))
        return tensor.pin_memory() if self.pinned else tensor

    def sample(self, iteration: int, number: int) -> Sample:
        """Return one sample of a batch."""
        source, place = self._drawn(_TRAINING, iteration, number)
        deformation, changes = Deformation.identity(self.shape.output_roi.dims), []
        for position, augment in enumerate(self.augments, start=1):
            own = self._generator(_TRAINING, iteration, number, position)
            if own.random() >= augment.config.augmentation_probability:
                continue
            if isinstance(augment, SpatialAugment):
                deformation = deformation.then(augment.deformation(self.shape.extent, own))
            changes.append((augment, own))
        patch = source.read(place, deformation)
        for augment, own in changes:
            augment.change(patch, own)
        return Sample(patch, *self._target(source, patch, self.class_counts(iteration)))

    def _target(self, source: PatchSource, patch: Patch, counts: NDArray) -> tuple[NDArray, NDArray]:
        gt, mask = self._as_arrays(source, patch.gt, patch.mask, self.shape.gt_roi)
        target = self.predictor.create_target(gt, self.shape.output_roi)
        weight, _ = self.predictor.create_weight(gt, target, mask, counts)
        return np.asarray(target.data, np.float32), np.asarray(weight.data, np.float32)

    def _as_arrays(
        self, source: PatchSource, gt: NDArray, mask: NDArray | None, roi: Roi
    ) -> tuple[NumpyArray, NumpyArray | None]:
        grid = self.shape.gt_voxel_size, roi.begin
        whose = f"{source.gt.name} of dataset {source.name}"
        labels = NumpyArray(gt, *grid, source.gt.axis_names, name=whose)
        return labels, None if mask is None else NumpyArray(mask, *grid, name=f"mask of {source.name}")

    def _drawn(self, *purpose: int) -> tuple[PatchSource, NDArray]:
        """Return the dataset and the place of a patch."""
        random = self._generator(*purpose, 0)
        chosen = int(np.searchsorted(self.shares, random.random(), side="right"))
        return self.sources[chosen], self.locations[chosen].draw(random)

    def _generator(self, *purpose: int) -> np.random.Generator:
        seed = np.random.SeedSequence([self.seed, self.config.seed, *purpose])
        return np.random.Generator(np.random.SFC64(seed))


class Prefetcher(Generic[T]):
    """Makes what will be asked for next, in order, in threads; at most so many ahead.

    An error in a thread is raised where the result is asked for.
    """

    def __init__(self, make: Callable[[int], T], num_workers: int, ahead: int) -> None:
        self.make, self.ahead = make, ahead
        self._pool = ThreadPoolExecutor(num_workers, "batches") if num_workers else None
        self._pending: dict[int, Future[T]] = {}

    def get(self, number: int, end: int) -> T:
        """Return what ``make(number)`` returns, and go on with the next ones before ``end``."""
        if self._pool is None:
            return self.make(number)
        if number not in self._pending:
            self._drop()
        for coming in range(number, min(number + self.ahead + 1, end)):
            if coming not in self._pending:
                self._pending[coming] = self._pool.submit(self.make, coming)
        return self._pending.pop(number).result()

    def close(self) -> None:
        """Drop what is not done, and wait for what has been begun."""
        self._drop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _drop(self) -> None:
        for future in self._pending.values():
            future.cancel()
        self._pending.clear()
