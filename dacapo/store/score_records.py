"""Validation scores as the labelled records that stores keep, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from dacapo.experiments.score_labels import ScoreLabels
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores

from .backend import ScoresRecord
from .parameter_sets import read_criterion, read_parameters, write_criterion, write_parameters


def records_of(scores: ValidationScores, iterations: Iterable[int]) -> Iterator[ScoresRecord]:
    """Yield a record for each iteration and dataset, without parameter sets that only others tried."""
    labels, own = scores.labels, len(scores.parameters)
    parameters = [write_parameters(one) for one in labels.parameters]
    criteria = [write_criterion(one) for one in labels.criteria]
    for iteration in iterations:
        values = scores.of_iteration(iteration).array(labels)
        for dataset, matrix in zip(labels.datasets, values, strict=True):
            tried = [i for i, row in enumerate(matrix) if i < own or not np.isnan(row).all()]
            if len(tried) < len(parameters):
                chosen = [parameters[i] for i in tried]
                yield ScoresRecord(iteration, dataset, chosen, criteria, matrix[tried])
                continue
            yield ScoresRecord(iteration, dataset, parameters, criteria, matrix)


def scores_of(records: Iterable[ScoresRecord]) -> ValidationScores:
    """Return the scores of records; their labels are those of all records together."""
    by_iteration: dict[int, list[ScoresRecord]] = {}
    for record in records:
        by_iteration.setdefault(record.iteration, []).append(record)
    known: dict[str, ScoreLabels] = {}
    labels = ScoreLabels((), (), ())
    parts: dict[int, list[ValidationIterationScores]] = {}
    for iteration in sorted(by_iteration):
        for record in by_iteration[iteration]:
            own = _labels_of(record, known)
            labels = labels.united(own)
            part = ValidationIterationScores(iteration, [record.values.tolist()], own)
            parts.setdefault(iteration, []).append(part)
    scores = ValidationScores.labelled(labels)
    for iteration, pieces in parts.items():
        arrays = [piece.array(labels) for piece in pieces]
        # Each piece has the rows of one dataset, and NaN in those of the others.
        merged = np.where(np.isnan(arrays[0]), np.nan, arrays[0])
        for array in arrays[1:]:
            merged = np.where(np.isnan(array), merged, array)
        scores.add_iteration_scores(ValidationIterationScores(iteration, merged.tolist(), labels))
    return scores


def holds(stored: ScoresRecord | None, new: ScoresRecord) -> bool:
    """Say whether every number of a record is already stored under its labels."""
    if stored is None:
        return False
    known = dict(_numbers(stored))
    return all(math.isnan(value) or known.get(label) == value for label, value in _numbers(new))


def _numbers(record: ScoresRecord) -> Iterator[tuple[tuple[str, str], float]]:
    for parameters, row in zip(record.parameters, record.values.tolist(), strict=True):
        for criterion, value in zip(record.criteria, row, strict=True):
            yield (parameters["words"], criterion["name"]), value


def _labels_of(record: ScoresRecord, known: dict[str, ScoreLabels]) -> ScoreLabels:
    """Read the labels of a record, once for all records that have the same."""
    key = repr((record.dataset, record.parameters, record.criteria))
    if key not in known:
        parameters = tuple(read_parameters(one) for one in record.parameters)
        criteria = tuple(read_criterion(one) for one in record.criteria)
        known[key] = ScoreLabels((record.dataset,), parameters, criteria)
    return known[key]
