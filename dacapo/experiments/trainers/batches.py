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

COUNTED_PATCHES = 32
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
        self.class_counts: NDArray | None = None
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

    def prepare(self) -> None:
        """Count the classes in a fixed number of patches, for targets to be balanced by."""
        counts = None
        for number in range(COUNTED_PATCHES):
            random = self._generator(_COUNTING, number, 0, 0)
            chosen = self._choose(random)
            place = self.locations[chosen].draw(random)
            gt, mask = self.sources[chosen].labels(self.shape.output_roi, place)
            arrays = self._as_arrays(self.sources[chosen], gt, mask, self.shape.output_roi)
            found = self.predictor.class_counts(*arrays)
            counts = found if counts is None else counts + found
        self.class_counts = counts

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
        random = self._generator(_TRAINING, iteration, number, 0)
        chosen = self._choose(random)
        source, place = self.sources[chosen], self.locations[chosen].draw(random)
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
        return Sample(patch, *self._target(source, patch))

    def _target(self, source: PatchSource, patch: Patch) -> tuple[NDArray, NDArray]:
        gt, mask = self._as_arrays(source, patch.gt, patch.mask, self.shape.gt_roi)
        target = self.predictor.create_target(gt, self.shape.output_roi)
        weight, _ = self.predictor.create_weight(gt, target, mask, self.class_counts)
        return np.asarray(target.data, np.float32), np.asarray(weight.data, np.float32)

    def _as_arrays(
        self, source: PatchSource, gt: NDArray, mask: NDArray | None, roi: Roi
    ) -> tuple[NumpyArray, NumpyArray | None]:
        grid = self.shape.gt_voxel_size, roi.begin
        labels = NumpyArray(gt, *grid, source.gt.axis_names, name=source.gt.name)
        return labels, None if mask is None else NumpyArray(mask, *grid, name=f"mask of {source.name}")

    def _choose(self, random: np.random.Generator) -> int:
        return int(np.searchsorted(self.shares, random.random(), side="right"))

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
