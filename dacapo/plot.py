"""Pictures of how runs went: losses as they fell, validation scores as they rose, or fell.

Only numbers are read, so it works for whoever may only look, and for what earlier versions stored.
Matplotlib comes with the extra ``plot``, and is imported when something is drawn.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidRequest, MissingPlugin, NotFound, did_you_mean
from .names import RunKey
from .store.create_store import create_config_store, create_stats_store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .experiments.score_labels import Criterion
    from .experiments.validation_scores import ValidationScores
    from .store.envelopes import Envelope

logger = logging.getLogger(__name__)

POINTS = 1000  # of a loss: more than a screen can show
USUAL_SCORES = ("f1_score", "voi")  # the first of them that a run has is shown if none is asked for
WIDTH, HEIGHT = 9.0, 3.4  # of a panel, in inches
COLOURS, LINES = 10, ("-", "--", ":", "-.")
Scores = Sequence[str | None] | str | None  # one for all runs, or one for each
Flags = Sequence[bool | None] | bool | None


@attrs.frozen(eq=False)
class ScoreCurve:
    """The best value of a criterion on a dataset in each validated iteration, of all parameter sets."""

    criterion: str
    dataset: str
    higher_is_better: bool
    iterations: NDArray[np.int64]
    values: NDArray[np.float64]

    @property
    def score(self) -> str:
        """The criterion without its channel."""
        return self.criterion.rpartition("__")[2]

    @property
    def best(self) -> int:
        """The position of the best value."""
        return int(np.nanargmax(self.values) if self.higher_is_better else np.nanargmin(self.values))


class RunInfo(NamedTuple):
    """What is drawn of a run: its loss in stretches, or None, and a curve for each score and dataset."""

    name: str
    loss: Envelope | None
    scores: list[ScoreCurve]


def plot_runs(
    run_config_base_names: Sequence[str] | str,
    smooth: int = 100,
    validation_scores: Scores = None,
    higher_is_betters: Flags = None,
    plot_losses: Flags = None,
    *,
    dataset: str | None = None,
) -> Figure:
    """Draw losses and validation scores of runs with matplotlib, and return the figure.

    A bare name stands for all repetitions of a run.  Losses are averaged over ``smooth``
    iterations.  Scores, directions and whether to draw the loss are given for all runs or as a list
    with one for each; a score is a criterion (``mito__f1_score``) or that of every channel
    (``f1_score``), and whether more of it is better is recorded with it unless it is said here.
    Raises ``NotFound`` if there is nothing to draw, and ``MissingPlugin`` without matplotlib.
    """
    infos = get_runs_info(
        run_config_base_names, validation_scores, plot_losses, higher_is_betters, dataset=dataset
    )
    pyplot = _matplotlib("pyplot")
    made: Figure = pyplot.figure()
    draw(infos, made, smooth)
    if getattr(made.canvas, "required_interactive_framework", None):  # there is a screen
        pyplot.show()
    return made


def bokeh_plot_runs(*arguments: Any, **options: Any) -> NoReturn:
    """Say what to use instead: pages by Bokeh are not made."""
    raise InvalidRequest(
        "plots by Bokeh are not there; use  dacapo.plot.plot_runs, which takes the same arguments and draws "
        "with matplotlib, or  dacapo plot RUN --output runs.svg"
    )


def get_runs_info(
    run_config_base_names: Sequence[str] | str,
    validation_score_names: Scores = None,
    plot_losses: Flags = None,
    higher_is_betters: Flags = None,
    *,
    dataset: str | None = None,
) -> list[RunInfo]:
    """Return what ``plot_runs`` draws of each run, read from the stores."""
    names = [run_config_base_names] if isinstance(run_config_base_names, str) else list(run_config_base_names)
    asked = zip(
        names,
        _per_run(validation_score_names, names, "validation scores"),
        _per_run(plot_losses, names, "plot_losses"),
        _per_run(higher_is_betters, names, "higher_is_betters"),
        strict=True,
    )
    configs, stats = create_config_store(), create_stats_store()
    infos, missing = [], []
    for name, score, with_loss, higher in asked:
        for key in configs.repetitions(name):
            loss = stats.retrieve_envelope(key, "loss", POINTS) if with_loss in (None, True) else None
            curves: list[ScoreCurve] = []
            try:
                curves = _curves(key, stats.retrieve_validation_scores(key), score, dataset, higher)
            except NotFound as error:
                missing.append(error)
            infos.append(RunInfo(key, loss, curves))
    if missing and not any(one.scores for one in infos):
        raise missing[0]
    for reason in missing:
        logger.warning("%s", reason)
    return infos


def draw(infos: Sequence[RunInfo], figure: Figure, smooth: int = 100) -> None:
    """Draw runs into an empty figure: a panel of losses and one for each score."""
    infos = list({one.name: one for one in infos}.values())
    scores = dict.fromkeys(curve.score for one in infos for curve in one.scores)
    with_loss = any(one.loss for one in infos)
    panels = with_loss + len(scores)
    if not panels:
        names = ", ".join(one.name for one in infos) or "no run"
        raise NotFound(f"there is nothing to draw of {names}: train a run with  dacapo train RUN")
    figure.set_size_inches(WIDTH, HEIGHT * panels)
    figure.set_layout_engine("constrained")
    axes: list[Axes] = list(np.atleast_1d(figure.subplots(panels, 1, sharex=True)))
    if with_loss:
        _draw_losses(axes[0], infos, smooth)
    for panel, score in zip(axes[with_loss:], scores, strict=True):
        _draw_scores(panel, infos, score)
    axes[-1].set_xlabel("iteration")
    for panel in axes:
        panel.grid(alpha=0.25)
        # Beside the curves, so that it hides none of them.
        legend = panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small", frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)


def smooth_values(a: ArrayLike, n: int, stride: int = 1) -> NDArray[np.float64]:
    """Return the mean of ``n`` values around every ``stride``-th, fewer at the ends; NaN does not count."""
    values = np.asarray(a, np.float64)
    there = ~np.isnan(values)
    totals, counts = (
        np.concatenate([[0.0], np.cumsum(column)]) for column in (np.where(there, values, 0.0), there)
    )
    at = np.arange(len(values))
    begin, end = np.maximum(at - n // 2, 0), np.minimum(at + (n + 1) // 2, len(values))
    count = counts[end] - counts[begin]
    means = np.full(len(values), np.nan)
    np.divide(totals[end] - totals[begin], count, out=means, where=count > 0)
    return means[::stride]


def figure() -> Figure:
    """Return an empty figure that needs no screen; raises ``MissingPlugin`` without matplotlib."""
    made: Figure = _matplotlib("figure").Figure()
    return made


def _matplotlib(module: str) -> Any:
    # Imported here: it comes with an extra, and takes its time.
    import importlib

    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise MissingPlugin(
            "plots need matplotlib; install it with  pip install 'dacapo[plot]'", kind="commands", name="plot"
        ) from error


def _per_run(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """Return what was given for each of the runs."""
    if given is None or isinstance(given, str | bool):
        return [given] * len(names)
    found = list(given)
    if len(found) != len(names):
        raise InvalidRequest(
            f"{what}: {len(found)} were given for {len(names)} runs; give one for each, or one for all"
        )
    return found


def _curves(
    run: RunKey, scores: ValidationScores, score: str | None, dataset: str | None, higher: bool | None
) -> list[ScoreCurve]:
    """Return the curves of a score on each dataset; raises ``NotFound`` where there are none."""
    if not scores.iterations:
        return []
    criteria, datasets = scores.labels.criteria, scores.labels.datasets
    meant = [(at, one) for at, one in enumerate(criteria) if _is_meant(one, score or _usual(criteria))]
    where = [(at, name) for at, name in enumerate(datasets) if dataset in (None, name)]
    for asked, found, known in ((f"by {score}", meant, scores.criteria), (f"on {dataset}", where, datasets)):
        if not found:
            hint = did_you_mean(asked[3:], known, f"there are {', '.join(sorted(known))}", most=3)
            raise NotFound(f"run {run} has no scores {asked}; {hint}")
    values = scores.array
    return [
        curve
        for at, criterion in meant
        for place, name in where
        if (curve := _curve(scores.iterations, values[:, place, :, at], criterion, name, higher)) is not None
    ]


def _curve(
    iterations: list[int],
    values: NDArray[np.float64],
    criterion: Criterion,
    dataset: str,
    higher: bool | None,
) -> ScoreCurve | None:
    higher = criterion.higher_is_better if higher is None else higher
    if not values.shape[1]:
        return None
    best = (np.fmax if higher else np.fmin).reduce(values, axis=1)
    there = ~np.isnan(best)
    if not there.any():
        return None
    return ScoreCurve(criterion.name, dataset, higher, np.array(iterations)[there], best[there])


def _is_meant(criterion: Criterion, score: str) -> bool:
    return score in (criterion.name, criterion.name.rpartition("__")[2])


def _usual(criteria: Sequence[Criterion]) -> str:
    """Return the score to show if none is asked for."""
    found = (one for one in USUAL_SCORES if any(_is_meant(criterion, one) for criterion in criteria))
    return next(found, criteria[0].name if criteria else "")


def _draw_losses(panel: Axes, infos: Sequence[RunInfo], smooth: int) -> None:
    """Draw losses: the mean of some iterations as a line, all values within a band."""
    positive = True
    for at, one in enumerate(infos):
        if one.loss is None or not len(one.loss):
            continue
        loss, colour = one.loss, f"C{at % COLOURS}"
        middle = (loss.first + loss.last) / 2
        width = (loss.last[-1] - loss.first[0] + 1) / len(loss)
        panel.fill_between(middle, loss.minimum, loss.maximum, color=colour, alpha=0.15, linewidth=0)
        panel.plot(middle, loss.mean, color=colour, alpha=0.3, linewidth=0.7)
        mean = smooth_values(loss.mean, max(1, round(smooth / width)))
        panel.plot(middle, mean, color=colour, linewidth=1.6, label=_label(one.name))
        positive = positive and not bool((loss.minimum <= 0).any())
    if positive:
        panel.set_yscale("log")
    panel.set_ylabel("loss")


def _draw_scores(panel: Axes, infos: Sequence[RunInfo], score: str) -> None:
    """Draw one score of all runs, the best value of each curve marked and named."""
    shown = [(at, curve) for at, one in enumerate(infos) for curve in one.scores if curve.score == score]
    sorts = list(dict.fromkeys((curve.criterion, curve.dataset) for _, curve in shown))
    for at, curve in shown:
        label = _label(" ".join([infos[at].name, *_named(curve, sorts)]))
        best, colour = curve.best, f"C{at % COLOURS}"
        value, iteration = curve.values[best], curve.iterations[best]
        line = LINES[sorts.index((curve.criterion, curve.dataset)) % len(LINES)]
        panel.plot(
            curve.iterations,
            curve.values,
            line,
            color=colour,
            marker=".",
            label=f"{label}: best {value:.3g} at {iteration}",
        )
        panel.plot(iteration, value, "*", color=colour, markersize=13, markeredgecolor="black")
    directions = {curve.higher_is_better for _, curve in shown}
    better = " or ".join("higher is better" if one else "lower is better" for one in sorted(directions))
    panel.set_ylabel(f"{score}\n({better})", parse_math=False)


def _label(text: str) -> str:
    """Return a text that legends show: what begins with an underscore they leave out."""
    return f" {text}" if text.startswith("_") else text


def _named(curve: ScoreCurve, sorts: Sequence[tuple[str, str]]) -> list[str]:
    """Return what tells a curve from others of its run."""
    channel = curve.criterion.rpartition("__")[0]
    parts = []
    if len({criterion for criterion, _ in sorts}) > 1 and channel:
        parts.append(channel)
    if len({dataset for _, dataset in sorts}) > 1:
        parts.append(f"on {curve.dataset}")
    return parts
