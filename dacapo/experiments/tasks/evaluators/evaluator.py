"""What every evaluator offers: scores of a segmentation, and a memory of the best ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import attrs
from funlib.geometry import Roi

from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .scores import Bounds, EvaluationScores
from .slabs import slabs


@attrs.frozen
class BestScore:
    """The best value of a criterion so far, and the iteration that reached it."""

    iteration: int
    value: float


class Evaluator(ABC):
    """Compares segmentations with the truth."""

    # How many voxels ``slabs`` leaves to be read at a time: a few hundred megabytes.
    slab_voxels: int = 2**25

    def __init__(self) -> None:
        self.best_scores: dict[tuple[str, Any, str], BestScore] = {}

    @abstractmethod
    def evaluate(self, output: Array, truth: Array, mask: Array | None = None) -> EvaluationScores:
        """Score a segmentation over its own region, which the truth must cover.

        With a mask only voxels above 0 exist: all others belong neither to what is found nor to
        what is missed, nor does any distance lead to them.
        """

    def slabs(self, output: Array) -> list[Roi]:
        """Cut an output that may not fit in memory into regions to read, and count in, one by one."""
        return slabs(output, self.slab_voxels)

    @property
    @abstractmethod
    def score(self) -> EvaluationScores:
        """An empty set of the scores that ``evaluate`` returns."""

    @property
    def criteria(self) -> list[str]:
        """The names of the scores."""
        return self.score.criteria

    def higher_is_better(self, criterion: str) -> bool:
        """Say whether larger values are better; raises ``InvalidRequest`` for an unknown criterion."""
        return self.score.higher_is_better(criterion)

    def bounds(self, criterion: str) -> Bounds:
        """Return the least and the greatest value a criterion can have."""
        return self.score.bounds(criterion)

    def store_best(self, criterion: str) -> bool:
        """Say whether the checkpoint that is best by a criterion deserves to be kept."""
        return self.score.store_best(criterion)

    def compare(self, score: float, other: float | None, criterion: str) -> bool:
        """Say whether a value is better than another; NaN is better than nothing, nothing is worse."""
        if math.isnan(score):
            return False
        if other is None or math.isnan(other):
            return True
        return score > other if self.higher_is_better(criterion) else score < other

    def is_best(self, dataset: Any, parameters: Any, criterion: str, scores: EvaluationScores) -> bool:
        """Say whether scores beat all those remembered for dataset, parameters and criterion."""
        best = self.best_scores.get((_name(dataset), parameters, criterion))
        return self.compare(getattr(scores, criterion), best.value if best else None, criterion)

    def set_best(self, validation_scores: Any) -> None:
        """Remember the best of all ``ValidationScores``; values that are NaN change nothing."""
        self.best_scores = {}
        for scores in validation_scores.scores:
            for dataset, row in zip(validation_scores.datasets, scores.scores, strict=True):
                for parameters, values in zip(validation_scores.parameters, row, strict=True):
                    for criterion, value in zip(validation_scores.criteria, values, strict=True):
                        key = _name(dataset), parameters, criterion
                        best = self.best_scores.get(key)
                        if self.compare(value, best.value if best else None, criterion):
                            self.best_scores[key] = BestScore(scores.iteration, value)

    def get_overall_best(self, dataset: Any, criterion: str) -> float | None:
        """Return the best value remembered over all parameter sets; None if there is none."""
        found = self._overall_best(dataset, criterion)
        return found[1].value if found else None

    def get_overall_best_parameters(self, dataset: Any, criterion: str) -> Any:
        """Return the parameter set that reached the overall best; None if there is none."""
        found = self._overall_best(dataset, criterion)
        return found[0] if found else None

    def _overall_best(self, dataset: Any, criterion: str) -> tuple[Any, BestScore] | None:
        overall: tuple[Any, BestScore] | None = None
        for (name, parameters, which), best in self.best_scores.items():
            if (name, which) == (_name(dataset), criterion) and self.compare(
                best.value, overall[1].value if overall else None, criterion
            ):
                overall = parameters, best
        return overall


def _name(dataset: Any) -> str:
    return str(getattr(dataset, "name", dataset))
