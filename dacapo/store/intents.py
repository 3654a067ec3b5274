"""What somebody began to do with a run, written down before it begins, so that others can finish it."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from dacapo.documents import Document
from dacapo.errors import StoreError
from dacapo.provenance import user

from .backend import StoreBackend

RUNS, TRASH, CHANGES = "runs", "trash", "changes"
ERASE = "erase"


@attrs.frozen
class Change:
    """What somebody began to do with a run: to move it from one key to another, or to erase it."""

    what: str  # rename, delete, restore or erase
    run: str
    to: str
    document: Document
    was: Document | None
    by: str
    at: str
    moved: bool = False

    @property
    def source(self) -> str:
        """The collection that the run is taken out of."""
        return TRASH if self.what == "restore" else RUNS

    @property
    def target(self) -> str:
        """The collection that the run is put into."""
        return TRASH if self.what == "delete" else RUNS


def change_now(what: str, run: str, to: str, document: Document, was: Document | None) -> Change:
    """Return a change that this user begins now."""
    return Change(what, str(run), str(to), document, was, user(), now())


def intend(backend: StoreBackend, change: Change) -> None:
    """Write down a change; raises ``StoreError`` while another change of the run is not finished."""
    while not backend.put(CHANGES, change.run, attrs.asdict(change)):
        pending = backend.get(CHANGES, change.run)
        if pending is None:  # finished in this moment
            continue
        if change.what == ERASE == pending["what"]:
            return
        raise StoreError(
            f"run {change.run}: {pending.get('by')} began to {pending.get('what')} it at "
            f"{pending.get('at')}, and that is going on or was broken off; finish it with  "
            "dacapo store check --repair"
        )


def unfinished(backend: StoreBackend) -> list[Change]:
    """Return the changes that were begun and not finished: broken off, or still going on."""
    found = (backend.get(CHANGES, key) for key in backend.keys(CHANGES))
    return [Change(**document) for document in found if document]


def now() -> str:
    """Return the time as it is written down."""
    return datetime.now(UTC).isoformat(timespec="seconds")
