"""What a place to keep experiments in has to be able to do for the queue: six primitive operations.

A run that was ever queued has a history of changes, counted from 0.  A change is added under
its number, and of two that add the same one, one is told that it is too late: that alone
keeps a run from being claimed twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import attrs

from dacapo.documents import Document

# How a run stands after its newest change: it can be claimed, somebody is at it, or neither.
WAITING, TAKEN, SETTLED = "waiting", "taken", "settled"
STANDINGS = (WAITING, TAKEN, SETTLED)


@attrs.frozen
class Place:
    """Where a run stands in the queue: high priorities first, of one priority small tickets first.

    It is claimed only by those who have as much as it needs of every resource.  Tickets are
    counted, not taken from a clock: those of hosts differ, and age has to be fair.
    """

    priority: int = 0
    ticket: int = 0
    needs: Mapping[str, int] = attrs.field(factory=dict)

    def is_met_by(self, has: Mapping[str, int]) -> bool:
        """Say whether somebody has all that is needed."""
        return all(has.get(name, 0) >= amount for name, amount in self.needs.items())


class QueueBackend(ABC):
    """Keeps the histories of queued runs, and hands each waiting run to one claimer.

    Changes are plain data, and their meaning is not looked at.  Runs are named by their keys.
    """

    @abstractmethod
    def add_change(
        self, run: str, number: int, change: Document, *, place: Place | None = None, taken: bool = False
    ) -> bool:
        """Add the change of that number to the history of a run; return False if it is not the one to come.

        With a ``place`` the run waits there to be claimed; with ``taken`` somebody is at it;
        with neither it is settled.
        """

    @abstractmethod
    def claim_next(
        self, change: Document, has: Mapping[str, int], skip: Collection[str] = ()
    ) -> tuple[str, list[Document]] | None:
        """Take the first waiting run whose needs are met, in one step with adding a change to its history.

        Runs in ``skip`` are passed over.  Return the run and its history, this change included, or
        None if there is none.  Equal tickets are claimed in the order of the names of their runs.
        """

    @abstractmethod
    def changes(self, run: str) -> list[Document]:
        """Return the history of a run, oldest first; a change that is damaged is an empty document."""

    @abstractmethod
    def all_changes(self, standing: str | None = None) -> dict[str, list[Document]]:
        """Return the histories of all runs, or of those that stand in one way, by run in order."""

    @abstractmethod
    def next_ticket(self) -> int:
        """Return a ticket larger than those of all runs that wait or are taken.

        Two that ask at once may get the same: then the names of their runs decide.
        """

    @abstractmethod
    def remove_changes(self, run: str) -> bool:
        """Remove the history of a run, its place included; return False if there was none."""
