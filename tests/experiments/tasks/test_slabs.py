"""Scores of volumes that are read slab by slab equal those of volumes in memory, however they are cut."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.run import Run
from dacapo.experiments.tasks.evaluators import (
    BinarySegmentationEvaluator,
    DummyEvaluator,
    Evaluator,
    InstanceEvaluator,
    OneHotEvaluator,
)
from dacapo.experiments.tasks.evaluators.slabs import slabs
from dacapo.testing.tiny import tiny_run
from dacapo.validate import validate_run

MANY = settings(max_examples=150, deadline=None, derandomize=True)


class Read(NumpyArray):
    """Remembers how many voxels were read at once, and how many in all."""

    largest = read = 0

    def _read(self, slices: Any) -> np.ndarray:
        data = super()._read(slices)
        self.largest, self.read = max(self.largest, data.size), self.read + data.size
        return data


@st.composite
def volumes(draw: st.DrawFn, channels: int = 0, labels: int = 2, most: int = 14) -> tuple[Any, ...]:
    """Draw output, truth and mask, and how many voxels a slab may have."""
    dims = draw(st.integers(2, 3))
    shape = draw(st.lists(st.integers(1, most), min_size=dims, max_size=dims))
    voxel_size = draw(st.lists(st.sampled_from([1, 4, 7, 40]), min_size=dims, max_size=dims))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    fractions = [draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0])) for _ in range(3)]
    whole = ([channels] if channels else []) + shape
    kinds = [rng.integers(1, max(2, labels), whole) * (rng.random(whole) < f) for f in fractions[:2]]
    arrays = [NumpyArray(kind.astype(np.uint64), voxel_size) for kind in kinds]
    mask = NumpyArray((rng.random(shape) < fractions[2]).astype(np.uint8), voxel_size)
    return *arrays, mask if draw(st.booleans()) else None, draw(st.integers(1, math.prod(whole)))


def assert_slabs_score_like_the_whole(evaluator: Evaluator, drawn: tuple[Any, ...]) -> None:
    *arrays, most = drawn
    whole = evaluator.evaluate(*arrays)
    evaluator.slab_voxels = most
    parts = evaluator.evaluate(*arrays)
    for name in evaluator.criteria:
        expected = pytest.approx(getattr(whole, name), rel=1e-12, abs=1e-12, nan_ok=True)
        assert getattr(parts, name) == expected, name


@MANY
@given(volumes())
def test_binary_scores_do_not_depend_on_slabs(drawn: tuple[Any, ...]) -> None:
    assert_slabs_score_like_the_whole(BinarySegmentationEvaluator(20, 8), drawn)


@settings(MANY, max_examples=40)
@given(volumes(channels=2))
def test_scores_of_channels_do_not_depend_on_slabs(drawn: tuple[Any, ...]) -> None:
    assert_slabs_score_like_the_whole(BinarySegmentationEvaluator(20, 8, ["a", "b"]), drawn)


@settings(MANY, max_examples=40)
@given(volumes(labels=3), st.sampled_from([None, 1]))
def test_scores_of_classes_do_not_depend_on_slabs(drawn: tuple[Any, ...], ignored: int | None) -> None:
    assert_slabs_score_like_the_whole(OneHotEvaluator(["a", "b", "c"], 20, 8, ignored), drawn)


@MANY
@given(volumes(labels=7))
def test_instance_scores_do_not_depend_on_slabs(drawn: tuple[Any, ...]) -> None:
    assert_slabs_score_like_the_whole(InstanceEvaluator(), drawn)


@settings(MANY, max_examples=40)
@given(volumes())
def test_dummy_scores_do_not_depend_on_slabs(drawn: tuple[Any, ...]) -> None:
    assert_slabs_score_like_the_whole(DummyEvaluator(), drawn)


@pytest.mark.parametrize("length", [7, 40, 150])
def test_distances_reach_across_any_number_of_slabs(length: int) -> None:
    """The only two positives lie at the ends of a volume whose slabs are single slices."""
    truth, test = np.zeros((2, 3, length), np.uint8)
    truth[0, 0], test[2, -1] = 1, 1
    evaluator = BinarySegmentationEvaluator(20, 8)
    evaluator.slab_voxels = 1
    scores = evaluator.evaluate(NumpyArray(test, (3, 4)), NumpyArray(truth, (3, 4)))
    assert scores.hausdorff == math.hypot(2 * 3, (length - 1) * 4)
    assert scores.mean_false_distance_clipped == 20


def test_slabs_cover_the_volume_once_and_end_with_chunks(tmp_path: Any) -> None:
    array = create_zarr(
        tmp_path / "a.zarr", "a", (2, 10, 70, 12), np.uint8, (8, 4, 4), (80, 0, 4), chunk_shape=(2, 5, 16, 12)
    )
    cut = slabs(array, 2 * 10 * 12 * 40)
    assert [roi.shape[1] // 4 for roi in cut] == [32, 32, 6]
    covered = np.zeros(array.spatial_shape, int)
    for roi in cut:
        covered[array.slices(roi)] += 1
    assert (covered == 1).all()
    assert [roi.shape[1] // 4 for roi in slabs(array, 2 * 10 * 12 * 9)] == [9] * 7 + [7]
    assert len(slabs(array, 1)) == 70


def test_no_more_is_read_at_a_time_than_a_slab() -> None:
    shape = 200, 24, 24
    data = np.random.default_rng(0).random((2, *shape)) < 0.2
    for evaluator, times in ((BinarySegmentationEvaluator(20, 8), 3), (InstanceEvaluator(), 1)):
        evaluator.slab_voxels = 24 * 24 * 2
        output, truth = (Read(one.astype(np.uint8), (4, 4, 4)) for one in data)
        evaluator.evaluate(output, truth)
        for array in (output, truth):
            assert array.largest <= evaluator.slab_voxels
            assert array.read <= times * math.prod(shape)


@pytest.mark.parametrize("evaluator", [BinarySegmentationEvaluator(20, 8), InstanceEvaluator()])
def test_memory_depends_on_the_slab_and_not_on_the_volume(evaluator: Evaluator, tmp_path: Any) -> None:
    evaluator.slab_voxels = 64 * 64 * 4
    peaks = []
    for length in (64, 512):
        arrays = []
        for name in ("output", "truth"):
            array = create_zarr(tmp_path / f"{length}.zarr", name, (length, 64, 64), np.uint8, (4, 4, 4))
            array[array.roi] = np.random.default_rng(len(name)).random((length, 64, 64)) < 0.3
            arrays.append(array)
        evaluator.evaluate(*arrays)
        tracemalloc.start()
        evaluator.evaluate(*arrays)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
    assert peaks[1] < 512 * 64 * 64


def test_validation_scores_slabs(tmp_path: Any) -> None:
    run = Run(tiny_run(tmp_path / "data"))
    whole = validate_run(run, 1, device="cpu").scores
    run.task.evaluator.slab_voxels = 40 * 40 * 3
    assert len(run.task.evaluator.slabs(run.datasplit.validate[0].gt)) == 14
    parts = validate_run(run, 2, device="cpu").scores
    np.testing.assert_allclose(whole, parts, rtol=1e-12)
    assert np.isfinite(whole).any()
