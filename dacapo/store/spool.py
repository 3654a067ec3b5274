"""What a run could not bring to its stores: kept in files of its own until the next training brings it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Self

import numpy as np

from dacapo.errors import NotFound
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.names import Repeated, RunKey, run_key

from .backend import Epoch
from .files import FileBackend
from .publication import move_tree, remove_if_empty, remove_tree
from .stats_store import StatsStore
from .weights_store import Weights, WeightsStore

logger = logging.getLogger(__name__)

FOLDER = "undelivered"
_NOTES, _NOTE = "undelivered", "note"


class Spool:
    """The stats, scores and newest checkpoint of one run, in ``<runs_base_dir>/<run>/undelivered``.

    They are written as a file store writes them, checksummed and forced to disk; a note comes last,
    and without it there is nothing to deliver.
    """

    def __init__(self, base: Path | str, run: str | Repeated) -> None:
        self.run = run_key(run)
        self.folder = Path(base).expanduser() / self.run / FOLDER
        self._backend = FileBackend(self.folder)

    @classmethod
    def of_key(cls, base: Path | str, key: str) -> Self:
        """Return what is kept of a run that is given by its exact key, which may be one in the trash."""
        return cls(base, RunKey(key))

    def __bool__(self) -> bool:
        return self._backend.get(_NOTES, _NOTE) is not None

    def write(
        self,
        epoch: Epoch,
        stats: TrainingStats,
        scores: ValidationScores | None,
        checkpoint: tuple[int, Weights] | None,
    ) -> None:
        """Keep everything that the run has, in place of what was kept before.

        ``epoch`` is that which the run was trained under.
        """
        self.remove()
        there = StatsStore(self._backend)
        there.store_training_stats(self.run, stats)
        if scores is not None and scores.scores:
            there.store_validation_iteration_scores(self.run, scores)
        if checkpoint is not None:
            WeightsStore(self._backend).store_weights(self.run, *checkpoint)
        note = {"run": str(self.run), "epoch": epoch.number, "start": epoch.start}
        self._backend.put(_NOTES, _NOTE, note, replace=True)

    def deliver(self, stats_store: StatsStore, weights_store: WeightsStore) -> bool:
        """Bring all of it to the stores, stats first, and forget it; return whether there was anything.

        It may be repeated after it was interrupted.  If the run has gone on elsewhere meanwhile,
        what is kept does not belong to it any more: then it is put aside, with a warning.
        """
        note = self._backend.get(_NOTES, _NOTE)
        if note is None:
            return False
        here = StatsStore(self._backend)
        stats = here.retrieve_training_stats(self.run)
        if not self._belongs(stats_store, note["epoch"], note["start"], stats):
            self._put_aside()
            return False
        stats_store.store_training_stats(self.run, stats)
        scores = here.retrieve_validation_scores(self.run)
        if scores.scores:
            stats_store.store_validation_iteration_scores(self.run, scores)
        iterations = self._deliver_checkpoints(weights_store)
        logger.warning(
            "run %s: stats up to iteration %d%s, which had waited in %s, are delivered",
            self.run, stats.trained_until(), iterations, self.folder,
        )  # fmt: skip
        self.remove()
        return True

    def move(self, new: str) -> None:
        """Give what is kept to another key; done again after an interruption, it goes on where it was."""
        other = Spool.of_key(self.folder.parent.parent, new)
        # Beside stores in files the folder of the run has moved already, and this one in it.
        if move_tree(self.folder, other.folder):
            remove_if_empty(self.folder.parent)
        there = other._backend
        if (note := there.get(_NOTES, _NOTE)) is None or note["run"] == new:
            return
        there.move_run(self.run, new)
        there.put(_NOTES, _NOTE, note | {"run": str(new)}, replace=True)

    def remove(self) -> bool:
        """Forget what is kept; return False if there is nothing."""
        removed = remove_tree(self.folder)
        remove_if_empty(self.folder.parent)
        return removed

    def _belongs(self, stats_store: StatsStore, number: int, start: int, stats: TrainingStats) -> bool:
        """Say whether what the store has is the beginning of these stats, in the same life of the run."""
        if (number, start) not in {(epoch.number, epoch.start) for epoch in stats_store.epochs(self.run)}:
            return False
        stored = stats_store.retrieve_training_stats(self.run)
        count = len(stored)
        return np.array_equal(stored.iterations, stats.iterations[:count]) and all(
            np.array_equal(stored.columns[name], stats.columns[name][:count], equal_nan=True)
            for name in ("loss", "time")
        )

    def _deliver_checkpoints(self, weights_store: WeightsStore) -> str:
        here = WeightsStore(self._backend)
        told = ""
        for iteration in here.iterations(self.run):
            try:
                weights = here.retrieve_weights(self.run, iteration)
            except NotFound:
                continue
            if not weights_store.is_whole(self.run, iteration):
                weights_store.store_weights(self.run, iteration, weights)
            told = f" and the checkpoint of iteration {iteration}"
        return told

    def _put_aside(self) -> None:
        names = (self.folder.with_name(f"superseded-{number}") for number in range(10**6))
        aside = next(path for path in names if not path.exists())
        move_tree(self.folder, aside)
        logger.warning(
            "run %s has gone on elsewhere, or was begun anew, since %s was written: that is not delivered; "
            "it is kept in %s, delete it when you do not need it",
            self.run, self.folder, aside,
        )  # fmt: skip
