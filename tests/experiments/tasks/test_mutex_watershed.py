"""Mutex watershed: the objects that mwatershed finds, from one sorting of the affinities for all biases."""

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


def test_affinities_are_sorted_once_for_all_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_ones, real = [], Edges.of
    monkeypatch.setattr(
        Edges, "of", lambda given, offsets: sorted_ones.append(given.shape) or real(given, offsets)
    )
    processor = WatershedPostProcessor(NEAR)
    processor.set_prediction(NumpyArray(np.ones((3, 4, 5, 6), np.float32), (8, 8, 8), (0, 0, 0)))
    for parameters in processor.enumerate_parameters():
        assert (processor.process(parameters).data == 1).all()
    assert sorted_ones.count((3, 4, 5, 6)) == 1


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
