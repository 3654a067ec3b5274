"""What is known of a block of stats without reading its columns: a few numbers for each row of iterations.

A preview is written in the same operation as its block and lies in the same document or
frame, so that there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .backend import Block

ROW = 128  # iterations that share one row
MINIMUM, MAXIMUM, TOTAL, MEASURED, FIRST = range(5)
WIDTH = 5
_TAME = 1e300  # sums of smaller numbers do not overflow
Table = NDArray[np.float64]


@attrs.frozen(eq=False)
class Outline:
    """A block of iterations that simply count up, by the previews of its metrics."""

    sequence: int
    span: int
    first: int
    last: int
    previews: Mapping[str, Table]


def has_preview(block: Block) -> bool:
    """Say whether a preview is worth keeping: the block is long, and its iterations count up."""
    count = len(block.iterations) if block.columns else 0
    return count > ROW and int(block.iterations[-1] - block.iterations[0]) + 1 == count


def previews_of(columns: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return minimum, maximum, sum, number and first of each row of ``ROW`` values, of every column.

    NaN means not measured: it counts in nothing, and where all are NaN so are minimum and maximum.
    The columns are as long as each other and taken in one go, which of short ones is much quicker.
    """
    together = np.array([*columns], "<f8")
    begins, lengths = _rows(together.shape[1])
    tables = np.empty((len(together), len(begins), WIDTH), "<f8")
    np.fmin.reduceat(together, begins, 1, None, tables[..., MINIMUM])
    np.fmax.reduceat(together, begins, 1, None, tables[..., MAXIMUM])
    tables[..., FIRST] = together[:, ::ROW]
    ends = np.fmin.reduce(tables[..., MINIMUM], None), np.fmax.reduce(tables[..., MAXIMUM], None)
    if ends[0] > -_TAME and ends[1] < _TAME:
        np.add.reduceat(together, begins, 1, None, tables[..., TOTAL])
        if not np.isnan(np.add.reduce(tables[..., TOTAL], None)):
            tables[..., MEASURED] = lengths
            return tables
    there = together == together
    with np.errstate(invalid="ignore", over="ignore"):
        np.add.reduceat(np.where(there, together, 0), begins, 1, None, tables[..., TOTAL])
    np.add.reduceat(there, begins, 1, np.float64, tables[..., MEASURED])
    return tables


@lru_cache
def _rows(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the rows of so many values begin, and how long they are."""
    begins = np.arange(0, count, ROW)
    return begins, np.diff(begins, append=count)


def decode_preview(data: bytes, count: int) -> Table | None:
    """Return the packed preview of a column, or None if it is not that of so many iterations."""
    rows = -(-count // ROW)
    if len(data) != rows * WIDTH * 8:
        return None
    return np.frombuffer(data, "<f8").reshape(rows, WIDTH)


def outline_of(block: Block, metric: str | None = None) -> Outline | Block:
    """Return the outline of a block that was read, or the block if it has none."""
    if not has_preview(block):
        return block
    names = block.columns if metric is None else {metric} & block.columns.keys()
    tables = previews_of(block.columns[name] for name in names) if names else ()
    previews = dict(zip(names, tables, strict=True))
    ends = int(block.iterations[0]), int(block.iterations[-1])
    return Outline(block.sequence, block.span, *ends, previews)
