"""Scores of classes against scikit-learn, also where classes are absent, masked or ignored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from dacapo import documents
from dacapo.errors import InvalidLabels, InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.evaluators import EvaluationScores, OneHotEvaluationScores, OneHotEvaluator
from dacapo.experiments.tasks.evaluators.one_hot_evaluator import confusion

IGNORED = 255


def array(data: np.ndarray, name: str = "array") -> NumpyArray:
    return NumpyArray(data, (8,) * data.ndim, name=name)


def volumes(seed: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return how many classes there are, a truth and a test that may lack some, and perhaps a mask."""
    rng = np.random.default_rng(seed)
    number, dims = int(rng.integers(2, 7)), int(rng.integers(2, 4))
    shape = tuple(rng.integers(1, 9, dims))
    lowest, highest = sorted(rng.integers(0, number, 2))
    truth = rng.integers(lowest, highest + 1, shape)
    test = np.where(
        rng.random(shape) < rng.random(), truth, rng.integers(0, rng.integers(1, number + 1), shape)
    )
    if seed % 4 == 0:
        truth[rng.random(shape) < rng.choice([0.1, 0.5, 1])] = IGNORED
    mask = None if seed % 3 else rng.random(shape) < rng.choice([0, 0.5, 0.9])
    return number, truth.astype(np.uint8), test.astype(np.uint8), mask


def by_sklearn(number: int, truth: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Return the same of lists of voxels, whatever the classes are called."""
    labels = list(range(number))
    with_nan: dict[str, Any] = {"labels": labels, "average": None, "zero_division": np.nan}
    dice, iou = metrics.f1_score(truth, test, **with_nan), np.full(number, np.nan)
    for label in set(truth.tolist()) | set(test.tolist()):
        iou[label] = metrics.jaccard_score(truth == label, test == label)
    present = sorted(set(truth.tolist()) | set(test.tolist()))
    macro: dict[str, Any] = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "dice": dice,
        "jaccard": iou,
        "mean_dice": metrics.f1_score(truth, test, **macro),
        "mean_iou": metrics.jaccard_score(truth, test, **macro),
        "confusion": metrics.confusion_matrix(truth, test, labels=labels),
    }


@pytest.mark.parametrize("seed", range(240))
def test_scores_equal_those_of_scikit_learn(seed: int) -> None:
    number, truth, test, mask = volumes(seed)
    names = [f"class {label}" for label in range(number)]
    evaluator = OneHotEvaluator(names, 20, 5, ignore_label=IGNORED)
    scores = evaluator.evaluate(array(test), array(truth), None if mask is None else array(mask))
    counted = (truth != IGNORED) & (True if mask is None else mask)
    if not counted.any():
        assert math.isnan(scores.mean_dice) and math.isnan(scores.mean_iou)
        assert scores.confusion == [[0] * number] * number
        return
    expected = by_sklearn(number, truth[counted], test[counted])
    for score in ("dice", "jaccard"):
        found = [getattr(scores, f"{name}__{score}") for name in names]
        assert found == pytest.approx(expected[score].tolist(), nan_ok=True)
    assert scores.mean_dice == pytest.approx(expected["mean_dice"])
    assert scores.mean_iou == pytest.approx(expected["mean_iou"])
    assert scores.confusion == expected["confusion"].tolist()
    assert [getattr(scores, f"{a}__as_{b}") for a in names for b in names] == np.ravel(
        scores.confusion
    ).tolist()


def test_tables_of_blocks_add_up() -> None:
    truth, test = np.random.default_rng(0).integers(0, 17, (2, 8, 9, 10)).astype(np.uint8)
    parts = [confusion(truth[part], test[part], 17) for part in (np.s_[:3], np.s_[3:])]
    np.testing.assert_array_equal(sum(parts), confusion(truth, test, 17))
    np.testing.assert_array_equal(np.diag(confusion(truth, truth, 17)), np.bincount(truth.ravel()))


def test_a_class_that_neither_has_is_left_out_of_means() -> None:
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    test = np.array([[0, 1, 1, 1]], np.uint8)
    scores = OneHotEvaluator(["a", "b", "c"], 20, 5).evaluate(array(test), array(truth))
    assert math.isnan(scores.c__dice) and math.isnan(scores.c__jaccard)
    assert scores.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores.mean_dice == pytest.approx((2 / 3 + 4 / 5) / 2)
    test[0, 0] = 2  # now it is there, and wrong
    scores = OneHotEvaluator(["a", "b", "c"], 20, 5).evaluate(array(test), array(truth))
    assert scores.c__dice == scores.c__jaccard == 0
    assert scores.mean_iou == pytest.approx((0 + 2 / 3 + 0) / 3)
    assert scores.a__as_c == 1 and scores.c__as_a == 0


def test_criteria_know_how_to_be_read() -> None:
    evaluator = OneHotEvaluator(["a", "my__er"], 20, 5)
    assert evaluator.criteria[:3] == ["mean_dice", "mean_iou", "a__dice"]
    assert evaluator.criteria[44:] == ["a__as_a", "a__as_my__er", "my__er__as_a", "my__er__as_my__er"]
    for mean in ("mean_dice", "mean_iou"):
        assert evaluator.higher_is_better(mean) and evaluator.store_best(mean)
        assert evaluator.bounds(mean) == (0, 1)
    assert evaluator.higher_is_better("my__er__as_my__er")
    assert not evaluator.higher_is_better("a__as_my__er") and not evaluator.store_best("a__as_a")
    assert evaluator.bounds("a__as_a") == (0, math.inf)
    assert not evaluator.higher_is_better("a__voi") and evaluator.store_best("my__er__f1_score")
    with pytest.raises(InvalidRequest, match="no criterion 'mean_voi'"):
        evaluator.bounds("mean_voi")
    assert not hasattr(evaluator.score, "a__as_c")
    assert all(math.isnan(getattr(evaluator.score, criterion)) for criterion in evaluator.criteria)


def test_scores_survive_storing() -> None:
    truth, test = np.random.default_rng(0).integers(0, 2, (2, 5, 6)).astype(np.uint8)
    scores = OneHotEvaluator(["a", "b"], 20, 5).evaluate(array(test), array(truth))
    again = documents.read(documents.from_json(documents.to_json(documents.write(scores))), EvaluationScores)
    assert isinstance(again, OneHotEvaluationScores) and again == scores


def test_ids_that_stand_for_no_class_are_named() -> None:
    truth, test = np.zeros((2, 3, 3), np.uint8)
    evaluator = OneHotEvaluator(["a", "b"], 20, 5, ignore_label=7)
    truth[0] = 7
    evaluator.evaluate(array(test), array(truth))
    test[0] = 9  # where it does not matter
    evaluator.evaluate(array(test), array(truth))
    test[1] = 9
    with pytest.raises(InvalidLabels, match="found has the labels 9, but only 0 to 1"):
        evaluator.evaluate(array(test, "found"), array(truth))
    truth[1, 1] = 3
    with pytest.raises(InvalidLabels, match=r"gt has the labels 3, .*make one of them its ignore_label"):
        evaluator.evaluate(array(test), array(truth, "gt"))
