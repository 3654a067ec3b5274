"""What has to be known of a place that an earlier DaCapo wrote to.

Names are those that its user chose, whatever is in them; of runs the name alone, for stats,
scores and checkpoints were kept without the repetition.  An alias is the name that a store can
keep instead, see ``names``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dacapo.documents import Document

from ..backend import Block

if TYPE_CHECKING:
    from ..weights_store import Weights

Scores = tuple[int, Any]  # an iteration, and datasets x parameter sets x criteria, perhaps ragged
Best = tuple[str, str, int]  # dataset, criterion, iteration


class OldData:
    """Reads what an earlier DaCapo left; changes it only to remove it or to make room for the new.

    This one finds nothing: each sort of place says what it has.
    """

    # Configs lie where those of the present format go, so that a backend itself lists and reads them.
    in_place = False
    # Stats and scores can be read as they are; if not, only an import does it.
    can_read_logs = True

    # configs

    def names(self, collection: str, begin: str = "") -> list[str]:
        """Return the names of the configs of a kind whose alias begins so, each once."""
        return []

    def rows(self, collection: str, *, whole: bool = False) -> Iterator[tuple[str, int, Document]]:
        """Yield name, repetition and at least the fields that a config is listed by; or all of it."""
        for name in self.names(collection):
            for repetition in self.repetitions(name) if collection == "runs" else [0]:
                if (document := self.document(collection, name, repetition)) is not None:
                    yield name, repetition, document

    def repetitions(self, name: str) -> list[int]:
        """Return the repetitions of the runs of a name, sorted."""
        return []

    def document(self, collection: str, name: str, repetition: int = 0) -> Document | None:
        """Return a config as it is stored, or None."""
        return None

    def remove_document(self, collection: str, name: str, repetition: int = 0) -> bool:
        """Remove a config; return False if there was none."""
        return False

    def names_run(self, name: str) -> bool:
        """Say whether there was a run of that name."""
        return bool(self.repetitions(name))

    def remember(self, collection: str, name: str) -> None:
        """Keep a copy of a config that the present format is about to take the place of."""

    def retire(self, collection: str, name: str) -> None:
        """Take a config away that was rewritten under another key; its copy stays."""

    def finish(self) -> None:
        """Take away what only says that an earlier version was here, once nothing of it is left to read."""

    # stats and scores

    def logged(self, begin: str = "") -> list[str]:
        """Return the names that have stats or scores and whose alias begins so."""
        return []

    def has_log(self, name: str) -> bool:
        """Say whether there are stats or scores."""
        return False

    def end(self, name: str) -> int | None:
        """Return the iteration after the last; None where only an import can tell."""
        return None

    def stats(self, name: str, *, last: bool = False) -> Block | None:
        """Return the training stats, or only the last of them; None without any."""
        return None

    def scores(self, name: str) -> list[Scores]:
        """Return the scores of each validated iteration, increasing."""
        return []

    def remove_stats(self, name: str) -> bool:
        """Remove the training stats; return False if there were none."""
        return False

    def remove_scores(self, name: str) -> bool:
        """Remove the scores; return False if there were none."""
        return False

    # checkpoints

    def trained(self, begin: str = "") -> list[str]:
        """Return the names that have checkpoints and whose alias begins so."""
        return []

    def checkpoints(self, name: str) -> list[int]:
        """Return the iterations of the checkpoints, sorted."""
        return []

    def weights(self, name: str, iteration: int) -> Weights:
        """Return what a checkpoint holds; raises ``CorruptData`` for what cannot be read safely."""
        raise KeyError(iteration)

    def set_aside(self, name: str, iteration: int) -> None:
        """Make room for a checkpoint in the present format; the old one can still be read."""

    def remove_checkpoint(self, name: str, iteration: int) -> bool:
        """Remove a checkpoint; return False if there was none."""
        return False

    def best(self, name: str) -> list[Best]:
        """Return which checkpoints were recorded as best."""
        return []

    def remove_best(self, name: str, dataset: str, criterion: str) -> bool:
        """Remove the record of a best checkpoint; return False if there was none."""
        return False
