"""Batches follow from the seed and their number; threads change nothing but the time it takes."""

from __future__ import annotations

import threading
import time
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from dacapo.config import build, field
from dacapo.errors import DataError, InvalidArray, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.trainers import (
    Augment,
    AugmentConfig,
    ElasticAugmentConfig,
    GammaAugmentConfig,
    IntensityScaleShiftAugmentConfig,
    NoiseAugmentConfig,
    Patch,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)
from dacapo.experiments.trainers.batches import Batch, BatchMaker, Prefetcher
from memory_dataset import MemoryDataset, TinyModel, balls, noise, tiny_task

SHAPE = (30, 30, 30)
AUGMENTS = [
    SimpleAugmentConfig(),
    ElasticAugmentConfig(
        control_point_spacing=(6, 6, 6),
        control_point_displacement_sigma=(8, 8, 8),
        rotation_interval=(0, 1.5),
        augmentation_probability=0.5,
    ),
    GammaAugmentConfig(gamma_range=(0.5, 2)),
    NoiseAugmentConfig(),
]


def dataset(name: str = "data", seed: int = 0, **rest: Any) -> MemoryDataset:
    return MemoryDataset(name, noise(SHAPE, seed=seed), balls(SHAPE, seed=seed), **rest)


def maker(
    *datasets: Any, seed: int = 0, margin: int = 1, model: Any = None, task: Any = None, **values: Any
) -> BatchMaker:
    config = PatchTrainerConfig("trainer", **{"batch_size": 2, "augments": AUGMENTS, **values})
    model = model or TinyModel((12, 12, 12), valid=True)
    return BatchMaker(config, datasets or [dataset()], model, task or tiny_task(margin), seed)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("raw", "target", "weight"))


def test_shapes_and_types() -> None:
    batch = maker(batch_size=3).make(0)
    assert batch.raw.shape == (3, 1, 12, 12, 12) and batch.target.shape == batch.weight.shape == (
        3,
        1,
        10,
        10,
        10,
    )
    assert batch.raw.dtype == batch.target.dtype == batch.weight.dtype == torch.float32
    assert batch.first.patch.gt.shape == (12, 12, 12)


def test_a_batch_follows_from_seed_and_number_alone() -> None:
    one, other = maker(), maker()
    assert same(one.make(7), other.make(7))
    later = [one.make(i) for i in (9, 3, 7)]
    assert same(later[2], other.make(7)) and not same(later[1], later[2])
    assert not torch.equal(later[0].raw[0], later[0].raw[1])
    assert not same(maker(seed=1).make(7), later[2])


def test_the_seed_of_the_config_counts_too() -> None:
    config = PatchTrainerConfig("trainer", seed=1)
    plain, other = (
        BatchMaker(c, [dataset()], TinyModel((12, 12, 12)), tiny_task(), 0)
        for c in (config, config.replace(seed=2))
    )
    assert not same(plain.make(0), other.make(0))


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_threads_make_the_same_batches_in_order(num_workers: int) -> None:
    made, alone = maker(), maker()
    ahead = Prefetcher(made.make, num_workers, 4)
    try:
        assert all(same(ahead.get(i, 6), alone.make(i)) for i in range(6))
        assert same(ahead.get(2, 6), alone.make(2))  # somebody went back
    finally:
        ahead.close()


def test_no_more_is_made_ahead_than_was_agreed() -> None:
    made: list[int] = []
    ahead = Prefetcher(lambda i: made.append(i) or i, 2, 3)
    assert ahead.get(0, 100) == 0
    time.sleep(0.2)
    assert sorted(made) == [0, 1, 2, 3]
    assert [ahead.get(i, 5) for i in (1, 2, 3, 4)] == [1, 2, 3, 4]
    time.sleep(0.1)
    assert sorted(made) == [0, 1, 2, 3, 4]
    ahead.close()


def test_closing_stops_the_threads() -> None:
    before = threading.active_count()
    ahead = Prefetcher(lambda i: time.sleep(0.05), 2, 50)
    ahead.get(0, 100)
    begun = time.monotonic()
    ahead.close()
    assert threading.active_count() == before and time.monotonic() - begun < 1


def test_errors_in_threads_are_raised_where_the_batch_is_asked_for() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise DataError("batch two is broken")
        return number

    ahead = Prefetcher(make, 2, 2)
    assert [ahead.get(i, 10) for i in (0, 1)] == [0, 1]
    with pytest.raises(DataError, match="batch two is broken"):
        ahead.get(2, 10)
    ahead.close()


def test_datasets_are_chosen_by_their_weights() -> None:
    flat = [
        MemoryDataset(
            f"d{v}", NumpyArray(np.full(SHAPE, v, np.float32), (8, 8, 8)), balls(SHAPE), weight=weight
        )
        for v, weight in ((1, 1), (2, 3), (3, 0))
    ]
    made = maker(*flat, augments=[], model=TinyModel((4, 4, 4)), margin=0)
    chosen = [float(made.sample(0, i).patch.raw[0, 2, 2, 2]) for i in range(600)]
    assert set(chosen) == {1.0, 2.0} and chosen.count(2.0) / 600 == pytest.approx(0.75, abs=0.06)


def test_augments_are_applied_as_often_as_they_say() -> None:
    brighter = IntensityScaleShiftAugmentConfig(scale=1, shift=10, augmentation_probability=0.3)
    made = maker(augments=[brighter], model=TinyModel((4, 4, 4)))
    bright = [made.sample(i, 0).patch.raw.max() > 5 for i in range(400)]
    assert np.mean(bright) == pytest.approx(0.3, abs=0.07)


