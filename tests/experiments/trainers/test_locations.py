"""Where patches are taken from, by each strategy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate

from dacapo.errors import DataError
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.trainers import PatchTrainerConfig
from dacapo.experiments.trainers.locations import Locations, count_blocks
from dacapo.experiments.trainers.patch_source import PatchSource
from memory_dataset import MemoryDataset, TinyModel, balls, noise, source_for

SHAPE = (12, 14, 16)


def spots(shape: Any = SHAPE, offset: Any = None, voxel_size: Any = (8, 8, 8), seed: int = 4) -> NumpyArray:
    """A sparse mask: two solid blobs and some stray voxels."""
    data = np.zeros(shape, np.uint8)
    third = np.array(shape) // 3
    data[tuple(slice(1, 1 + n) for n in third)], data[tuple(slice(2 * n, 3 * n) for n in third)] = 1, 3
    data |= (np.random.default_rng(seed).random(shape) < 0.01).astype(np.uint8)
    return NumpyArray(data, voxel_size, offset)


def source(mask: Any = None, model: Any = None, **rest: Any) -> PatchSource:
    data = MemoryDataset("data", noise(SHAPE), balls(SHAPE), mask, **rest)
    return source_for(model or TinyModel((6, 6, 6), valid=True), data)


def drawn(source: PatchSource, number: int = 300, **values: Any) -> np.ndarray:
    locations = Locations(source, PatchTrainerConfig("trainer", **values))
    random = np.random.default_rng(0)
    return np.stack([locations.draw(random) for _ in range(number)])


def test_uniform_reaches_every_place_and_no_other() -> None:
    narrow = source(model=TinyModel((10, 12, 14)))
    assert narrow.places == (3, 3, 3)
    places, counts = np.unique(drawn(narrow, 2700, sample_strategy="uniform"), axis=0, return_counts=True)
    assert (places == list(itertools.product(range(3), repeat=3))).all()
    assert ((counts - 100) ** 2 / 100).sum() < 60  # chi square of 26 degrees of freedom: p < 0.0002


@pytest.mark.parametrize("strategy", ["mask", "reject"])
@pytest.mark.parametrize("offset", [None, (8, -16, 4)])
def test_masks_are_covered_enough_and_every_such_place_is_as_likely(strategy: Any, offset: Any) -> None:
    masked = source(spots(offset=offset))
    # Known beforehand, because reading so many patches takes long.
    coverage = {place: masked.masked(np.array(place)) for place in np.ndindex(masked.places)}
    masked.masked = lambda place: coverage[tuple(place)]  # type: ignore[method-assign]
    good = {place for place, fraction in coverage.items() if fraction >= 0.4}
    assert 20 < len(good) < 0.1 * np.prod(masked.places)
    found = drawn(masked, 20 * len(good), sample_strategy=strategy, min_masked=0.4)
    places, counts = np.unique(found, axis=0, return_counts=True)
    assert {tuple(p) for p in places.tolist()} == good
    assert ((counts - 20) ** 2 / 20).sum() / len(good) < 2


@pytest.mark.parametrize("voxel_size", [4, 16])
def test_masks_of_other_voxel_sizes_find_all_their_places(voxel_size: int) -> None:
    mask = spots(tuple(8 * size // voxel_size for size in SHAPE), voxel_size=(voxel_size,) * 3)
    masked = source(mask)
    good = [p for p in np.ndindex(masked.places) if masked.masked(np.array(p)) >= 0.4]
    edge, blocks, _ = Locations(masked, PatchTrainerConfig("t", min_masked=0.4))._candidates
    assert good and {tuple(np.array(p) // edge) for p in good} <= {tuple(block) for block in blocks}
    found = drawn(masked, 20, min_masked=0.4)
    assert {tuple(p) for p in found.tolist()} <= set(good)


def test_blocks_are_counted_whatever_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = spots()
    first, edge, span = np.array([-16, 0, 24]), np.array([24, 16, 40]), np.array([150, 140, 90])
    whole = count_blocks(mask, first, edge, span)
    monkeypatch.setattr("dacapo.experiments.trainers.locations.VOXELS_AT_ONCE", 1)
    assert (count_blocks(mask, first, edge, span) == whole).all()
    for block in np.ndindex(whole.shape):
        low = np.maximum((first + block * edge) // 8, 0)
        high = np.maximum((first + (np.array(block) + 1) * edge) // 8, 0)
        inside = mask.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        assert whole[block] == np.count_nonzero(inside)


def test_strategies_that_look_at_a_mask_take_all_without_one() -> None:
    for strategy in ("mask", "reject"):
        assert len(np.unique(drawn(source(), 200, sample_strategy=strategy), axis=0)) > 150


def test_patches_hold_a_sample_point() -> None:
    points = [Coordinate(40, 40, 40), Coordinate(2, 2, 2), Coordinate(900, 0, 0)]
    pointed = source(sample_points=points)
    found = drawn(pointed)
    begins = np.stack([pointed.begin(place) for place in found])
    holds = [((begins <= p) & (np.array(p) < begins + 32)).all(axis=1) for p in points]
    assert (holds[0] | holds[1]).all() and holds[0].any() and holds[1].any()
    around_first = begins[holds[0]]
    assert (around_first.min(0) == 16).all() and (around_first.max(0) == 40).all()


def test_points_go_before_the_mask_unless_told_otherwise() -> None:
    both = source(spots(), sample_points=[Coordinate(60, 60, 60)])
    assert Locations(both, PatchTrainerConfig("t")).strategy == "sample_points"
    assert Locations(source(spots()), PatchTrainerConfig("t")).strategy == "mask"
    assert Locations(source(), PatchTrainerConfig("t")).strategy == "uniform"
    told = Locations(both, PatchTrainerConfig("t", sample_strategy="integral_mask", min_masked=0.4))
    assert both.masked(told.draw(np.random.default_rng(0))) >= 0.4


def test_patches_without_enough_foreground_are_rejected() -> None:
    some = source()
    fractions = [some.foreground(p) for p in drawn(some, 100)]
    assert min(fractions) < 0.2
    assert min(some.foreground(p) for p in drawn(some, 50, gt_min_reject=0.2)) >= 0.2


def test_rejection_has_a_probability() -> None:
    some = source()
    poor = []
    for chance in (0, 0.5, 1):
        places = drawn(some, 300, gt_min_reject=0.2, reject_probability=chance)
        poor.append(np.mean([some.foreground(place) < 0.2 for place in places]))
    assert poor[2] == 0 and poor[1] == pytest.approx(0.5 * poor[0] / (1 - 0.5 * poor[0]), abs=0.08)


def test_foreground_of_any_channel_counts() -> None:
    channels = np.zeros((2, *SHAPE), np.uint8)
    channels[0, :7], channels[1, 7:] = 1, 1
    data = MemoryDataset("data", noise(SHAPE), NumpyArray(channels, (8, 8, 8)))
    assert source_for(TinyModel((4, 4, 4)), data).foreground(np.array([5, 0, 0])) == 1


def test_nothing_that_fits() -> None:
    empty = NumpyArray(np.zeros(SHAPE, np.uint8), (8, 8, 8), name="blank")
    with pytest.raises(DataError, match="dataset data: nowhere does the mask blank let 15% of a patch count"):
        drawn(source(empty), 1)
    with pytest.raises(
        DataError, match="dataset data: none of 1000 patches drawn by 'reject' was acceptable"
    ):
        drawn(source(empty), 1, sample_strategy="reject")
    for points in ([Coordinate(900, 0, 0)], None):
        with pytest.raises(DataError, match="dataset data: none of its . sample points lies where"):
            drawn(source(sample_points=points), 1, sample_strategy="sample_points")
