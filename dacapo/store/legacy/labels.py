"""What the scores of earlier versions mean: they were stored as bare numbers.

Their order is that in which the task of the run enumerated parameter sets and criteria then.
What does not fit that is numbered, and no value is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dacapo.config import build
from dacapo.documents import TYPE, Document, documents
from dacapo.errors import DacapoError
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.registry import import_target

from ..backend import ScoresRecord
from ..parameter_sets import StoredParameters, write_criterion, write_parameters
from .old_data import Scores

logger = logging.getLogger(__name__)

_EVALUATORS = "dacapo.experiments.tasks.evaluators.scores"
_PARAMETERS = "dacapo.experiments.tasks.post_processors.parameters"
_BY_CHANNEL = ("DistanceTaskConfig", "HotDistanceTaskConfig", "InnerDistanceTaskConfig")
_BY_DUMMY = ("OneHotTaskConfig", "DummyTaskConfig")


def records_of(scores: Iterable[Scores], run: Document) -> Iterator[ScoresRecord]:
    """Yield a labelled record for each iteration and dataset, with the labels of a run's document."""
    every = [(iteration, _rectangular(values)) for iteration, values in scores]
    if not every:
        return
    counts = np.max([array.shape for _, array in every], axis=0)
    task = run.get("task_config")
    task = task if isinstance(task, dict) else {}
    datasets = _numbered(_dataset_names(run), int(counts[0]), "dataset")
    parameters = [write_parameters(one) for one in _parameters(task, int(counts[1]))]
    criteria = [write_criterion(one) for one in _criteria(task, int(counts[2]))]
    for iteration, array in every:
        values = np.full(tuple(counts), np.nan)
        values[tuple(slice(size) for size in array.shape)] = array
        for dataset, matrix in zip(datasets, values, strict=True):
            yield ScoresRecord(iteration, dataset, parameters, criteria, matrix)


def _rectangular(values: Any) -> NDArray[np.float64]:
    """Return nested lists as an array, filled up with NaN: an evaluation that failed left a short row."""
    rows = [[list(row) for row in dataset] for dataset in values]
    lengths = [len(row) for dataset in rows for row in dataset]
    shape = len(rows), max(map(len, rows), default=0), max(lengths, default=0)
    array = np.full(shape, np.nan)
    for d, dataset in enumerate(rows):
        for p, row in enumerate(dataset):
            array[d, p, : len(row)] = row
    return array


def _numbered(names: Sequence[str], count: int, what: str) -> list[str]:
    """Return so many different names: those given, and numbers for what is left."""
    found: list[str] = []
    for position in range(count):
        name = names[position] if position < len(names) else f"{what} {position}"
        twice = found.count(name) or sum(other.startswith(f"{name} (") for other in found)
        found.append(f"{name} ({twice + 1})" if name in found else name)
    return found


def _dataset_names(run: Document) -> list[str]:
    """Return the names of the validation datasets; those found by a search take the files."""
    datasplit = run.get("datasplit_config")
    if not isinstance(datasplit, dict):
        return []
    if isinstance(configs := datasplit.get("validate_configs"), list):
        return [str(one.get("name")) if isinstance(one, dict) else str(one) for one in configs]
    try:
        cls = import_target("dacapo.experiments.datasplits.configs:DataSplitConfig")
        return [str(dataset.name) for dataset in build(documents.read(datasplit, cls)).validate]
    except (DacapoError, OSError) as error:
        logger.info("the validation datasets of run %s cannot be named: %s", run.get("name"), error)
        return []


def _parameters(task: Document, count: int) -> list[Any]:
    found = _enumerated_then(task)
    if len(found) != count:
        found = list(_task_now(task).parameters) if _task_now(task) else []
    if len(found) != count:
        found = [StoredParameters(f"parameters_{position}") for position in range(count)]
    return found


def _enumerated_then(task: Document) -> list[Any]:
    """Return the parameter sets that the post-processor of a task enumerated in earlier versions."""
    kind = task.get(TYPE)
    if kind in _BY_CHANNEL:
        return [import_target(f"{_PARAMETERS}:ThresholdPostProcessorParameters")(1, threshold=127)]
    if kind == "OneHotTaskConfig":
        return [import_target(f"{_PARAMETERS}:ArgmaxPostProcessorParameters")(1)]
    if kind == "DummyTaskConfig":
        cls = import_target(f"{_PARAMETERS}:DummyPostProcessorParameters")
        return [cls(position, min_size=position + 1) for position in range(10)]
    if kind == "AffinitiesTaskConfig":
        return [_watershed(position, bias) for position, bias in enumerate((0.1, 0.25, 0.5, 0.75, 0.9))]
    if kind == "PretrainedTaskConfig" and isinstance(task.get("sub_task_config"), dict):
        return _enumerated_then(task["sub_task_config"])
    return []


def _watershed(position: int, bias: float) -> StoredParameters:
    document = {TYPE: "WatershedPostProcessorParameters", "id": position, "bias": bias}
    return StoredParameters(f"bias_{bias}", document)


def _criteria(task: Document, count: int) -> list[Criterion]:
    found = _scored_then(task)
    if len(found) != count and (now := _task_now(task)):
        found = list(ScoreLabels.of((), (), now.evaluation_scores).criteria)
    if len(found) != count:
        found = [Criterion(f"score_{position}", True) for position in range(count)]
    return found


def _scored_then(task: Document) -> list[Criterion]:
    """Return the criteria of the evaluator that a task had in earlier versions, in their order."""
    kind = task.get(TYPE)
    if kind in _BY_CHANNEL:
        single = import_target(f"{_EVALUATORS}:BinarySegmentationEvaluationScores")
        several = import_target(f"{_EVALUATORS}:MultiChannelBinarySegmentationEvaluationScores")
        channels = [(str(channel), single()) for channel in task.get("channels") or ()]
        return list(ScoreLabels.of((), (), several(channel_scores=channels)).criteria)
    if kind in _BY_DUMMY:
        return list(ScoreLabels.of((), (), import_target(f"{_EVALUATORS}:DummyEvaluationScores")()).criteria)
    if kind == "AffinitiesTaskConfig":
        names = ("voi_split", "voi_merge", "voi")
        return [Criterion(name, False, (0.0, None), store_best=True) for name in names]
    if kind == "PretrainedTaskConfig" and isinstance(task.get("sub_task_config"), dict):
        return _scored_then(task["sub_task_config"])
    return []


def _task_now(task: Document) -> Any:
    """Return the task as it is today, or None where it cannot be made."""
    try:
        return build(documents.read(task, import_target("dacapo.experiments.tasks.configs:TaskConfig")))
    except DacapoError:
        return None
