"""The report of a run in one HTML file: curves, scores, pictures, and how to get there again."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from dacapo.errors import InvalidRequest
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import Best, ValidationScores
from dacapo.plot import smooth_values

from .charts import Curve, chart
from .page import cards, facts, folded, page, section, table
from .pictures import FALSE, HIT, MISSED, TRUTH, compared, data_uri, diverging, grey, tinted

PICTURED_SLICES = 4


@attrs.frozen(kw_only=True)
class Report:
    """All that a report tells; ``criterion`` is the score that decides what is best."""

    title: str
    lead: str
    stats: TrainingStats
    scores: ValidationScores
    dataset: str
    criterion: str
    columns: Sequence[str]
    raw: NDArray[Any]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    segmentation: NDArray[Any]
    config: str
    seconds: dict[str, float]
    versions: dict[str, str]

    @property
    def best(self) -> Best:
        """The checkpoint and the parameters that score best."""
        best = self.scores.best(self.dataset, self.criterion)
        if best is None:
            raise InvalidRequest(
                f"no validation of {self.dataset} gave a {self.criterion}; train for longer before a report"
            )
        return best

    def write(self, path: Path) -> None:
        """Write the report as one HTML file."""
        sections = (self._headline(), self._curves(), self._thresholds(), self._slices(), self._origin())
        path.write_text(page(self.title, self.lead, sections), encoding="utf-8")

    def _headline(self) -> str:
        training = float(self.stats.columns["time"].sum())  # of every session: a demo may be gone on with
        speed = len(self.stats) / training if training else 0.0
        return cards(
            [
                (f"best {_short(self.criterion)} on {self.dataset}", f"{self.best.value:.3f}"),
                (f"best checkpoint, of {self.stats.trained_until()} iterations", str(self.best.iteration)),
                ("best post-processing", str(self.best.parameters)),
                (f"of training, {speed:.1f} iterations a second", _duration(training)),
            ]
        )

    def _curves(self) -> str:
        iterations, losses = self.stats.iterations.tolist(), self.stats.columns["loss"].tolist()
        mean = smooth_values(losses, max(3, len(losses) // 20)).tolist()
        loss = chart(
            [Curve("", iterations, losses, "faint"), Curve("running mean", iterations, mean)],
            "iteration",
            "loss",
            logarithmic=min(losses, default=0) > 0,
        )
        shown = self.columns[:3]
        styles = ("first", "second", "third")
        validation = chart(
            [
                Curve(_short(name), self.scores.iterations, self._best_of_each(name), style, dots=True)
                for name, style in zip(shown, styles, strict=False)
            ],
            "iteration",
            "best over all thresholds",
        )
        return section(
            "How it learned",
            f'<div class="two"><div class="panel">{loss}</div><div class="panel">{validation}</div></div>',
            lead="Left the loss of every step, right the scores of each validation on data never trained on.",
        )

    def _best_of_each(self, criterion: str) -> list[float]:
        """Return, for each validated iteration, the best value over all parameter sets."""
        values = self._values(criterion)
        higher = next(c.higher_is_better for c in self.scores.labels.criteria if c.name == criterion)
        filled = np.where(np.isnan(values), -np.inf if higher else np.inf, values)
        best = filled.max(axis=1) if higher else filled.min(axis=1)
        return [float(value) if np.isfinite(value) else float("nan") for value in best]

    def _values(self, criterion: str) -> NDArray[np.float64]:
        """Return one criterion on the dataset: iterations x parameter sets."""
        dataset = self.scores.labels.datasets.index(self.dataset)
        return np.asarray(self.scores.array[:, dataset, :, self.scores.criteria.index(criterion)])

    def _thresholds(self) -> str:
        at = self.scores.iterations.index(self.best.iteration)
        names = self.scores.parameter_names
        rows: list[list[str | float]] = [
            [name, *(float(self._values(criterion)[at, i]) for criterion in self.columns)]
            for i, name in enumerate(names)
        ]
        over_time: list[list[str | float]] = [
            [str(iteration), *self._values(self.criterion)[j].tolist()]
            for j, iteration in enumerate(self.scores.iterations)
        ]
        return section(
            "Scores per threshold",
            table(
                ["parameters", *map(_short, self.columns)], rows, best=names.index(str(self.best.parameters))
            ),
            f"<p>{escape(_short(self.criterion))} of every threshold at every validation:</p>",
            table(["iteration", *names], over_time, best=at, shaded=True),
            lead=f"Iteration {self.best.iteration}, the best checkpoint, under every set of parameters.",
        )

    def _slices(self) -> str:
        cells = ["<div>raw</div><div>ground truth</div><div>prediction</div><div>segmentation</div>"]
        for z in _telling_slices(self.truth, PICTURED_SLICES):
            raw = grey(self.raw[z])
            pictures = {
                f"raw, section {z}": raw,
                f"ground truth, section {z}": tinted(raw, self.truth[z] > 0, TRUTH),
                f"prediction, section {z}": diverging(self.prediction[z]),
                f"segmentation, section {z}": compared(raw, self.segmentation[z], self.truth[z]),
            }
            cells += [
                f'<img alt="{alt}" title="{alt}" src="{data_uri(image)}">' for alt, image in pictures.items()
            ]
        key = "".join(
            f'<i style="background:rgb{color}"></i>{word}'
            for word, color in (("hit", HIT), ("false alarm", FALSE), ("missed", MISSED))
        )
        return section(
            "What it sees",
            f'<div class="panel"><div class="slices">{"".join(cells)}</div></div><p class="key">{key}</p>',
            lead="Held-out sections. The prediction is how deep inside (red) or far outside (blue) one is.",
        )

    def _origin(self) -> str:
        times = [(step, _duration(seconds)) for step, seconds in self.seconds.items()]
        return section(
            "Where it comes from",
            f'<div class="two">{facts(times)}{facts(list(self.versions.items()))}</div><br>',
            folded("the whole run config", self.config),
        )


def _telling_slices(truth: NDArray[Any], count: int) -> list[int]:
    """Return some sections, far apart, that have much to show."""
    foreground = (truth > 0).reshape(len(truth), -1).sum(axis=1)
    blocks = np.array_split(np.arange(len(truth)), min(count, len(truth)))
    return [int(block[foreground[block].argmax()]) for block in blocks]


def _short(criterion: str) -> str:
    """Return a criterion as people say it: without the channel, which is one and the same here."""
    return criterion.rpartition("__")[2].replace("_", " ")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
