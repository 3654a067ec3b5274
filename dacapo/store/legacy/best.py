"""Which checkpoints are best by the scores of a run, where nobody recorded it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dacapo.experiments.validation_scores import ValidationScores

from ..weights_store import BestRecord


def best_of(scores: ValidationScores, kept: Collection[int]) -> Iterator[BestRecord]:
    """Yield the best checkpoint for each dataset and criterion, if it is one of those that are kept."""
    for dataset in scores.labels.datasets:
        for criterion in scores.criteria:
            best = scores.best(dataset, criterion)
            if best is not None and best.iteration in kept:
                yield BestRecord(dataset, criterion, best.iteration, best.value, best.parameters)
