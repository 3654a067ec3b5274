"""What is best of a run by a criterion on a dataset, in the form that backends keep and find it by.

Standings are made from scores (see ``ranking``) so that runs can be compared without reading them
all: they may be lost, and can be made anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from dacapo.documents import Document

STANDINGS = "standings"


@attrs.frozen
class Standing:
    """The best value of a run by a criterion on a dataset, the iteration and parameters that gave it.

    ``epoch`` is the run's newest when this was made: a later one may have cut the scores it is made of.
    """

    run: str
    dataset: str
    criterion: str
    value: float
    iteration: int
    parameters: str
    higher_is_better: bool
    epoch: int = 0

    @property
    def rank(self) -> float:
        """The value turned so that less is better."""
        return -self.value if self.higher_is_better else self.value

    @property
    def order(self) -> tuple[float, str, str, str]:
        """What standings sort by, the best first; of equal ones the name of the run decides."""
        return self.rank, self.run, self.criterion, self.dataset


def write_standings(run: str, epoch: int, standings: Iterable[Standing]) -> Document:
    """Return the document of all standings of a run."""
    fields = [attrs.asdict(one) for one in standings]
    kept = [{name: value for name, value in one.items() if name not in ("run", "epoch")} for one in fields]
    return {"run": str(run), "epoch": epoch, STANDINGS: kept}


def read_standings(run: str, document: Document | None) -> list[Standing]:
    """Return the standings of a document, which may have been of another run before."""
    if document is None:
        return []
    return [Standing(run=str(run), epoch=document["epoch"], **fields) for fields in document[STANDINGS]]


def ranks_of(document: Document) -> dict[str, dict[str, float]]:
    """Return the rank of a run by criterion and dataset, which is all that it takes to find the best."""
    ranks: dict[str, dict[str, float]] = {}
    for one in read_standings("", document):
        ranks.setdefault(one.criterion, {})[one.dataset] = one.rank
    return ranks


def best_of_rows(
    rows: Iterable[tuple[str, dict[str, Any]]], criteria: Iterable[str], dataset: str | None
) -> list[tuple[float, str, str, str]]:
    """Return the order of every standing by one of the criteria, from the ranks of each run."""
    wanted = list(criteria)
    return [
        (rank, run, criterion, name)
        for run, row in rows
        for criterion in wanted
        for name, rank in (row["ranks"] or {}).get(criterion, {}).items()
        if dataset in (None, name)
    ]
