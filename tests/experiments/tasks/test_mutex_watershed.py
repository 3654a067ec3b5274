"""Mutex watershed: the objects that mwatershed finds, and where edges are equal, those of an order."""

from __future__ import annotations

import numpy as np
import pytest
from mwatershed import agglom
from scipy.ndimage import gaussian_filter

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.post_processors import WatershedPostProcessor, WatershedPostProcessorParameters
from dacapo.experiments.tasks.post_processors.mutex_watershed import TOP, Edges
from dacapo.testing.situation import same_up_to_names

NEAR = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
FAR = [(-3, 0, 0), (0, 3, 0), (0, 0, -3), (-6, 2, 0), (0, -5, 5), (4, 0, -6)]
# No two of the levels below are equally far from one of these.
BIASES = (0.1, 0.26, 0.5000001, 0.74, 0.9)


def affinities(
    shape: tuple[int, ...], offsets: list[tuple[int, ...]], seed: int, smooth: float
) -> np.ndarray:
    """Return affinities no two of which are equal: noise, the smoother the larger the objects."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((len(offsets), *shape))
    noise = gaussian_filter(noise, (0, *(smooth,) * len(shape))) if smooth else noise
    levels = np.sort(random.permutation(TOP - 1)[: noise.size])
    rank = noise.ravel().argsort().argsort().reshape(noise.shape)
    return levels[rank] / (TOP - 1)


def one_by_one(given: np.ndarray, offsets: list[tuple[int, ...]], bias: float) -> np.ndarray:
    """Return ids, from 1: edges are taken from the strongest to the weakest, pairs of ids forbidden."""
    shape, middle = given.shape[1:], 1 + bias * (TOP - 1)
    edges = []
    for number, (channel, *at) in enumerate(np.ndindex(given.shape)):
        there = tuple(np.add(at, offsets[channel]))
        value = given[channel][tuple(at)]
        if np.isnan(value) or not all(0 <= i < size for i, size in zip(there, shape, strict=True)):
            continue
        level = 1 + int(np.rint(np.float32(value) * np.float32(TOP - 1)))
        edges.append((-abs(level - middle), level <= middle, number, tuple(at), there))
    ids, numbers = np.arange(1, 1 + np.prod(shape)).reshape(shape), set[frozenset[int]]()
    for _, parts, _, here, there in sorted(edges):
        one, other = int(ids[here]), int(ids[there])
        if one == other:
            continue
        if parts:
            numbers.add(frozenset((one, other)))
        elif frozenset((one, other)) not in numbers:
            ids[ids == other] = one
            numbers = {frozenset(one if i == other else i for i in pair) for pair in numbers}
    return ids


def by_mwatershed(given: np.ndarray, offsets: list[tuple[int, ...]], bias: float) -> np.ndarray:
    """Return ids, 0 for voxels by themselves."""
    ids = agglom(given - bias, offsets=[list(offset) for offset in offsets])
    found, at, counts = np.unique(ids, return_inverse=True, return_counts=True)
    return np.where((counts < 2)[at.ravel()], 0, ids.ravel()).reshape(ids.shape)


@pytest.mark.parametrize("smooth", [0, 1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_objects_are_those_of_mwatershed(seed: int, smooth: float) -> None:
    offsets = [*NEAR, *FAR]
    given = affinities((14, 15, 16), offsets, seed, smooth)
    processor = WatershedPostProcessor(offsets)
    processor.set_prediction(NumpyArray(given.astype(np.float32), (8, 8, 8), (0, 0, 0)))
    sizes = []
    for bias in BIASES:
        found = processor.process(WatershedPostProcessorParameters(0, bias=bias)).data
        assert same_up_to_names(found, by_mwatershed(given, offsets, bias))
        sizes.append(int(found.max()))
    assert max(sizes) > 20


@pytest.mark.parametrize("seed", range(40))
def test_equal_edges_come_in_order_of_channels_and_voxels_and_joining_ones_first(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = [(60,), (8, 9), (4, 5, 4), (1, 7, 6)][seed % 4]
    reach = 1 + seed // 4 % 4
    drawn = random.integers(-reach, reach + 1, (6, len(shape)))
    offsets = [tuple(int(i) for i in offset) for offset in drawn if offset.any()]
    # Few levels, at equal distances from the biases; the more of them, the nearer to none equal.
    steps = 2 ** (1 + seed % 5)
    given = random.integers(0, steps + 1, (len(offsets), *shape)) / np.float32(steps)
    given = np.where(random.random(given.shape) < 0.1, np.nan, given.astype(np.float32) ** (0.3 + seed % 3))
    edges = Edges.of(given, offsets)
    for bias in (0, 0.25, 0.4, 0.5, 0.75, 0.9, 1):
        assert same_up_to_names(edges.parted(bias) + 1, one_by_one(given, offsets, bias))


def test_single_voxels_and_volumes_without_edges_come_apart() -> None:
    for shape, offset in (((1, 1, 1), (0, 0, 1)), ((2, 3, 1), (0, 0, -1))):
        edges = Edges.of(np.ones((1, *shape), np.float32), [offset])
        assert edges.parted(0.5).ravel().tolist() == list(range(int(np.prod(shape))))


@pytest.mark.parametrize("seed", range(5))
def test_sections_come_apart_as_by_mwatershed(seed: int) -> None:
    offsets = [(-1, 0), (0, -1), (5, 5), (-4, 0)]
    given = affinities((90, 90), offsets, seed, 1)
    edges = Edges.of(given.astype(np.float32), offsets)
    for bias in BIASES:
        parted = edges.parted(bias)
        ids, counts = np.unique(parted, return_counts=True)
        found = np.where(np.isin(parted, ids[counts > 1]), parted + 1, 0)
        assert same_up_to_names(found, by_mwatershed(given, offsets, bias))


def test_affinities_are_read_once_for_all_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    read, real = [], Edges.of
    monkeypatch.setattr(Edges, "of", lambda given, offsets: read.append(given.shape) or real(given, offsets))
    processor = WatershedPostProcessor(NEAR)
    processor.set_prediction(NumpyArray(np.ones((3, 4, 5, 6), np.float32), (8, 8, 8), (0, 0, 0)))
    for parameters in processor.enumerate_parameters():
        assert (processor.process(parameters).data == 1).all()
    assert read.count((3, 4, 5, 6)) == 1


def test_what_is_not_a_number_holds_nothing_together_and_parts_nothing() -> None:
    given = np.full((1, 1, 6), 0.9, np.float32)
    given[0, 0, 2], given[0, 0, 4] = np.nan, 0.1
    parted = Edges.of(given, [(0, 1)]).parted(0.5)
    assert parted.tolist() == [[0, 0, 0, 3, 3, 5]]
    assert Edges.of(given * np.nan, [(0, 1)]).parted(0.5).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_affinities_beyond_their_range_are_the_strongest() -> None:
    given = np.array([[[7, 0.2, 0.9, -3, 0.5]]], np.float32)
    assert Edges.of(given, [(0, 1)]).parted(0.5).tolist() == [[0, 0, 2, 2, 4]]


def test_offsets_longer_than_the_block_connect_nothing() -> None:
    given = np.ones((2, 3, 4), np.float32)
    assert Edges.of(given, [(0, -9), (5, 0)]).parted(0.5).ravel().tolist() == list(range(12))
