"""Validating a run: predict, segment under every parameter set, score, and remember the best."""

from __future__ import annotations

import copy
import logging
import math
import statistics
from typing import TYPE_CHECKING, Any

from .compute_context import create_compute_context
from .config import build
from .errors import InvalidArray, InvalidLabels, InvalidRequest
from .progress import Progress
from .search import Search, space_of, within
from .store.array_store import LocalArrayIdentifier
from .store.create_store import (
    create_array_store,
    create_config_store,
    create_stats_store,
    create_weights_store,
    take_lease,
)

if TYPE_CHECKING:
    from .experiments.datasplits.datasets import Dataset
    from .experiments.datasplits.datasets.arrays.array import Array
    from .experiments.run import Run
    from .experiments.tasks.post_processors import PostProcessorParameters
    from .experiments.validation_scores import ValidationIterationScores, ValidationScores
    from .store.lease import Lease
    from .store.stats_store import StatsStore
    from .store.weights_store import WeightsStore

    # A parameter set, and on each dataset its score by each criterion.
    _Column = tuple[PostProcessorParameters, list[list[float]]]

logger = logging.getLogger(__name__)


def validate(run_name: str, iteration: int | str = 0, datasets_config: Any = None, **options: Any) -> Any:
    """Validate a checkpoint of the stored run of that name and return its scores.

    ``iteration`` is named as for ``predict``; 0 without a checkpoint is the untrained network.
    ``datasets_config`` is a datasplit config whose validation datasets are used instead of the
    run's own.  With ``search`` it goes on from the parameter sets of the task, see
    ``validate_run``.  Raises ``NotFound`` for an unknown run or checkpoint.
    """
    # Imported here, as in all verbs: importing DaCapo should not wait for what a run needs.
    from .experiments.run import Run

    run = Run(create_config_store().retrieve_run_config(run_name))
    run.ready("validate")
    with take_lease(run, "validate") as lease:
        weights_store = create_weights_store()
        run.load_starter_model = str(iteration) == "0" and weights_store.latest_iteration(run) is None
        number = 0
        if not run.load_starter_model:
            number = weights_store.iteration_by(run, str(iteration))
            run.load_weights(weights_store.retrieve_weights(run, number))
        stats_store = create_stats_store()
        run.training_stats = stats_store.retrieve_training_stats(run)
        run.validation_scores.scores = list(stats_store.retrieve_validation_iteration_scores(run))
        return validate_run(run, number, datasets_config, lease=lease, **options)


def validate_run(
    run: Run,
    iteration: int,
    datasets_config: Any = None,
    *,
    device: str | None = None,
    keep_all: bool = False,
    search: Search | None = None,
    lease: Lease | None = None,
) -> ValidationIterationScores:
    """Validate the weights that the run holds now as those of ``iteration``, and store the scores.

    Every parameter set of the task is tried on one and the same prediction.  Predictions and
    segmentations go to the run's validation container; those of earlier iterations that are the
    best of nothing are removed unless ``keep_all`` is given.  A ``search`` tries more sets, whose
    scores are stored like those of the others; of their segmentations only the best is kept.  Sets
    that the run's scores of this iteration hold already are not tried again by a search.  Raises
    ``InvalidRequest`` if there is nothing to validate on, and without a ``lease`` ``LeaseHeld`` if
    somebody else has the run.
    """
    from .experiments.score_labels import ScoreLabels  # see validate
    from .experiments.validation_scores import ValidationIterationScores

    datasets = (build(datasets_config) if datasets_config is not None else run.datasplit).validate
    if not datasets:
        raise InvalidRequest(
            f"run {run.key}: datasplit {run.config.datasplit_config.name!r} has no validation datasets; "
            "add some"
        )
    if lease is None:
        with take_lease(run, "validate") as lease:
            return validate_run(
                run, iteration, datasets_config, device=device, keep_all=keep_all, search=search, lease=lease
            )
    if search is not None:
        _make_sure_of(search, run)  # before anything is predicted
    device = device or str(create_compute_context().device)
    run.model.to(device)
    lease.check()
    trials = [_Trials(run, iteration, dataset, device) for dataset in datasets]
    if search is None:
        tried = list(run.task.parameters)
        rows = [one.of_all(tried) for one in trials]
    else:
        before = _scored_before(run.validation_scores, iteration) if datasets_config is None else []
        tried, rows = _searched(run, trials, search, before)
    labels = ScoreLabels.of(datasets, tried, run.task.evaluation_scores)
    scores = ValidationIterationScores(iteration, rows, labels)
    if datasets_config is not None:
        return scores  # other datasets than the run's own: their scores would mix up its labels
    run.validation_scores.add_iteration_scores(scores)
    stats_store, weights_store = _stores_under(lease)
    stats_store.store_validation_iteration_scores(run, run.validation_scores)
    weights_store.record_best(run, run.validation_scores)
    if not keep_all:
        _forget_arrays(run, iteration, weights_store)
    return scores


def _stores_under(lease: Lease) -> tuple[StatsStore, WeightsStore]:
    """Open the stores to write to under a lease; one that has not begun cuts nothing."""
    stats_store, weights_store = create_stats_store(), create_weights_store()
    if lease.begun is None:
        weights_store.begin_at_the_end(lease)
    stats_store.write_under(lease)
    weights_store.write_under(lease)
    return stats_store, weights_store


