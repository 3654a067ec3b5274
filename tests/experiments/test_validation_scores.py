"""Validation scores: numbers that know what they mean."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dacapo.errors import InvalidRequest
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.post_processors import ThresholdPostProcessorParameters
from dacapo.experiments.validation_scores import Best, ValidationIterationScores, ValidationScores
from dacapo.store.score_records import records_of

NAN = math.nan


class Scores:
    """What evaluation scores have to say of themselves."""

    criteria = ["dice", "voi"]  # noqa: RUF012

    @staticmethod
    def higher_is_better(criterion: str) -> bool:
        return criterion == "dice"

    @staticmethod
    def bounds(criterion: str) -> tuple[float, float]:
        return (0, 1) if criterion == "dice" else (0, NAN)

    @staticmethod
    def store_best(criterion: str) -> bool:
        return criterion == "voi"


class Dataset:
    def __init__(self, name: str) -> None:
        self.name = name


def made(*scores: ValidationIterationScores) -> ValidationScores:
    return ValidationScores(["t_0.1", "t_0.2"], [Dataset("a"), Dataset("b")], Scores(), scores)


def of(iteration: int, *values: float) -> ValidationIterationScores:
    """Make scores of dataset a; those of b are all NaN."""
    (one, two), (three, four) = values[:2], values[2:]
    return ValidationIterationScores(iteration, [[[one, two], [three, four]], [[NAN, NAN], [NAN, NAN]]])


def test_labels_come_from_the_components():
    scores = made()
    assert scores.criteria == ["dice", "voi"]
    assert scores.parameter_names == ["t_0.1", "t_0.2"]
    assert scores.dataset_names == ["a", "b"]
    assert scores.labels.criteria == (Criterion("dice", True), Criterion("voi", False))
    assert scores.labels.criteria[0].bounds == (0.0, 1.0)
    assert scores.labels.criteria[1].bounds == (0.0, None)
    assert [criterion.store_best for criterion in scores.labels.criteria] == [False, True]
    assert repr(scores) == "<ValidationScores of 0 iterations, 2 x 2 x 2 each>"


def test_labels_alone_are_enough():
    scores = ValidationScores.labelled(made().labels, [of(3, 1, 2, 3, 4)])
    assert scores.best("a", "voi").value == 2
    assert scores.evaluation_scores.criteria == ["dice", "voi"]
    assert scores.evaluation_scores.higher_is_better("dice")
    assert scores.evaluation_scores.bounds("voi") == (0.0, None)
    assert scores.evaluation_scores.store_best("voi")
    again = ValidationScores(scores.parameters, scores.datasets, scores.evaluation_scores)
    assert again.labels == scores.labels


def test_labels_that_are_the_same_are_refused():
    with pytest.raises(InvalidRequest, match="two of the datasets are called a"):
        ValidationScores([], ["a", "a"], Scores())
    with pytest.raises(InvalidRequest, match="two of the parameter sets are called 1"):
        ValidationScores([1, "1"], [], Scores())


def test_iterations_are_sorted_and_replaced():
    # B41: an older or repeated iteration was dropped by one store and doubled by the other.
    scores = made(of(20, 0.5, 1, 0.5, 1), of(10, 0.25, 1, 0.5, 1), of(20, 0.75, 1, 0.5, 1))
    assert scores.iterations == [10, 20]
    assert [one.iteration for one in scores.scores] == [10, 20]
    assert scores.scores[1].scores[0][0] == [0.75, 1.0]
    assert scores.validated_until() == 21
    assert len(scores) == 2
    assert made().validated_until() == 0


def test_delete_after_keeps_what_came_before():
    scores = made(of(10, 1, 1, 1, 1), of(20, 1, 1, 1, 1))
    scores.delete_after(20)
    assert scores.iterations == [10]
    with pytest.raises(InvalidRequest, match=r"iteration 20 has not been validated; these have: \[10\]"):
        scores.of_iteration(20)


def test_additions_are_told_to_whoever_asks():
    scores = made(of(10, 1, 1, 1, 1))
    mark, added = scores.added_since(0)
    assert added == [10]
    scores.add_iteration_scores(of(20, 1, 1, 1, 1))
    scores.add_iteration_scores(of(10, 2, 1, 1, 1))
    scores.add_iteration_scores(of(20, 2, 1, 1, 1))
    mark, added = scores.added_since(mark)
    assert sorted(added) == [10, 20]
    assert scores.added_since(mark) == (mark, [])
    scores.add_iteration_scores(of(30, 2, 1, 1, 1))
    scores.delete_after(30)
    assert scores.added_since(mark)[1] == []
    scores.scores = [of(1, 1, 1, 1, 1)]
    assert scores.iterations == [1]
    assert scores.added_since(mark)[1] == scores.added_since(0)[1] == [1]


@pytest.mark.parametrize(
    "nested",
    [
        [],
        [[[1, 2], [3, 4]]],
        [[[1, 2], [3, 4]], [[1, 2]]],
        [[[1, 2], [3, 4]], [[1, 2], [3]]],
        [[1, 2], [3, 4]],
    ],
)
def test_ragged_scores_are_refused_when_added(nested):
    # B23: a short row was found only when plotting.
    with pytest.raises(InvalidRequest, match="datasets x parameters x criteria = 2 x 2 x 2"):
        made(ValidationIterationScores(3, nested))


def test_labelled_scores_find_their_places():
    labels = ScoreLabels(("new", "a"), ("t_0.2", "t_0.1"), (Criterion("voi", False), Criterion("dice", True)))
    matrix = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
    scores = made(ValidationIterationScores(1, matrix, labels))
    expected = [[[8, 7], [6, 5]], [[NAN, NAN], [NAN, NAN]]]
    assert np.array_equal(scores.array[0], expected, equal_nan=True)


def test_united_labels_hold_both():
    labels = ScoreLabels(("c", "a"), ("t_9",), (Criterion("f1", True),))
    both = made().labels.united(labels)
    assert both.axes == (("a", "b", "c"), ("t_0.1", "t_0.2", "t_9"), ("dice", "voi", "f1"))
    assert both.shape == (3, 3, 3)


def test_best_goes_each_criterion_its_own_way():
    scores = made(of(10, 0.5, 2.0, 0.9, 3.0), of(20, 0.7, 1.0, NAN, 0.5))
    best = scores.best("a", "dice")
    assert (best.iteration, best.parameters, best.value) == (10, "t_0.2", 0.9)
    best = scores.best("a", "voi")
    assert (best.iteration, best.parameters, best.value) == (20, "t_0.2", 0.5)
    assert scores.best("b", "dice") is None
    assert made().best("a", "dice") is None


def test_of_equals_the_earliest_is_best():
    scores = made(of(20, 0.5, 1, 0.5, 1), of(10, 0.5, 1, 0.5, 1))
    assert (scores.best("a", "dice").iteration, scores.best("a", "dice").parameters) == (10, "t_0.1")


@pytest.mark.parametrize("higher", [True, False])
def test_an_infinity_is_a_value_and_nan_is_none(higher: bool):
    worst = -math.inf if higher else math.inf
    criterion = Criterion("score", higher)
    assert criterion.best_of(np.array([[NAN, worst], [NAN, NAN]])) == 1
    assert criterion.best_of(np.array([NAN, worst, 0.0, -worst])) == 3
    assert criterion.best_of(np.array([NAN, NAN])) is None


def test_unknown_labels_are_named():
    with pytest.raises(InvalidRequest, match="no dataset c among the scores; there are"):
        made().best("c", "dice")
    with pytest.raises(InvalidRequest, match="no criterion f1"):
        made().best("a", "f1")


def test_compare_says_who_is_ahead():
    scores = made(of(10, 1, 1, 1, 1))
    assert scores.compare([]) == (False, 0)
    assert scores.compare([of(10, 1, 1, 1, 1)]) == (False, 11)
    assert scores.compare([of(20, 1, 1, 1, 1), of(10, 1, 1, 1, 1)]) == (True, 21)


def test_subscores_keep_the_labels():
    scores = made(of(10, 1, 2, 3, 4), of(20, 5, 6, 7, 8))
    sub = scores.subscores(scores.scores[1:])
    assert sub.labels == scores.labels
    assert sub.iterations == [20]
    assert np.array_equal(sub.array[0], scores.array[1], equal_nan=True)


def test_to_xarray_is_labelled():
    array = made(of(20, 5, 6, 7, 8), of(10, 1, 2, 3, 4)).to_xarray()
    assert array.dims == ("iterations", "datasets", "parameters", "criteria")
    assert array.sel(iterations=20, datasets="a", parameters="t_0.2", criteria="voi").item() == 8
    assert made().to_xarray().shape == (0, 2, 2, 2)


def test_get_best_per_criterion_matches_a_plain_search():
    # B24: the direction of the first criterion was used for all.
    rng = np.random.default_rng(0)
    scores = made()
    for iteration in (5, 10, 15):
        values = rng.random((2, 2, 2))
        values[rng.random((2, 2, 2)) < 0.3] = NAN
        scores.add_iteration_scores(ValidationIterationScores(iteration, values.tolist()))
    data = scores.to_xarray()
    where, best = scores.get_best(data, "iterations")
    assert where.dims == best.dims == ("datasets", "parameters", "criteria")
    for dataset, parameters, criterion in itertools.product("ab", scores.parameter_names, scores.criteria):
        one = {"datasets": dataset, "parameters": parameters, "criteria": criterion}
        column = {i: v for i, v in zip((5, 10, 15), data.sel(**one).values, strict=True) if not math.isnan(v)}
        if not column:
            assert math.isnan(best.sel(**one).item())
            continue
        pick = max if criterion == "dice" else min
        assert best.sel(**one).item() == pick(column.values())
        assert where.sel(**one).item() == pick(column, key=column.__getitem__)


def test_get_best_takes_a_single_criterion_too():
    scores = made(of(10, 0.5, 2.0, 0.9, 3.0))
    data = scores.to_xarray().sel(datasets="a")
    where, best = scores.get_best(data.sel(criteria="voi"), "parameters")
    assert (where.item(), best.item()) == ("t_0.1", 2.0)
    where, best = scores.get_best(data, "parameters")
    assert where.sel(criteria="dice").item() == "t_0.2"


def test_get_best_needs_criteria_and_something_to_choose_from():
    data = made(of(10, 1, 1, 1, 1)).to_xarray()
    with pytest.raises(InvalidRequest, match="with the criteria"):
        made().get_best(data.sel(criteria="dice", drop=True), "iterations")
    with pytest.raises(ValueError, match="nothing along iterations"):
        made().get_best(made().to_xarray(), "iterations")


def test_parameter_sets_that_were_searched_join_the_labels() -> None:
    scores = ValidationScores([ThresholdPostProcessorParameters(0)], ["d"], Scores())
    scores.add_iteration_scores(ValidationIterationScores(1, [[[0.5, 3]]]))
    searched = ThresholdPostProcessorParameters(1, threshold=0.25)
    labels = ScoreLabels.of(["d"], [searched], Scores())
    scores.add_iteration_scores(ValidationIterationScores(2, [[[0.75, 4]]], labels))
    assert scores.parameter_names == ["threshold_0.0", "threshold_0.25"]
    np.testing.assert_array_equal(scores.array[:, 0, :, 0], [[0.5, NAN], [NAN, 0.75]])
    assert scores.best("d", "dice") == Best(2, searched, 0.75)
    assert scores.best("d", "voi") == Best(1, ThresholdPostProcessorParameters(0), 3)
    # What one iteration alone tried is not stored with the others.
    assert [len(record.parameters) for record in records_of(scores, [1, 2])] == [1, 2]
