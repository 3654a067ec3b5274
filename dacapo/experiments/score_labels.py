"""What the numbers of a validation mean: labels that are stored with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from dacapo.errors import InvalidRequest

Bounds = tuple[float | None, float | None]


@attrs.frozen
class Criterion:
    """One score by name, and how to read it: which direction is better, what it can be."""

    name: str
    higher_is_better: bool
    bounds: Bounds = attrs.field(default=(None, None), eq=False)
    store_best: bool = attrs.field(default=False, eq=False)

    def best_of(self, values: NDArray[np.float64]) -> int | None:
        """Return the flat position of the best value; NaN never wins."""
        known = np.flatnonzero(~np.isnan(values))
        if not len(known):
            return None
        ranked = values.ravel()[known]  # an infinity is a value, and nanargmax takes NaN for one
        return int(known[ranked.argmax() if self.higher_is_better else ranked.argmin()])


@attrs.frozen
class ScoreLabels:
    """What the three axes of scores mean: datasets, post-processing parameters, criteria."""

    datasets: tuple[str, ...]
    parameters: tuple[Any, ...]
    criteria: tuple[Criterion, ...]

    def __attrs_post_init__(self) -> None:
        for what, texts in zip(("datasets", "parameter sets", "criteria"), self.axes, strict=True):
            if twice := sorted({text for text in texts if texts.count(text) > 1}):
                raise InvalidRequest(
                    f"two of the {what} are called {twice[0]}, so that their scores could not be told "
                    "apart; rename one of them"
                )

    @classmethod
    def of(cls, datasets: Iterable[Any], parameters: Iterable[Any], evaluation_scores: Any) -> ScoreLabels:
        """Take the labels from datasets (or names), parameter sets and evaluation scores."""
        scores = evaluation_scores
        criteria = (
            Criterion(
                criterion,
                bool(scores.higher_is_better(criterion)),
                _plain_bounds(scores.bounds(criterion)),
                bool(scores.store_best(criterion)),
            )
            for criterion in getattr(scores, "criteria", ())
        )
        names = (getattr(dataset, "name", None) or str(dataset) for dataset in datasets)
        return cls(tuple(names), tuple(parameters), tuple(criteria))

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The parameter sets in words."""
        return tuple(map(str, self.parameters))

    @property
    def shape(self) -> tuple[int, int, int]:
        """How long the three axes are."""
        return len(self.datasets), len(self.parameters), len(self.criteria)

    @property
    def axes(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The labels of the three axes as texts."""
        return self.datasets, self.parameter_names, tuple(c.name for c in self.criteria)

    def united(self, other: ScoreLabels) -> ScoreLabels:
        """Return labels that hold both: these first, then what only the other has."""
        mine = self.axes
        news = (
            tuple(label for label, text in zip(labels, texts, strict=True) if text not in mine[axis])
            for axis, (labels, texts) in enumerate(
                zip((other.datasets, other.parameters, other.criteria), other.axes, strict=True)
            )
        )
        datasets, parameters, criteria = news
        return ScoreLabels(self.datasets + datasets, self.parameters + parameters, self.criteria + criteria)

    def places(self, other: ScoreLabels) -> tuple[list[list[int]], list[list[int]]]:
        """Return, for each axis, where the labels in common are in ``other`` and where here."""
        theirs, mine = [], []
        for texts, own in zip(other.axes, self.axes, strict=True):
            both = [text for text in own if text in texts]
            theirs.append([texts.index(text) for text in both])
            mine.append([own.index(text) for text in both])
        return theirs, mine


class Directions:
    """What evaluation scores know of their criteria, from labels alone."""

    def __init__(self, criteria: Sequence[Criterion]) -> None:
        self.criteria = [criterion.name for criterion in criteria]
        self._criteria = {criterion.name: criterion for criterion in criteria}

    def higher_is_better(self, criterion: str) -> bool:
        return self._criteria[criterion].higher_is_better

    def bounds(self, criterion: str) -> Bounds:
        return self._criteria[criterion].bounds

    def store_best(self, criterion: str) -> bool:
        return self._criteria[criterion].store_best


def _plain_bounds(bounds: Any) -> Bounds:
    """Return bounds as plain numbers; None where there is no bound."""
    low, high = (None if b is None or not np.isfinite(b) else float(b) for b in bounds)
    return low, high
