"""Which checkpoints of a run are best: what a record of it says, and what follows from the scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from typing import Any

import attrs

from dacapo.experiments.validation_scores import ValidationScores

BEST = "best"


@attrs.frozen
class BestRecord:
    """Which checkpoint of a run is best by one criterion on one dataset, and with what."""

    dataset: str
    criterion: str
    iteration: int
    value: float | None = None
    parameters: Any = None

    @property
    def name(self) -> str:
        """Dataset and criterion, as people write them."""
        return f"{self.dataset}/{self.criterion}"


def best_of(
    scores: ValidationScores, kept: Collection[int], wanted: Callable[[str, str], bool] = lambda *_: True
) -> list[BestRecord]:
    """Return what is best of the checkpoints that are kept, for each dataset and criterion with a value.

    Only those are looked at that are ``wanted``.
    """
    found = (
        (dataset, criterion, scores.best(dataset, criterion, kept))
        for dataset, criterion in itertools.product(scores.labels.datasets, scores.criteria)
        if wanted(dataset, criterion)
    )
    return [
        BestRecord(dataset, criterion, best.iteration, best.value, best.parameters)
        for dataset, criterion, best in found
        if best is not None
    ]


def ranking_of(scores: ValidationScores) -> list[str]:
    """Return the criteria that rank checkpoints, the first first: those whose best is to be kept."""
    return [criterion.name for criterion in scores.labels.criteria if criterion.store_best]


def meant_by(choice: str, records: Iterable[BestRecord], ranking: Iterable[str] = ()) -> set[int]:
    """Return the iterations that a text means among records.

    It is ``best <dataset>/<criterion>``, where ``best`` may be left out, a criterion alone, or
    ``best``: by the first criterion of a ranking that has a record.
    """
    records = list(records)
    if choice == BEST:
        ranked = (one.iteration for name in ranking for one in records if one.criterion == name)
        return set(itertools.islice(ranked, 1))
    meant = {choice, choice.removeprefix(f"{BEST} ")}
    return {one.iteration for one in records if meant & {one.name, one.criterion}}