def test_without_augments_target_and_image_lie_on_each_other() -> None:
    data = balls(SHAPE)
    same_thing = MemoryDataset("same", NumpyArray(data.data.astype(np.float32), (8, 8, 8)), data)
    for augments in ([], AUGMENTS[:1]):
        batch = maker(same_thing, augments=augments, batch_size=4).make(0)
        assert torch.equal(batch.raw[:, :, 1:-1, 1:-1, 1:-1], batch.target)


def test_deformed_target_and_image_lie_on_each_other() -> None:
    data = NumpyArray(
        (noise(SHAPE).data[::5, ::5, ::5].repeat(5, 0).repeat(5, 1).repeat(5, 2) > 0.5), (8, 8, 8)
    )
    same_thing = MemoryDataset("same", NumpyArray(data.data.astype(np.float32), (8, 8, 8)), data)
    batch = maker(same_thing, augments=AUGMENTS[:2], batch_size=6).make(0)
    image = batch.raw[:, :, 1:-1, 1:-1, 1:-1]
    clear = (image < 0.05) | (image > 0.95)
    assert clear.float().mean() > 0.4 and 0.2 < batch.target.mean() < 0.8
    assert torch.equal(image[clear].round(), batch.target[clear])


def test_what_lies_beyond_the_ground_truth_weighs_nothing() -> None:
    turned = AUGMENTS[1].replace(rotation_interval=(0.7, 0.8), augmentation_probability=1)
    batch = maker(augments=[turned], model=TinyModel((28, 28, 28)), margin=0).make(0)
    assert 0.02 < (batch.weight == 0).float().mean() < 0.5 and set(batch.weight.unique().tolist()) == {0, 1}


def test_classes_are_counted_in_every_fourth_of_the_last_patches() -> None:
    """B46: the counts of the existing one never forget the first batches."""
    made = maker(augments=[], balance_window=3, model=TinyModel((12, 12, 12)), margin=0)
    everywhere = [made.sample(*divmod(number, 2)).patch.gt for number in range(40)]
    per_patch = [np.array([np.sum(gt == 0), np.sum(gt != 0)]) for gt in everywhere]
    for iteration in (19, 7, 5):
        end = 2 * (iteration + 1)
        expected = sum(per_patch[number] for number in range(0, end, 4)[-3:])
        assert made.class_counts(iteration).tolist() == expected.tolist()


def test_before_training_classes_are_counted_in_patches_of_their_own() -> None:
    made, other = maker(), maker(augments=[], batch_size=3)
    first = made.class_counts(0)
    assert first.sum() == 32 * 1000 and (first == other.class_counts(0)).all()
    assert (first != made.class_counts(300)).any()
    assert (first != maker(seed=1).class_counts(0)).any()


def balanced(**values: Any) -> BatchMaker:
    """Return a maker of a task that balances classes, whose patches are very unlike each other."""
    task = build(
        DistanceTaskConfig("task", channels=["ball"], clip_distance=40, tol_distance=8, clipmin=1e-6)
    )
    return maker(model=TinyModel((8, 8, 8)), task=task, balance_window=2, **values)


def test_balanced_batches_too_follow_from_their_number_alone() -> None:
    """So resuming needs nothing of the window, and threads cannot disturb it."""
    whole = balanced()
    batches = [whole.make(i) for i in range(24)]
    assert same(balanced().make(20), batches[20])  # another process, which begins there
    heavy = {float(batch.weight.max()) for batch in batches}
    assert len(heavy) > 3  # the window moves
    ahead = Prefetcher(balanced().make, 3, 5)
    try:
        assert all(same(ahead.get(i, 24), batches[i]) for i in range(8, 24))
    finally:
        ahead.close()


@attrs.define(kw_only=True)
class OnesAugmentConfig(AugmentConfig):
    """Somebody else's augment."""

    value: float = field("What the image becomes.", default=1.0)

    @property
    def augment_type(self) -> Any:
        return OnesAugment


class OnesAugment(Augment):
    """Makes the image uniform, and masks one plane."""

    def change(self, patch: Patch, random: np.random.Generator) -> None:
        patch.raw[:] = self.config.value * random.random()
        patch.mask = np.ones(patch.gt.shape, np.uint8)
        patch.mask[6] = 0


def test_augments_of_others() -> None:
    batch = maker(augments=[OnesAugmentConfig(value=3.0)]).make(0)
    values = [sample.unique() for sample in batch.raw]
    assert [len(v) for v in values] == [1, 1] and values[0] != values[1]
    assert not batch.weight[:, :, 5].any() and batch.weight.mean() == pytest.approx(0.9)


def test_no_datasets_no_weights_or_the_wrong_number_of_channels() -> None:
    config = PatchTrainerConfig("trainer")
    with pytest.raises(InvalidRequest, match="trainer 'trainer' was given no dataset"):
        BatchMaker(config, [], TinyModel((4, 4, 4)), tiny_task(), 0)
    with pytest.raises(
        InvalidRequest, match="trainer 'trainer' cannot choose between datasets that all weigh 0"
    ):
        BatchMaker(config, [dataset(weight=0)], TinyModel((4, 4, 4)), tiny_task(), 0)
    with pytest.raises(InvalidArray, match="dataset data: raw has 1 channel.* takes 2; set fmaps_in"):
        BatchMaker(config, [dataset()], TinyModel((4, 4, 4), channels=2), tiny_task(), 0)
