"""What is known of a block of stats without reading its columns: a few numbers for each row of iterations.

A preview is written in the same operation as its block and lies in the same document or
frame, so that there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .backend import Block

ROW = 128  # iterations that share one row
MINIMUM, MAXIMUM, TOTAL, MEASURED, FIRST = range(5)
WIDTH = 5
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
    count = len(block.iterations)
    return count > ROW and int(block.iterations[-1] - block.iterations[0]) + 1 == count


def preview(column: NDArray[np.float64]) -> Table:
    """Return minimum, maximum, sum, number and first of each row of ``ROW`` values.

    NaN means not measured: it counts in nothing, and where all are NaN so are minimum and maximum.
    """
    begins = np.arange(0, len(column), ROW)
    there = column == column
    table = np.empty((len(begins), WIDTH))
    numbers = column if there.all() else np.where(there, column, 0)
    table[:, MINIMUM] = np.fmin.reduceat(column, begins)
    table[:, MAXIMUM] = np.fmax.reduceat(column, begins)
    with np.errstate(invalid="ignore", over="ignore"):
        table[:, TOTAL] = np.add.reduceat(numbers, begins)
    table[:, MEASURED] = np.add.reduceat(there, begins, dtype=np.float64)
    table[:, FIRST] = column[::ROW]
    return table


def encode_preview(column: NDArray[np.float64]) -> bytes:
    """Return the preview of a column, packed."""
    return np.ascontiguousarray(preview(column), "<f8").tobytes()


def decode_preview(data: bytes, count: int) -> Table | None:
    """Return a packed preview, or None if it is not that of so many iterations."""
    rows = -(-count // ROW)
    if len(data) != rows * WIDTH * 8:
        return None
    return np.frombuffer(data, "<f8").reshape(rows, WIDTH)


def outline_of(block: Block, metric: str | None = None) -> Outline | Block:
    """Return the outline of a block that was read, or the block if it has none."""
    if not has_preview(block):
        return block
    names = block.columns if metric is None else {metric} & block.columns.keys()
    previews = {name: preview(block.columns[name]) for name in names}
    ends = int(block.iterations[0]), int(block.iterations[-1])
    return Outline(block.sequence, block.span, *ends, previews)
