"""Every score of a binary volume, against ITK, scikit-image, scipy and hand-made volumes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.distance import cdist
from scored import binary_scores
from skimage.metrics import variation_of_information

from dacapo.experiments.tasks.evaluators import BinarySegmentationEvaluationScores

CLIP, TOLERANCE = 30.0, 9.0
CRITERIA = BinarySegmentationEvaluationScores.criteria
ON_ONE_EMPTY = {"dice": 0.0, "jaccard": 0.0}


def blobs(shape: tuple[int, ...], seed: int, fraction: float = 0.2) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return field > np.quantile(field, 1 - fraction)


def box(shape: tuple[int, ...], *slices: slice) -> np.ndarray:
    volume = np.zeros(shape, bool)
    volume[slices] = True
    return volume


def as_image(volume: np.ndarray, voxel_size: tuple[int, ...]) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(volume.astype(np.uint8))
    image.SetSpacing([float(size) for size in reversed(voxel_size)])
    return image


def by_others(truth: np.ndarray, test: np.ndarray, voxel_size: tuple[int, ...]) -> dict[str, float]:
    """Compute all scores of two volumes, none empty, by other means than our own."""
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(as_image(test, voxel_size), as_image(truth, voxel_size))
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(as_image(truth, voxel_size), as_image(test, voxel_size))
    to_truth = distance_transform_edt(~truth, sampling=voxel_size)
    to_test = distance_transform_edt(~test, sampling=voxel_size)
    false_positive, false_negative = (
        np.sum((to_truth > TOLERANCE) & test),
        np.sum((to_test > TOLERANCE) & truth),
    )
    true = np.sum(truth | test) - false_positive - false_negative
    missed, false = to_test[truth].mean(), to_truth[test].mean()
    missed_clipped, false_clipped = (
        np.clip(to_test, 0, CLIP)[truth].mean(),
        np.clip(to_truth, 0, CLIP)[test].mean(),
    )
    discovery, negative = overlap.GetFalseDiscoveryRate(1), overlap.GetFalseNegativeError(1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision_tolerant, recall_tolerant = true / (true + false_positive), true / (true + false_negative)
        return {
            "dice": overlap.GetDiceCoefficient(1),
            "jaccard": overlap.GetJaccardCoefficient(1),
            "hausdorff": hausdorff.GetHausdorffDistance(),
            "false_negative_rate": negative,
            "false_negative_rate_with_tolerance": false_negative / truth.sum(),
            "false_positive_rate": discovery * test.sum() / np.float64((~truth).sum()),
            "false_discovery_rate": discovery,
            "false_positive_rate_with_tolerance": false_positive / np.float64((~truth).sum()),
            "voi": sum(variation_of_information(truth.astype(int), test.astype(int))),
            "mean_false_distance": (missed + false) / 2,
            "mean_false_negative_distance": missed,
            "mean_false_positive_distance": false,
            "mean_false_distance_clipped": (missed_clipped + false_clipped) / 2,
            "mean_false_negative_distance_clipped": missed_clipped,
            "mean_false_positive_distance_clipped": false_clipped,
            "precision_with_tolerance": precision_tolerant,
            "recall_with_tolerance": recall_tolerant,
            "f1_score_with_tolerance": harmonic(precision_tolerant, recall_tolerant),
            "precision": 1 - discovery,
            "recall": 1 - negative,
            "f1_score": harmonic(1 - discovery, 1 - negative),
        }


def harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else math.nan


def assert_same(scores: BinarySegmentationEvaluationScores, expected: dict[str, float]) -> None:
    assert list(expected) == CRITERIA
    for criterion, value in expected.items():
        assert getattr(scores, criterion) == pytest.approx(value, rel=1e-5, abs=1e-9, nan_ok=True), criterion


SHAPE = (12, 14, 16)
PAIRS = {
    "random": (blobs(SHAPE, 0), blobs(SHAPE, 1)),
    "dense": (blobs(SHAPE, 2, 0.7), blobs(SHAPE, 3, 0.6)),
    "noise": tuple(np.random.default_rng(4).random((2, *SHAPE)) < 0.01),
    "identical": (blobs(SHAPE, 5), blobs(SHAPE, 5)),
    "disjoint": (
        box(SHAPE, slice(0, 3), slice(0, 3), slice(0, 3)),
        box(SHAPE, slice(9, 12), slice(8, 14), slice(9, 16)),
    ),
    "inside": (
        box(SHAPE, slice(2, 10), slice(2, 10), slice(2, 10)),
        box(SHAPE, slice(4, 6), slice(4, 6), slice(4, 6)),
    ),
    "single voxels": (
        box(SHAPE, slice(0, 1), slice(0, 1), slice(0, 1)),
        box(SHAPE, slice(11, 12), slice(13, 14), slice(15, 16)),
    ),
    "same single voxel": (box(SHAPE, slice(5, 6), slice(5, 6), slice(5, 6)),) * 2,
    "truth full": (np.ones(SHAPE, bool), blobs(SHAPE, 6)),
    "test full": (blobs(SHAPE, 7), np.ones(SHAPE, bool)),
    "both full": (np.ones(SHAPE, bool), np.ones(SHAPE, bool)),
}


@pytest.mark.parametrize("voxel_size", [(8, 8, 8), (40, 4, 6), (1, 1, 1)])
@pytest.mark.parametrize("pair", PAIRS)
def test_scores_equal_those_of_other_libraries(pair: str, voxel_size: tuple[int, ...]) -> None:
    truth, test = PAIRS[pair]
    assert_same(binary_scores(truth, test, voxel_size, CLIP, TOLERANCE), by_others(truth, test, voxel_size))


FILLINGS = {
    "blobs": lambda rng, shape: blobs(shape, int(rng.integers(2**31)), rng.uniform(0.05, 0.9)),
    "noise": lambda rng, shape: rng.random(shape) < rng.uniform(0.01, 0.99),
    "empty": lambda rng, shape: np.zeros(shape, bool),
    "full": lambda rng, shape: np.ones(shape, bool),
    "one voxel": lambda rng, shape: box(shape, *(slice(i := int(rng.integers(n)), i + 1) for n in shape)),
    "first slice": lambda rng, shape: box(shape, slice(0, 1)),
    "last slice": lambda rng, shape: box(shape, slice(shape[0] - 1, None)),
    "last column": lambda rng, shape: box(shape, ..., slice(shape[-1] - 1, None)),
}


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return two volumes or images, as odd as they may be, and their voxel size."""
    rng = np.random.default_rng(seed)
    shape = [int(size) for size in rng.integers(1, 18, rng.integers(2, 4))]
    if seed % 5 == 0:
        shape[rng.integers(len(shape))] = 1
    truth, test = (FILLINGS[str(rng.choice([*FILLINGS, "blobs", "noise"]))](rng, tuple(shape)) for _ in "ab")
    if seed % 11 == 0:
        test = np.roll(truth, 1, axis=-1)
    return truth, test, tuple(int(size) for size in rng.choice([1, 3, 8, 40], len(shape)))


