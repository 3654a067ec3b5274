"""Stats as earlier versions kept them, one entry an iteration, as the columns of today."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from dacapo.documents import Document
from dacapo.errors import CorruptData

from ..backend import Block
from .old_data import Scores

_NOT_MEASURED = {"_id", "iteration", "run_name"}


def block_of(entries: Iterable[Document]) -> Block | None:
    """Return entries as one block; of those of one iteration the last counts.

    What was measured beside loss and time becomes a column too.
    """
    found = {int(entry["iteration"]): entry for entry in entries}
    if not found:
        return None
    names = dict.fromkeys(("loss", "time"))
    for entry in found.values():
        names |= dict.fromkeys(name for name in entry if name not in _NOT_MEASURED)
    iterations = np.array(sorted(found), np.int64)
    columns = {
        name: np.array([_number(found[int(iteration)].get(name)) for iteration in iterations])
        for name in names
    }
    return Block(0, iterations, columns)


def scores_of(entries: Iterable[Document]) -> list[Scores]:
    """Return the scores of entries, increasing; of those of one iteration the last count."""
    found = {int(entry["iteration"]): entry["scores"] for entry in entries}
    return sorted(found.items())


def check(entries: Any, needed: set[str], what: str) -> list[Document]:
    """Return a list of entries that have all they need; raises ``CorruptData`` for anything else."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CorruptData(f"{what} should be a list with an entry an iteration; it is left where it is")
    for entry in entries:
        if not needed <= entry.keys() or not isinstance(entry["iteration"], int) or entry["iteration"] < 0:
            raise CorruptData(
                f"{what} holds the entry {str(entry):.80}, which should have {', '.join(sorted(needed))}; "
                "it is left where it is"
            )
    return entries


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
