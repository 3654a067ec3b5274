"""``dacapo best`` and ``dacapo stats``: what is known of a run.

What opens a store is imported inside the commands: the list of commands must not wait for numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dacapo.errors import InvalidRequest, NotFound, did_you_mean

from .commands import Verb, argument
from .tables import json_option, show

if TYPE_CHECKING:
    from dacapo.experiments.validation_scores import ValidationScores
    from dacapo.store.best import BestRecord
    from dacapo.store.config_store import ConfigStore
    from dacapo.store.envelopes import Envelope
    from dacapo.store.weights_store import WeightsStore

STATS_SHOWN = 10
SUMMARY = ("metric", "first", "last", "least", "largest", "mean", "measured")
SCORES_SHOWN = (
    "mean_dice",
    "mean_iou",
    "dice",
    "jaccard",
    "precision",
    "recall",
    "f1_score",
    "voi",
    "hausdorff",
    "mean_false_distance",
)


@click.command(cls=Verb)
@argument("run", "-r", "--run-name")
@click.option("--criterion", help="Only this score, such as mito__dice, or dice for that of every channel.")
@click.option("--dataset", help="Only this dataset.")
@click.option("--confusion", is_flag=True, help="Show which classes the best checkpoint confuses instead.")
@json_option
def best(run: str, criterion: str | None, dataset: str | None, confusion: bool, as_json: bool) -> None:
    """Show the best checkpoint and parameters for each dataset and score.

    That is by the scores that rank checkpoints; with --criterion by any other, too, of the
    checkpoints that are kept.  The confusion matrix of classes is that of the best by CRITERION, or by
    the first score: a row for each class of the truth, with its voxels by what they were said to be.
    """
    from dacapo.store.create_store import create_config_store, create_weights_store

    def chosen_of(records: list[BestRecord]) -> list[BestRecord]:
        return [
            record
            for record in records
            if dataset in (None, record.dataset)
            and criterion in (None, record.criterion, record.criterion.rpartition("__")[2])
        ]

    key, weights = _stored(create_config_store(), run), create_weights_store()
    records = weights.best(key)
    if not (chosen := chosen_of(records)):
        chosen = chosen_of(records := _best_by_scores(key, weights))
    if records and not chosen:
        names = {record.criterion for record in records}
        known = {*names, *(name.rpartition("__")[2] for name in names)}
        there = ", ".join(sorted({f"{record.criterion} on {record.dataset}" for record in records}))
        hint = f"it has {there}"
        if criterion not in {None, *known}:  # else it is the dataset
            hint = did_you_mean(criterion, known, hint)
        raise NotFound(f"run {run} has no best {criterion or 'score'}; {hint}")
    columns: tuple[str, ...] = ("dataset", "criterion", "iteration", "value", "parameters")
    rows: list[Sequence[Any]] = [
        (r.dataset, r.criterion, r.iteration, r.value, str(r.parameters)) for r in chosen
    ]
    if confusion and chosen:
        columns, rows = _confusion(key, chosen, first=criterion is None)
    show(columns, rows, as_json, nothing=f"run {run} has not been validated; see  dacapo validate --help")


@click.command(cls=Verb)
@argument("run", "-r", "--run-name")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    help=f"How many iterations to show.  [default: {STATS_SHOWN}; all with --json]",
)
@click.option("--summary", is_flag=True, help="Show least, largest and mean of each metric instead.")
@click.option(
    "--points",
    type=click.IntRange(min=1),
    help="With --summary: of so many stretches of iterations.  [default: 1]",
)
@json_option
def stats(run: str, last: int | None, summary: bool, points: int | None, as_json: bool) -> None:
    """Show loss and seconds of the newest iterations, or how each metric went.

    A summary is quick also for millions of iterations, since not all of them are read.
    """
    from dacapo.store.create_store import create_config_store, create_stats_store

    if last is not None if summary else points is not None:
        raise InvalidRequest("--points belongs to --summary, and --last does not; leave one of them out")
    nothing = f"run {run} has not been trained; train it with  dacapo train {run}"
    key, store = _stored(create_config_store(), run), create_stats_store()
    if summary:
        envelopes = store.retrieve_envelopes(key, points or 1)
        show(SUMMARY, _summary(envelopes), as_json, nothing=nothing)
        return
    found = store.retrieve_training_stats(key)
    count = last or (len(found) if as_json else STATS_SHOWN)
    begin = max(0, len(found) - count)
    columns = {"iteration": found.iterations[begin:].tolist()}
    columns |= {name: column[begin:].tolist() for name, column in found.columns.items()}
    rows = list(zip(*columns.values(), strict=True))
    show(
        tuple(columns),
        rows,
        as_json,
        nothing=nothing,
    )


def _best_by_scores(key: str, weights: WeightsStore) -> list[BestRecord]:
    """Return what is best by every score, recorded or not."""
    from dacapo.store.best import best_of
    from dacapo.store.create_store import create_stats_store

    scores, kept = create_stats_store().retrieve_validation_scores(key), weights.iterations(key)
    if scores.iterations and not kept:
        click.echo(f"none of these checkpoints is kept in {weights.backend!r}", err=True)
    return best_of(scores, kept or scores.iterations)


def _confusion(
    key: str, records: list[BestRecord], first: bool
) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    """Return the confusion matrices of records, or of those by the first criterion that ranks."""
    from dacapo.experiments.tasks.evaluators.scores import AS, confused_classes
    from dacapo.store.best import ranking_of
    from dacapo.store.create_store import create_stats_store

    scores = create_stats_store().retrieve_validation_scores(key)
    if not (classes := confused_classes(scores.criteria)):
        raise NotFound(f"run {key} has no confusion matrix: its task does not tell classes from each other")
    if first:
        names = [*ranking_of(scores), records[0].criterion]
        ranked = next(name for name in names if any(one.criterion == name for one in records))
        records = [one for one in records if one.criterion == ranked]
    rows: list[Sequence[Any]] = []
    for one in records:
        at = scores.dataset_names.index(one.dataset), scores.parameter_names.index(str(one.parameters))
        values = dict(
            zip(scores.criteria, scores.of_iteration(one.iteration).scores[at[0]][at[1]], strict=True)
        )
        for true in classes:
            counts = [values[f"{true}{AS}{said}"] for said in classes]
            rows.append((one.dataset, one.iteration, str(one.parameters), true, *map(_whole, counts)))
    return ("dataset", "iteration", "parameters", "truth", *(f"as {name}" for name in classes)), rows


def _whole(count: float) -> int | None:
    return None if math.isnan(count) else int(count)


def score_table(scores: ValidationScores, iteration: int) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    """Return columns and rows of the scores that people look at first, for one iteration.

    The channel is left out of the names where there is only one.
    """
    shown = [(at, *name.rpartition("__")) for at, name in enumerate(scores.criteria)]
    shown = [one for one in shown if one[3] in SCORES_SHOWN] or shown
    many = len({channel for _, channel, _, _ in shown}) > 1
    columns = tuple(f"{channel}{bar}{score}" if many else score for _, channel, bar, score in shown)
    values = scores.of_iteration(iteration).array(scores.labels)
    rows = [
        (dataset, parameters, *(float(values[d, p, at]) for at, *_ in shown))
        for d, dataset in enumerate(scores.labels.datasets)
        for p, parameters in enumerate(scores.parameter_names)
    ]
    return ("dataset", "parameters", *columns), list(rows)


def _summary(envelopes: dict[str, Envelope]) -> list[Sequence[Any]]:
    """Return a row for each metric and stretch."""
    fields = ("first", "last", "minimum", "maximum", "mean", "measured")
    return [
        (name, *values)
        for name, envelope in envelopes.items()
        for values in zip(*(getattr(envelope, field).tolist() for field in fields), strict=True)
    ]


def _stored(store: ConfigStore, run: str) -> str:
    """Return the key of a run that is stored; raises ``NotFound`` for others."""
    store.retrieve_document("runs", run)
    return store.find("runs", run)
