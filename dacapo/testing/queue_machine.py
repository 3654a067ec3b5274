"""Random commands to the queues of two backends; part of ``dacapo.testing.store_machine``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dacapo.store.backend import StoreBackend
from dacapo.store.queue_backend import STANDINGS, Place

RUNS = st.sampled_from(["run", "run:1", "run-2", "ärger 1", "1-2-run"])
AMOUNTS = st.dictionaries(st.sampled_from(["gpus", "memory"]), st.integers(0, 3))
PLACES = st.builds(Place, st.integers(-2, 2), st.integers(0, 5), AMOUNTS)
CHANGES = st.dictionaries(
    st.sampled_from(["state", "$why", "ü.x"]), st.text(max_size=3) | st.none(), max_size=2
)


class QueueRules(RuleBasedStateMachine):
    """Commands to the queue; the machine that it is mixed into compares the answers."""

    both: Callable[[Callable[[StoreBackend], Any]], Any]

    @rule(
        run=RUNS,
        late=st.sampled_from([0, 0, 0, 0, -1, 1]),
        change=CHANGES,
        place=PLACES | st.none(),
        taken=st.booleans(),
    )
    def add_change(
        self, run: str, late: int, change: dict[str, Any], place: Place | None, taken: bool
    ) -> None:
        """Add a change, often the one to come."""
        number = max(0, len(self.both(lambda backend: backend.changes(run))) + late)
        self.both(lambda backend: backend.add_change(run, number, change, place=place, taken=taken))

    @rule(change=CHANGES, has=AMOUNTS, skip=st.sets(RUNS, max_size=2))
    def claim_next(self, change: dict[str, Any], has: dict[str, int], skip: set[str]) -> None:
        """Claim what comes next."""
        self.both(lambda backend: backend.claim_next(change, has, skip))

    @rule(standing=st.sampled_from([*STANDINGS, None]))
    def all_changes(self, standing: str | None) -> None:
        """Read all histories."""
        self.both(lambda backend: backend.all_changes(standing))

    @rule(run=RUNS)
    def remove_changes(self, run: str) -> None:
        """Remove a history, or find that there is none."""
        self.both(lambda backend: backend.remove_changes(run))
