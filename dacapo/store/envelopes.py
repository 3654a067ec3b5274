"""The course of a metric in a thousand points, from the previews of blocks, not from all iterations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import attrs
import numpy as np
from numpy.typing import NDArray

from dacapo.experiments.training_stats import TrainingStats

from .backend import Block, StoreBackend
from .blocks import before, joined
from .previews import FIRST, MAXIMUM, MEASURED, MINIMUM, ROW, TOTAL, WIDTH, Outline, Table

_NONE = np.empty(0, np.int64)
Limits = Iterable[tuple[int, int | None]]  # epochs, and where each is cut


@attrs.frozen(eq=False)
class Envelope:
    """How one metric went: for each stretch of iterations its least, largest and mean value.

    ``first`` and ``last`` are the iterations that a stretch begins and ends with, ``measured``
    says how many values it has.  NaN counts in nothing; a stretch without values is NaN itself.
    """

    metric: str
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    measured: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


@attrs.frozen(eq=False)
class Rows:
    """Stretches of iterations in order, and a preview of each metric with one row a stretch."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    tables: dict[str, Table]


def read_rows(backend: StoreBackend, run: str, limits: Limits, metric: str | None) -> Rows | None:
    """Return what the previews of a run say, and the values themselves where there are none.

    None if they do not tell all, because blocks repeat iterations or are just being merged.
    """
    pieces: list[Outline | Block] = []
    for epoch, limit in limits:
        for one in backend.outlines(run, epoch, metric):
            found = one if limit is None else _cut(backend, run, epoch, one, limit)
            if found is None:
                return None
            pieces.append(found)
    pieces = [one for one in pieces if _first(one) <= _last(one)]
    if any(_last(one) >= _first(other) for one, other in zip(pieces, pieces[1:], strict=False)):
        return None
    return _joined(pieces)


def rows_of(stats: TrainingStats) -> Rows:
    """Return a row for each iteration of stats."""
    tables = {}
    for name, column in stats.columns.items():
        there = ~np.isnan(column)
        tables[name] = np.stack([column, column, np.where(there, column, 0), there, column], axis=1)
    return Rows(stats.iterations, stats.iterations, tables)


def is_fine(rows: Rows, points: int) -> bool:
    """Say whether rows are narrow enough for so many points, or as narrow as can be."""
    return 2 * len(rows.first) >= points or bool((rows.first == rows.last).all())


def envelopes_of(rows: Rows, points: int) -> dict[str, Envelope]:
    """Return the envelope of each metric, in at most ``points`` stretches of about equal length."""
    if not len(rows.first):
        return {}
    edges = np.linspace(rows.first[0], rows.last[-1] + 1, max(points, 1) + 1)
    starts = np.unique(np.searchsorted(rows.first, edges[:-1]))
    starts = starts[starts < len(rows.first)]
    ends = np.append(starts[1:], len(rows.first)) - 1
    return {
        name: _envelope(name, rows.first[starts], rows.last[ends], table, starts)
        for name, table in rows.tables.items()
    }


def sample_of(rows: Rows, count: int) -> TrainingStats:
    """Return about ``count`` of the iterations that rows begin with, evenly spread."""
    wanted = np.linspace(rows.first[0], rows.last[-1], max(count, 2))
    at = np.unique(np.searchsorted(rows.first, wanted, side="right") - 1)
    return TrainingStats.of(rows.first[at], {name: table[at, FIRST] for name, table in rows.tables.items()})


def _cut(
    backend: StoreBackend, run: str, epoch: int, one: Outline | Block, limit: int
) -> Outline | Block | None:
    """Return what of a block lies before an iteration, reading it if it lies on both sides."""
    if isinstance(one, Block):
        return before(limit, one)
    if one.last < limit:
        return one
    if one.first >= limit:
        return attrs.evolve(one, last=one.first - 1)
    blocks = backend.blocks(run, epoch, one.sequence, one.sequence)
    if len(blocks) != 1 or blocks[0].span != one.span:
        return None  # it was merged in this moment
    return before(limit, blocks[0])


def _first(one: Outline | Block) -> int:
    if isinstance(one, Outline):
        return one.first
    return int(one.iterations[0]) if len(one.iterations) else 0


def _last(one: Outline | Block) -> int:
    if isinstance(one, Outline):
        return one.last
    return int(one.iterations[-1]) if len(one.iterations) else -1


def _joined(pieces: list[Outline | Block]) -> Rows:
    """Return the rows of pieces that follow one another; blocks between outlines are taken together."""
    parts = []
    for _, group in groupby(pieces, type):
        same = list(group)
        outlines = [one for one in same if isinstance(one, Outline)]
        blocks = [one for one in same if isinstance(one, Block)]
        parts.append(_of_outlines(outlines) if outlines else rows_of(joined(blocks)))
    first, last = (
        np.concatenate([_NONE, *(getattr(one, end) for one in parts)]) for end in ("first", "last")
    )
    names = dict.fromkeys(name for one in parts for name in one.tables)
    tables = {
        name: np.concatenate([_table(one.tables.get(name), len(one.first)) for one in parts])
        for name in names
    }
    return Rows(first, last, tables)


def _of_outlines(outlines: list[Outline]) -> Rows:
    begin, end = (np.array([getattr(one, which) for one in outlines]) for which in ("first", "last"))
    counts = (end - begin) // ROW + 1
    # Numbers the rows of each outline from 0.
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.repeat(begin, counts) + within * ROW
    last = np.minimum(first + ROW - 1, np.repeat(end, counts))
    names = dict.fromkeys(name for one in outlines for name in one.previews)
    tables = {
        name: np.concatenate(
            [_table(one.previews.get(name), count) for one, count in zip(outlines, counts, strict=True)]
        )
        for name in names
    }
    return Rows(first, last, tables)


def _table(table: Table | None, rows: int) -> Table:
    """Return the preview of a metric, or that of one that was not measured."""
    if table is not None:
        return table
    nothing = np.full((rows, WIDTH), np.nan)
    nothing[:, [TOTAL, MEASURED]] = 0
    return nothing


def _envelope(
    name: str, first: NDArray[np.int64], last: NDArray[np.int64], table: Table, starts: NDArray[np.intp]
) -> Envelope:
    with np.errstate(invalid="ignore", over="ignore"):
        measured = np.add.reduceat(table[:, MEASURED], starts)
        total = np.add.reduceat(table[:, TOTAL], starts)
        mean = np.divide(total, measured, out=np.full(len(starts), np.nan), where=measured > 0)
    least = np.fmin.reduceat(table[:, MINIMUM], starts)
    largest = np.fmax.reduceat(table[:, MAXIMUM], starts)
    return Envelope(name, first, last, least, largest, mean, measured.astype(np.int64))
