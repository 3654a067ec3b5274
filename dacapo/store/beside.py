"""What belongs to a run beside its four stores: its history in the queue, and what waits to be delivered."""

from __future__ import annotations

from pathlib import Path

from dacapo.errors import InvalidRequest
from dacapo.names import TRASHED
from dacapo.options import Options

from .backend import StoreBackend
from .queue_backend import SETTLED, STANDINGS
from .spool import FOLDER, Spool

HISTORY, UNDELIVERED = "history in the queue", "undelivered"


def spool_of(key: str) -> Spool:
    """Return what waits to be delivered of a run, by its key there or in the trash, on this machine."""
    return Spool.of_key(Options.instance().runs_base_dir, key)


def undelivered() -> list[str]:
    """Return the runs outside the trash of which something waits on this machine, sorted."""
    base = Path(Options.instance().runs_base_dir).expanduser()
    names = {path.parent.name for path in base.glob(f"*/{FOLDER}")}
    return sorted(name for name in names if not name.startswith(TRASHED) and spool_of(name))


def refuse_if_queued(backend: StoreBackend, key: str, what: str) -> None:
    """Raise ``InvalidRequest`` if a run waits in the queue, or a worker has it."""
    if not backend.changes(key):
        return
    for standing in STANDINGS:
        if standing != SETTLED and key in backend.all_changes(standing):
            raise InvalidRequest(
                f"run {key} is in the queue, {standing}; before you {what} it, take it out with  "
                f"dacapo queue cancel {key}"
            )


def kept_beside(backend: StoreBackend, key: str) -> list[str]:
    """Say what there is of a run beside its stores."""
    places = {HISTORY: bool(backend.changes(key)), UNDELIVERED: bool(spool_of(key))}
    return [what for what, there in places.items() if there]


def move_beside(backend: StoreBackend, key: str, new: str) -> None:
    """Give it another key; done again after an interruption, it goes on where it was."""
    history = backend.changes(key)
    for number, change in enumerate(history):
        backend.add_change(new, number, change)
    backend.remove_changes(key)
    spool_of(key).move(new)


def remove_beside(backend: StoreBackend, key: str) -> None:
    """Remove it for good."""
    backend.remove_changes(key)
    spool_of(key).remove()
