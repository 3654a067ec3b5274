"""Where the numbers of runs are kept: training stats and validation scores."""

from __future__ import annotations

import weakref
from collections.abc import Collection
from typing import Any

import attrs
import numpy as np

from dacapo.errors import LeaseLost, StoreError, StoreUnreachable
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.names import Repeated, find_run, run_key

from . import history, ranking, top
from .backend import Block, Epoch, ScoresRecord, StoreBackend
from .blocks import before, joined
from .compaction import Compaction, merge
from .envelopes import Envelope, Rows, envelopes_of, is_fine, read_rows, rows_of, sample_of
from .history import Records
from .lease import Lease, begin_unheld, make_sure_that_nobody_holds
from .listing import Query
from .ranking import Best
from .score_records import holds, records_of, scores_of
from .standings import Standing

SAMPLE = 1000
LONG = 100_000  # iterations that are worth looking at previews for
LARGEST = 2**20  # numbers in a block: 8 MB, which every backend can keep in one piece


@attrs.define
class _Writing:
    """Where this store appends the stats of one run."""

    epoch: int | None = None
    sequence: int = 0
    until: int = 0
    last: TrainingIterationStats | None = None


@attrs.define
class _Seen:
    """The object that was read or stored last for a run, and how far its changes are known."""

    ref: weakref.ref[Any]
    mark: int

    def mark_of(self, thing: object) -> int | None:
        return self.mark if self.ref() is thing else None


@attrs.define
class _SeenScores(_Seen):
    """The scores that were stored last for a run, what is stored, and what is best of it."""

    records: Records
    best: Best


# By place and run, for the whole process: training and validation store the same scores, each
# through a store of its own.
_scores_seen: dict[tuple[str, str], _SeenScores] = {}


