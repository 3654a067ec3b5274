"""Standings made from scores: kept up while scores are stored, and made anew where that may have failed.

They are written after the scores they are made of, never instead: whoever is killed in between, or
cannot write, leaves standings that are not good enough.  Those of an earlier epoch than the run's newest
may be too good, which is told when they are read (see ``top``).  Both are mended when the run goes
on, and by ``dacapo store check --repair``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import attrs
import numpy as np

from dacapo.errors import CorruptData, DacapoError

from . import history
from .backend import ScoresRecord, StoreBackend
from .history import Records
from .standings import Standing

logger = logging.getLogger(__name__)


class Best:
    """What is best among the records of a run, kept up as records are added."""

    def __init__(self, run: str, records: Records) -> None:
        self.run = run
        self._best: dict[tuple[str, str], Standing] = {}
        self._changed: set[tuple[str, str]] | None = None  # all of it, until it was kept once
        self._epoch: int | None = None
        self._count(records)

    def add(self, record: ScoresRecord, records: Records) -> None:
        """Take in a record, as yet another or in place of one of ``records``, among which it then is."""
        label = record.iteration, record.dataset
        replaced = records.get(label)
        records[label] = record
        held = [one for one in self._best.values() if (one.iteration, one.dataset) == label]
        if replaced is not None and held:
            self._best.clear()
            self._changed = None
            self._count(records)
        else:
            self._take(record)

    def keep(self, backend: StoreBackend, epoch: int) -> None:
        """Write what has changed, if anything has; never fails, since the next time makes up for it."""
        changed = self._changed if epoch == self._epoch else None
        if changed is not None and not changed:
            return
        standings = self.standings(epoch)
        news = None if changed is None else [one for one in standings if _label(one) in changed]
        try:
            backend.rank(self.run, epoch, standings, news)
        except DacapoError as error:
            logger.warning(
                "run %s: its scores are stored, but not yet compared with those of other runs: %s",
                self.run,
                error,
            )
            return
        self._changed, self._epoch = set(), epoch

    def standings(self, epoch: int) -> list[Standing]:
        """Return what is best, as an epoch knows it."""
        return [attrs.evolve(one, epoch=epoch) for one in self._best.values()]

    def _count(self, records: Records) -> None:
        for _, record in sorted(records.items(), key=lambda item: item[0]):
            self._take(record)

    def _take(self, record: ScoresRecord) -> None:
        for one in _standings_in(self.run, record):
            label = _label(one)
            if label not in self._best or one.rank < self._best[label].rank:
                self._best[label] = one
                if self._changed is not None:
                    self._changed.add(label)


def made(backend: StoreBackend, run: str) -> list[Standing]:
    """Return the standings of a run by the scores that count now, without keeping them."""
    newest = backend.newest_epoch(run)
    return [] if newest is None else Best(run, history.scores(backend, run)).standings(newest)


def renew(backend: StoreBackend, run: str) -> None:
    """Make the standings of a run anew.

    Somebody may store scores meanwhile: then it is done again, so that theirs are not forgotten.
    """
    while True:
        standings, newest = made(backend, run), backend.newest_epoch(run)
        if standings and newest is not None:
            if not backend.rank(run, newest, standings):
                # They are of an epoch that is gone, or that began just now: then they are made once more.
                backend.unrank(run)
                backend.rank(run, newest, standings)
        else:
            backend.unrank(run)
        if made(backend, run) == standings:
            return


def epoch_began(backend: StoreBackend, run: str, epoch: int) -> None:
    """Keep what is left of the standings of a run after an epoch has cut its scores; never fails."""
    try:
        Best(run, history.scores(backend, run)).keep(backend, epoch)
    except DacapoError as error:
        logger.info("run %s: it is not compared anew with other runs: %s", run, error)


def move(backend: StoreBackend, run: str, new: str) -> None:
    """Give the standings of a run to another key; done again after an interruption, it goes on."""
    if standings := backend.standings(run):
        epoch = max(one.epoch for one in standings)
        backend.rank(new, epoch, [attrs.evolve(one, run=str(new)) for one in standings])
    backend.unrank(run)


def complete(backend: StoreBackend) -> int:
    """Make the standings of all runs that have none, such as earlier versions stored; return how many."""
    missing = list(unranked(backend))
    for run in missing:
        renew(backend, run)
    return len(missing)


def unranked(backend: StoreBackend, *, deep: bool = False) -> Iterator[str]:
    """Yield the runs whose standings are missing; ``deep`` those too whose standings are wrong."""
    ranked, logged = set(backend.ranked_runs()), backend.logged_runs()
    yield from sorted(ranked - set(logged))
    for run in logged:
        if (deep or run not in ranked) and not is_right(backend, run):
            yield run


def is_right(backend: StoreBackend, run: str) -> bool:
    """Say whether the standings that are kept of a run are those that its scores make.

    Of scores that cannot be read nothing better can be made.
    """
    try:
        right = made(backend, run)
    except CorruptData:
        return True
    try:
        kept = backend.standings(run)
    except CorruptData:
        return False
    return sorted(kept, key=_label) == sorted(right, key=_label)


def _label(one: Standing) -> tuple[str, str]:
    return one.dataset, one.criterion


def _standings_in(run: str, record: ScoresRecord) -> Iterator[Standing]:
    """Yield the best value of each criterion in a record; NaN is none."""
    words = [str(one.get("words")) for one in record.parameters]
    for criterion, column in zip(record.criteria, record.values.T, strict=True):
        measured = np.flatnonzero(~np.isnan(column))
        if not len(measured) or "higher_is_better" not in criterion:
            continue
        values = column[measured]
        at = int(values.argmax() if criterion["higher_is_better"] else values.argmin())
        yield Standing(
            str(run),
            record.dataset,
            criterion["name"],
            float(values[at]),
            record.iteration,
            words[measured[at]],
            bool(criterion["higher_is_better"]),
        )