@pytest.mark.parametrize("seed", range(240))
def test_random_and_degenerate_volumes_score_as_in_other_libraries(seed: int) -> None:
    truth, test, voxel_size = drawn(seed)
    expected = by_others(truth, test, voxel_size) if truth.any() and test.any() else of_empty(truth, test)
    assert_same(binary_scores(truth, test, voxel_size, CLIP, TOLERANCE), expected)


def of_empty(truth: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Return what is left of the scores if one of two volumes is empty, or both are."""
    expected = dict.fromkeys(CRITERIA, math.nan)
    if truth.any() or test.any():
        overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*(SimpleITK.GetImageFromArray(volume.astype(np.uint8)) for volume in (test, truth)))
        expected |= {"dice": overlap.GetDiceCoefficient(1), "jaccard": overlap.GetJaccardCoefficient(1)}
        if test.any():
            expected["false_discovery_rate"] = overlap.GetFalseDiscoveryRate(1)
        return expected
    return expected | {"hausdorff": 0.0}


def test_the_drawn_volumes_are_of_every_sort() -> None:
    pairs = [drawn(seed) for seed in range(240)]
    for which in range(2):
        counts = [(pair[which].sum(), pair[which].size) for pair in pairs]
        assert sum(count == 0 for count, _ in counts) > 10
        assert sum(count == size for count, size in counts) > 10
        assert sum(count == 1 for count, _ in counts) > 10
    assert sum(not (truth.any() or test.any()) for truth, test, _ in pairs) > 2
    assert sum(1 in truth.shape for truth, _, _ in pairs) > 40
    assert {truth.ndim for truth, _, _ in pairs} == {2, 3}


@pytest.mark.parametrize("seed", range(4))
def test_scores_of_images_equal_those_of_other_libraries(seed: int) -> None:
    truth, test = blobs((40, 30), seed), blobs((40, 30), seed + 9, 0.4)
    assert_same(binary_scores(truth, test, (5, 3), CLIP, TOLERANCE), by_others(truth, test, (5, 3)))


def test_scores_by_hand() -> None:
    truth, test = np.zeros((1, 1, 10), bool), np.zeros((1, 1, 10), bool)
    truth[..., 2:6] = True  # voxels 2 3 4 5
    test[..., 4:9] = True  # voxels 4 5 6 7 8: 2 true, 3 false, 2 missed
    scores = binary_scores(truth, test, (1, 1, 10), clip_distance=15, tol_distance=10)
    assert scores.dice == pytest.approx(4 / 9)
    assert scores.jaccard == pytest.approx(2 / 7)
    assert scores.hausdorff == 30  # from 8 to 5
    assert scores.mean_false_negative_distance == pytest.approx((20 + 10) / 4)
    assert scores.mean_false_positive_distance == pytest.approx((10 + 20 + 30) / 5)
    assert scores.mean_false_distance == pytest.approx((7.5 + 12) / 2)
    assert scores.mean_false_negative_distance_clipped == pytest.approx((15 + 10) / 4)
    assert scores.mean_false_positive_distance_clipped == pytest.approx((10 + 15 + 15) / 5)
    # Of 7 voxels in the union one miss and two false ones are too far to be forgiven: 4 are true.
    assert scores.false_negative_rate_with_tolerance == pytest.approx(1 / 4)
    assert scores.false_positive_rate_with_tolerance == pytest.approx(2 / 6)
    assert scores.precision_with_tolerance == pytest.approx(4 / 6)
    assert scores.recall_with_tolerance == pytest.approx(4 / 5)
    assert scores.false_positive_rate == pytest.approx(3 / 6)
    assert scores.false_discovery_rate == pytest.approx(3 / 5)


def test_perfect_scores() -> None:
    truth = blobs(SHAPE, 8)
    scores = binary_scores(truth, truth, (8, 8, 8), CLIP, TOLERANCE)
    for criterion in CRITERIA:
        best = 1.0 if scores.higher_is_better(criterion) else 0.0
        assert getattr(scores, criterion) == best, criterion


@pytest.mark.parametrize("masked", [False, True])
def test_nothing_anywhere_is_only_a_hausdorff_distance_of_zero(masked: bool) -> None:
    nothing = np.zeros(SHAPE, bool)
    mask = blobs(SHAPE, 0) if masked else None
    scores = binary_scores(nothing, nothing, (8, 8, 8), CLIP, TOLERANCE, mask)
    assert_same(scores, {c: 0.0 if c == "hausdorff" else math.nan for c in CRITERIA})


@pytest.mark.parametrize("empty", ["truth", "test"])
def test_one_empty_volume_leaves_only_what_can_be_said(empty: str) -> None:
    volume, nothing = blobs(SHAPE, 0), np.zeros(SHAPE, bool)
    pair = (nothing, volume) if empty == "truth" else (volume, nothing)
    expected = {c: ON_ONE_EMPTY.get(c, math.nan) for c in CRITERIA}
    if empty == "truth":
        expected["false_discovery_rate"] = 1.0
    assert_same(binary_scores(*pair, (8, 8, 8), CLIP, TOLERANCE), expected)


def test_scores_stay_within_their_bounds() -> None:
    for seed in range(10):
        truth, test = np.random.default_rng(seed).random((2, 6, 6, 6)) < 0.5
        scores = binary_scores(truth, test, (4, 4, 4), CLIP, TOLERANCE)
        for criterion in CRITERIA:
            low, high = scores.bounds(criterion)
            assert low <= getattr(scores, criterion) <= high, criterion


def test_voi_reaches_the_bound_it_claims() -> None:
    truth = np.arange(16).reshape(4, 4) % 2 == 0
    test = np.arange(16).reshape(4, 4) // 4 % 2 == 0
    assert binary_scores(truth, test, (1, 1), CLIP, TOLERANCE).voi == pytest.approx(2)


@pytest.mark.parametrize("seed", range(3))
def test_a_mask_leaves_only_the_voxels_inside(seed: int) -> None:
    shape, voxel_size = (7, 8, 9), (30, 4, 5)
    truth, test = blobs(shape, seed, 0.3), blobs(shape, seed + 20, 0.3)
    mask = np.random.default_rng(seed).random(shape) < 0.6
    places = np.argwhere(mask) * voxel_size
    true, found = truth[mask], test[mask]
    between = cdist(places, places)
    missed = between[np.ix_(true, found)].min(axis=1)
    false = between[np.ix_(found, true)].min(axis=1)
    scores = binary_scores(truth, test, voxel_size, CLIP, TOLERANCE, mask)
    assert scores.mean_false_negative_distance == pytest.approx(missed.mean())
    assert scores.mean_false_positive_distance == pytest.approx(false.mean())
    assert scores.hausdorff == pytest.approx(max(missed.max(), false.max()))
    assert scores.dice == pytest.approx(2 * (true & found).sum() / (true.sum() + found.sum()))
    assert scores.false_positive_rate == pytest.approx((found & ~true).sum() / (~true).sum())
    assert scores.false_positive_rate_with_tolerance == pytest.approx(
        (false > TOLERANCE).sum() / (~true).sum()
    )
    expected = sum(variation_of_information(true.astype(int), found.astype(int)))
    assert scores.voi == pytest.approx(expected)


def test_what_a_mask_hides_changes_nothing() -> None:
    truth, test, mask = blobs(SHAPE, 0), blobs(SHAPE, 1), blobs(SHAPE, 2, 0.5)
    rng = np.random.default_rng(3)
    others = [np.where(mask, volume, rng.random(SHAPE) < 0.5) for volume in (truth, test)]
    first = binary_scores(truth, test, (8, 8, 8), CLIP, TOLERANCE, mask)
    assert binary_scores(*others, (8, 8, 8), CLIP, TOLERANCE, mask) == first
    assert binary_scores(truth, test, (8, 8, 8), CLIP, TOLERANCE) != first
