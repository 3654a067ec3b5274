"""The page of the scores lists all there are, as they are declared, and what they are where nothing is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.evaluators import (
    BinarySegmentationEvaluator,
    DummyEvaluator,
    Evaluator,
    InstanceEvaluator,
    OneHotEvaluator,
)
from dacapo.registry import registry

PAGE = (Path(__file__).parent.parent / "docs" / "scores.md").read_text()
EVALUATORS: dict[str, Evaluator] = {
    type(evaluator.score).__name__: evaluator
    for evaluator in (
        BinarySegmentationEvaluator(20, 8),
        OneHotEvaluator(["a", "b"], 20, 8),
        InstanceEvaluator(),
        DummyEvaluator(),
    )
}
OF_MANY = {"MultiChannelBinarySegmentationEvaluationScores"}  # called after those of one class


def rows(name: str) -> list[list[str]]:
    """Return the cells of the table in the section of a type."""
    section = re.search(rf"^## `{name}`$(.*?)(?=^## )", PAGE, flags=re.M | re.S)
    assert section, f"{name} has no section"
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| `.*", section[1], re.M)
    ]


def criteria(name: str) -> list[str]:
    """Return the criteria of a type; of two classes those of the first that it does not have for itself."""
    evaluator, single = EVALUATORS[name], EVALUATORS["BinarySegmentationEvaluationScores"].criteria
    if not getattr(evaluator, "channels", None):
        return evaluator.criteria
    shared = [criterion for criterion in evaluator.criteria if not criterion.startswith("b__")]
    return [criterion for criterion in shared if criterion.removeprefix("a__") not in single]


def test_every_offered_type_has_a_section():
    offered = {name for name in registry.names("evaluation_scores") if "." not in name}
    assert set(re.findall(r"^## `(\w+)`$", PAGE, flags=re.M)) == offered - OF_MANY == EVALUATORS.keys()
    assert all(name in PAGE for name in OF_MANY)


@pytest.mark.parametrize("name", EVALUATORS)
def test_the_page_lists_the_scores_as_they_are_declared(name: str) -> None:
    scores, table = EVALUATORS[name].score, rows(name)
    assert [row[0].strip("`") for row in table] == criteria(name)
    for criterion, (_, meaning, bounds, better, kept, *_) in zip(criteria(name), table, strict=True):
        assert meaning
        assert tuple(map(float, bounds.split(",")[0].split(" to "))) == scores.bounds(criterion)
        assert (better == "high") == scores.higher_is_better(criterion) and better in ("high", "low")
        assert (kept == "yes") == scores.store_best(criterion)


@pytest.mark.parametrize("name", EVALUATORS)
def test_scores_where_nothing_is_are_those_on_the_page(name: str) -> None:
    nothing, something = np.zeros((2, 4, 6, 8), np.uint8)
    something[1:3, 2:4, 2:4], something[0, 0, 0] = 1, 1
    pairs = (nothing, nothing), (nothing, something), (something, nothing)
    for column, (truth, test) in enumerate(pairs, 5):
        found = EVALUATORS[name].evaluate(NumpyArray(test, (4, 4, 4)), NumpyArray(truth, (4, 4, 4)))
        for row in rows(name):
            if row[column] != "*":
                np.testing.assert_equal(getattr(found, row[0].strip("`")), float(row[column]), str(row))