class _Trials:
    """A dataset with its prediction, on which parameter sets are tried."""

    def __init__(self, run: Run, iteration: int, dataset: Dataset, device: str) -> None:
        self.run, self.iteration, self.dataset = run, iteration, dataset
        self.truth, self.prediction = _predicted(run, iteration, dataset, device)
        # A copy each, so that each holds what parameter sets share of its own prediction.
        self.post_processor = copy.copy(run.task.post_processor)

    def of_all(self, sets: list[PostProcessorParameters]) -> list[list[float]]:
        """Return, for each parameter set, the score of each criterion."""
        try:
            return [self.of(one) for one in sets]
        finally:
            self.post_processor.release()

    def of(self, parameters: PostProcessorParameters, keep: bool = True) -> list[float]:
        """Return the scores of a parameter set; its segmentation is written, or forgotten."""
        if self.post_processor.prediction is None:
            self.post_processor.set_prediction(self.prediction)
        where = None
        if keep:
            where = create_array_store().validation_output_array(
                self.run.key, self.iteration, parameters, self.dataset
            )
        output = self.post_processor.process(parameters, where)
        try:
            scores = self.run.task.evaluator.evaluate(output, self.truth, self.dataset.mask)
        except InvalidLabels as error:
            raise InvalidLabels(f"validation dataset {self.dataset.name!r}: {error}") from error
        return [float(getattr(scores, criterion)) for criterion in self.run.validation_scores.criteria]


def _make_sure_of(search: Search, run: Run) -> None:
    """Raise what would stop a search."""
    space_of(run.task.parameters)
    if search.criterion not in run.validation_scores.criteria:
        raise InvalidRequest(
            f"run {run.key}: there is no score {search.criterion!r} to search by; choose from "
            f"{', '.join(run.validation_scores.criteria)}"
        )


def _scored_before(scores: ValidationScores, iteration: int) -> list[_Column]:
    """Return the parameter sets that have scores on every dataset already."""
    if iteration not in scores.iterations:
        return []
    columns = zip(*scores.of_iteration(iteration).scores, strict=True)
    return [
        (one, list(rows))
        for one, rows in zip(scores.labels.parameters, columns, strict=True)
        if not any(all(map(math.isnan, row)) for row in rows)
    ]


def _searched(
    run: Run, trials: list[_Trials], search: Search, before: list[_Column]
) -> tuple[list[PostProcessorParameters], list[list[list[float]]]]:
    """Return the parameter sets that a search tried, now or before, and their scores on each dataset."""
    grid = list(run.task.parameters)
    higher_is_better = run.task.evaluator.higher_is_better(search.criterion)
    at = run.validation_scores.criteria.index(search.criterion)
    columns = {str(one): rows for one, rows in before}
    news = [one for one in grid if str(one) not in columns]
    of_each = [one.of_all(news) for one in trials]
    columns |= {str(one): [rows[i] for rows in of_each] for i, one in enumerate(news)}
    order = list(range(len(trials)))

    def score(parameters: PostProcessorParameters, keep: bool = False) -> float:
        if keep or str(parameters) not in columns:
            found: list[list[float]] = [[]] * len(trials)
            for i in order:
                found[i] = trials[i].of(parameters, keep)
                if i != order[-1]:
                    trials[i].post_processor.release()
            order.reverse()  # one volume is held at a time, and the next set begins with it
            columns[str(parameters)] = found
        return _mean([row[at] for row in columns[str(parameters)]])

    try:
        tried = list(search.over([*grid, *within(grid, [one for one, _ in before])], score, higher_is_better))
        known = [one for one in tried if not math.isnan(score(one))]
        best = max(known, key=lambda one: score(one) if higher_is_better else -score(one), default=None)
        if best is not None and best not in news:
            score(best, keep=True)
    finally:
        for one in trials:
            one.post_processor.release()
    return tried, [[columns[str(one)][i] for one in tried] for i in range(len(trials))]


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan


def _predicted(run: Run, iteration: int, dataset: Dataset, device: str) -> tuple[Array, Array]:
    """Return the ground truth of a dataset, and the prediction of it, in the run's container."""
    # Imported here: the verbs are imported by everyone, torch and zarr only by who computes.
    from .predict_local import predict

    truth = dataset.gt
    if truth is None:
        raise InvalidRequest(
            f"run {run.key}: validation dataset {dataset.name!r} has no ground truth; give it gt_config"
        )
    output_voxel_size = run.model.scale(dataset.raw.voxel_size)
    if truth.voxel_size != output_voxel_size:
        raise InvalidArray(
            f"validation dataset {dataset.name!r}: its ground truth has voxel size "
            f"{tuple(truth.voxel_size)}, the prediction {tuple(output_voxel_size)}; bring it there "
            "with a ResampledArrayConfig"
        )
    where = create_array_store().validation_prediction_array(run.key, iteration, dataset)
    prediction = _new_array(where, truth, run.model.num_out_channels, "float32")
    with Progress(f"validating {run.key} at {iteration} on {dataset.name}", 1, unit="tile") as progress:

        def show(done: int, total: int) -> None:
            progress.total = total
            progress.to(done)

        predict(run.model, dataset.raw, prediction, truth.roi, device=device, progress=show)
    return truth, prediction


def _new_array(where: LocalArrayIdentifier, like: Array, channels: int, dtype: str) -> Array:
    from .experiments.datasplits.datasets.arrays.zarr_array import create_zarr  # imports tensorstore

    created: Array = create_zarr(
        where.container,
        where.dataset,
        shape=(channels, *like.spatial_shape),
        dtype=dtype,
        voxel_size=like.voxel_size,
        offset=like.offset,
        axis_names=["c^", *like.axis_names[-like.dims :]],
        units=like.units,
        overwrite=True,
    )
    return created


def _forget_arrays(run: Run, iteration: int, weights_store: WeightsStore) -> None:
    """Remove the arrays of earlier validations that are not the best of anything."""
    arrays = create_array_store()
    spared = {iteration} | {record.iteration for record in weights_store.best(run)}
    for earlier in run.validation_scores.scores:
        if earlier.iteration not in spared:
            arrays.remove_validation(run.key, earlier.iteration)