class StatsStore:
    """Keeps training stats and validation scores, appending only what is new.

    Runs are given by their config, as a ``Run``, or by a text: ``name`` or ``name:repetition``.
    When reading, a bare name finds its only repetition; when writing it means repetition 0.
    """

    def __init__(self, backend: StoreBackend) -> None:
        self.backend = backend
        self._writing: dict[str, _Writing] = {}
        self._doubtful: set[str] = set()  # runs with an append that may have been done or not
        self._stats: dict[str, _Seen] = {}
        self._compaction = Compaction(backend)
        self._leases: dict[str, Lease] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backend!r})"

    def _find(self, run: str | Repeated) -> str:
        return find_run(run, self.backend.logged_runs)

    # epochs

    def write_under(self, lease: Lease) -> None:
        """Write the numbers of a run under a lease from now on; ``LeaseLost`` once it is lost."""
        self._leases[lease.run] = lease
        self._writing.pop(lease.run, None)

    def begin_epoch(self, run: str | Repeated, start: int, checkpoint: str | None = None) -> int:
        """Go on training from an iteration, as the only writer; return the epoch's number.

        What earlier epochs wrote at or after ``start``, or will still write, is no longer read,
        but it is not erased either; ``checkpoint`` is that at ``start``, see ``Lease.begin``.
        Without a lease, raises ``LeaseHeld`` if somebody else has the run.
        """
        key = run_key(run)
        newest = self.backend.newest_epoch(key)
        if lease := self._leases.get(key):
            number = lease.begin(start, checkpoint)
        else:
            number = begin_unheld(self.backend, key, start, checkpoint)
        self._writing[key] = self._end(key)
        if newest is not None:
            merge(self.backend, key, newest)
        # Scores that the epoch has cut have to be stored again, even if they come out the same.
        _scores_seen.pop((self.backend.place, key), None)
        return number

    def epochs(self, run: str | Repeated) -> list[Epoch]:
        """Return the epochs of a run, oldest first."""
        return self.backend.epochs(self._find(run))

    # training stats

    def store_training_stats(self, run: str | Repeated, stats: TrainingStats) -> None:
        """Append the iterations that are not stored yet.

        If iterations were taken back from ``stats`` (``delete_after``), a new epoch begins there.
        Raises ``StoreError`` if another process has gone on with the run, or if these stats are
        not a continuation of what is stored.
        """
        key = run_key(run)
        writing = self._ready_to_write(key, stats)
        iterations, columns = stats.since(writing.until)
        if not len(iterations):
            return
        if writing.epoch is None:
            writing.epoch = self._first_epoch(key)
        size = LARGEST // (len(columns) + 1)
        for begin in range(0, len(iterations), size):
            these = slice(begin, begin + size)
            piece = {name: column[these] for name, column in columns.items()}
            block = Block(writing.sequence, iterations[these], piece)
            try:
                self.backend.append_block(key, writing.epoch, block)
            except StoreUnreachable:
                self._doubtful.add(key)
                raise
            until = int(block.iterations[-1]) + 1
            writing = _Writing(writing.epoch, writing.sequence + 1, until, stats.at(until - 1))
            self._writing[key] = writing
            self._compaction.appended(key, int(writing.epoch or 0), block)

    def compact(self, run: str | Repeated) -> int:
        """Merge small appends of the newest epoch, which reads faster; return how many there were.

        Storing does so from time to time, and ``begin_epoch`` for the epoch before.  It may be done
        at any time, also while somebody reads or writes.
        """
        key = run_key(run)
        newest = self.backend.newest_epoch(key)
        return 0 if newest is None else merge(self.backend, key, newest)

    def retrieve_training_stats(self, run: str | Repeated, subsample: bool | int = False) -> TrainingStats:
        """Return the stats of a run, none for an unknown one.

        With ``subsample`` about 1000 of them (or as many as it says), evenly spread, and the last;
        of a long run not all are read then.
        """
        key = self._find(run)
        if subsample:
            return self._sample(key, SAMPLE if subsample is True else int(subsample))
        stats = self._merged(key)
        self._stats[key] = _Seen(weakref.ref(stats), stats.cut_since(0)[0])
        return stats

    def retrieve_last_training_stats(self, run: str | Repeated) -> TrainingIterationStats | None:
        """Return the stats of the last iteration, without reading the others where that is possible."""
        key = self._find(run)
        end = self._end(key)
        return end.last if end.last or not end.until else self._merged(key).last

    def retrieve_envelope(
        self, run: str | Repeated, metric: str = "loss", points: int = SAMPLE
    ) -> Envelope | None:
        """Return how a metric went in at most ``points`` stretches: least, largest and mean value of each.

        Of a long run only previews are read, kept beside every block.  None if the run never
        measured it.
        """
        return self._envelopes(self._find(run), points, metric).get(metric)

    def retrieve_envelopes(self, run: str | Repeated, points: int = SAMPLE) -> dict[str, Envelope]:
        """Return the envelope of every metric by its name; see ``retrieve_envelope``."""
        return self._envelopes(self._find(run), points, None)

    def _envelopes(self, key: str, points: int, metric: str | None) -> dict[str, Envelope]:
        rows = self._rows(key, metric)
        if rows is None or not is_fine(rows, points):
            rows = rows_of(self._merged(key))
        return envelopes_of(rows, points)

    def _sample(self, key: str, count: int) -> TrainingStats:
        rows, last = self._rows(key, None), self._end(key).last
        if rows is None or last is None or not is_fine(rows, 4 * count) or last.iteration < LONG:
            return _sampled(self._merged(key), count)
        sample = sample_of(rows, count)
        sample.add_iteration_stats(last)
        return sample

    def _rows(self, key: str, metric: str | None) -> Rows | None:
        parts = history.parts(self.backend.epochs(key))
        limits = [(part.number, part.stats) for part in parts if part.stats != 0]
        return read_rows(self.backend, key, limits, metric)

    def delete_training_stats(self, run: str | Repeated) -> bool:
        """Erase the stats of all epochs; return False if there were none."""
        key = self._find(run)
        self._writing.pop(key, None)
        self._stats.pop(key, None)
        self._compaction.forget(key)
        return self.backend.remove_stats(key)

    def _ready_to_write(self, key: str, stats: TrainingStats) -> _Writing:
        """Return where to append, having made sure that appending is right."""
        self._make_sure(key)
        writing = self._writing.get(key) or self._end(key)
        if key in self._doubtful:
            writing = self._end(key)
            self._stats.pop(key, None)
            self._doubtful.discard(key)
        seen = self._stats[key].mark_of(stats) if key in self._stats else None
        mark, cut = stats.cut_since(seen or 0)
        rewound = cut is not None and cut < writing.until
        if seen is None and self._continues(key, writing, stats):
            rewound = False
        elif seen is None and not rewound:
            raise StoreError(
                f"the stats of run {key} are stored up to iteration {writing.until}, and these are not "
                f"their continuation; to train again from an earlier iteration, retrieve them and "
                "delete_after it, or call  begin_epoch(run, iteration)"
            )
        if rewound and cut is not None:
            self.begin_epoch(key, cut)
            writing = self._writing[key]
        self._stats[key] = _Seen(weakref.ref(stats), mark)
        return writing

    def _make_sure(self, key: str) -> None:
        """Make sure that nobody else writes to a run: by the lease, or without one, that there is none."""
        if lease := self._leases.get(key):
            if lease.begun is None:
                lease.begin()
                self._writing.pop(key, None)
            else:
                lease.confirm()
            return
        make_sure_that_nobody_holds(self.backend, key, "write to")
        newest = self.backend.newest_epoch(key)
        epoch = self._writing[key].epoch if key in self._writing else newest
        if newest is not None and epoch is not None and newest > epoch:
            raise LeaseLost(
                f"another process has gone on with run {key} (its epoch is {newest}, this one's "
                f"{epoch}), so its stats are no longer taken from here; stop one of the two"
            )

    def _first_epoch(self, key: str) -> int:
        """Begin the first epoch of a run that is written to without a lease."""
        newest = self.backend.newest_claim(key)
        return 0 if newest is None and self.backend.add_epoch(key, Epoch(0, 0)) else self.begin_epoch(key, 0)

    def _continues(self, key: str, writing: _Writing, stats: TrainingStats) -> bool:
        """Say whether stats agree with the newest iteration that they share with what is stored."""
        if not writing.until or not len(stats):
            return True
        last = writing.last
        if last is None or stats.trained_until() <= last.iteration:
            stored = self._merged(key)
            shared = np.intersect1d(stored.iterations, stats.iterations)
            last = stored.at(int(shared[-1])) if len(shared) else None
        mine = stats.at(last.iteration) if last else None
        return last is None or mine is None or _same(mine, last)

    def _end(self, key: str) -> _Writing:
        """Find where the stats of a run end, reading only the ends of its epochs."""
        parts = history.parts(self.backend.epochs(key))
        end = _Writing(parts[-1].number if parts else None)
        for part in reversed(parts):
            tail, limit = self.backend.tail(key, part.number), part.stats
            if limit is None:
                end.sequence = tail.sequence
            if tail.block is not None:
                stats = joined([before(limit, tail.block)])
                end.last = stats.last
                end.until = stats.trained_until() or limit or 0
                break
        return end

    def _merged(self, key: str) -> TrainingStats:
        return joined(
            [
                before(part.stats, block)
                for part in history.parts(self.backend.epochs(key))
                if part.stats != 0
                for block in self.backend.blocks(key, part.number)
            ]
        )

    def move(self, run: str | Repeated, new: str | Repeated) -> None:
        """Give all stats and scores of a run, and whatever lies beside them, another key."""
        key, other = run_key(run), run_key(new)
        for one in (key, other):
            self._writing.pop(one, None)
            self._stats.pop(one, None)
            _scores_seen.pop((self.backend.place, one), None)
        self.backend.move_run(key, other)
        ranking.move(self.backend, key, other)

    # validation scores

    def store_validation_iteration_scores(self, run: str | Repeated, scores: ValidationScores) -> None:
        """Append the iterations that were added or scored again since they were last stored."""
        key = run_key(run)
        self._make_sure(key)
        seen = _scores_seen.get((self.backend.place, key))
        if seen is None or seen.mark_of(scores) is None:
            records = history.scores(self.backend, key)
            seen = _SeenScores(weakref.ref(scores), 0, records, Best(key, records))
        mark, iterations = scores.added_since(seen.mark)
        epoch = None
        for record in records_of(scores, iterations):
            if not holds(seen.records.get((record.iteration, record.dataset)), record):
                epoch = self._append_scores(key, record)
                seen.best.add(record, seen.records)
        if epoch is not None:
            seen.best.keep(self.backend, epoch)
        seen.mark = mark
        _scores_seen[self.backend.place, key] = seen

    def _append_scores(self, key: str, record: ScoresRecord) -> int:
        """Append scores to the newest epoch, and return its number."""
        lease = self._leases.get(key)
        epoch = lease.number if lease else self.backend.newest_epoch(key)
        if epoch is None:
            epoch = self._first_epoch(key)
        self.backend.append_scores(key, epoch, record)
        return epoch

    def retrieve_validation_scores(self, run: str | Repeated) -> ValidationScores:
        """Return all scores of a run with the labels they were stored with."""
        return scores_of(history.scores(self.backend, self._find(run)).values())

    def retrieve_validation_iteration_scores(
        self,
        run: str | Repeated,
        subsample: bool | int = False,
        validation_interval: int | None = None,
    ) -> list[ValidationIterationScores]:
        """Return the scores of each validated iteration, increasing, labelled.

        With ``validation_interval`` only of its multiples; with ``subsample`` about 1000 (or as
        many as it says), evenly spread, and the last.
        """
        scores = self.retrieve_validation_scores(run).scores
        if validation_interval:
            scores = [one for one in scores if one.iteration % validation_interval == 0]
        if subsample and scores:
            scores = [scores[i] for i in _spread(len(scores), SAMPLE if subsample is True else subsample)]
        return scores

    def delete_validation_scores(self, run: str | Repeated) -> bool:
        """Erase the scores of all epochs; return False if there were none."""
        key = self._find(run)
        _scores_seen.pop((self.backend.place, key), None)
        self.backend.unrank(key)
        return self.backend.remove_scores(key)

    # comparing runs

    def best_runs(
        self,
        criterion: str,
        dataset: str | None = None,
        count: int = 20,
        query: Query | None = None,
        tags: Collection[str] = (),
        *,
        archived: bool = False,
    ) -> list[Standing]:
        """Return the runs that are best by a criterion, the best first, and what is best of each.

        The criterion is given in full (``mito__f1_score``) or as the score that is meant of every
        channel (``f1_score``).  Without ``dataset`` any counts.  Query, tags and ``archived`` choose
        runs as ``ConfigStore.listed`` does.  Raises ``NotFound`` for what no run is scored by.
        """
        return top.best_runs(self.backend, criterion, dataset, count, query, tags, archived)


def _spread(length: int, count: int) -> list[int]:
    """Return at most ``count`` positions, evenly spread, the last among them."""
    positions = np.linspace(0, length - 1, num=min(length, max(count, 2)))
    return [int(position) for position in np.unique(positions.round())]


def _sampled(stats: TrainingStats, count: int) -> TrainingStats:
    if not len(stats):
        return stats
    at = _spread(len(stats), count)
    return TrainingStats.of(stats.iterations[at], {name: c[at] for name, c in stats.columns.items()})


def _same(one: TrainingIterationStats, other: TrainingIterationStats) -> bool:
    shared = one.metrics.keys() & other.metrics.keys()
    mine = [one.loss, one.time, *(one.metrics[name] for name in sorted(shared))]
    theirs = [other.loss, other.time, *(other.metrics[name] for name in sorted(shared))]
    return np.array_equal(mine, theirs, equal_nan=True)
