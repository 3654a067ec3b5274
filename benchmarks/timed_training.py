"""Training for so many minutes, and scores that nothing was chosen by."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

import dacapo
from dacapo.errors import Stopped
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import TaskConfig
from dacapo.experiments.validation_scores import Best, ValidationScores
from dacapo.store.create_store import create_config_store, create_stats_store


@contextmanager
def stop_after(minutes: float) -> Iterator[None]:
    """Stop the training inside at a checkpoint, as a cluster would, once the time is over."""
    timer = threading.Timer(minutes * 60, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        with suppress(Stopped):
            yield
    finally:
        timer.cancel()


@attrs.frozen
class Trained:
    """A run that was trained for a while, and what it was given."""

    run: Run
    scores: ValidationScores

    @property
    def iterations(self) -> int:
        """How many iterations were trained."""
        return len(create_stats_store().retrieve_training_stats(self.run).columns["loss"])

    @property
    def minutes(self) -> float:
        """How long was trained, validations left out."""
        stats = create_stats_store().retrieve_training_stats(self.run)
        return float(stats.columns["time"].sum()) / 60

    def chosen(self, dataset: str, criterion: str) -> Best:
        """Return the best on a dataset."""
        best = self.scores.best(dataset, criterion) if self.scores.iterations else None
        if best is None:
            raise SystemExit(f"{self.run.name}: nothing was validated in that time; give it more  --minutes")
        return best

    def value(self, dataset: str, criterion: str, choice: Best) -> float:
        """Return what a choice, made by looking at another dataset, scores on this one."""
        labels = self.scores.labels
        return float(
            self.scores.array[
                self.scores.iterations.index(choice.iteration),
                labels.datasets.index(dataset),
                labels.parameters.index(choice.parameters),
                self.scores.criteria.index(criterion),
            ]
        )


def train(config: RunConfig, results: Path, minutes: float) -> Trained:
    """Train for some minutes, validations included, and return the run and its scores."""
    os.environ["DACAPO_RUNS_BASE_DIR"] = str(results)
    os.environ["DACAPO_TYPE"] = "files"
    create_config_store().store_run_config(config)
    run = Run(config)
    with stop_after(minutes):
        dacapo.train_run(run)
    return Trained(run, create_stats_store().retrieve_validation_scores(run))


def options_parser(description: str | None, minutes: float) -> argparse.ArgumentParser:
    """Return what a benchmark of several tasks asks of its command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", action="append", default=[], help="only this one; may be given again")
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    return parser


def measure_each(
    tasks: Sequence[TaskConfig], chosen: Sequence[str], measure: Callable[[TaskConfig], dict[str, str]]
) -> list[dict[str, str]]:
    """Measure all tasks, or those chosen by name, and print the row of each as it ends."""
    from benchmarks.__main__ import table

    rows = []
    for task in tasks:
        if not chosen or task.name in chosen:
            rows.append(measure(task))
            print(table(rows[-1:]), flush=True)
    return rows
