"""Renaming runs, putting them into the trash and back: all that belongs to a run moves, or nothing.

What is intended is written down first.  Each step may be done again, so that a change that was
broken off is finished later by whoever finds its record (``finish``, ``dacapo store check --repair``).
The new place is claimed by its document before anything moves, and the old one is given up last:
no name is ever free, or taken, with half of a run under it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import attrs

from dacapo.documents import META, Document, to_json
from dacapo.errors import DuplicateNameError, InvalidRequest, LeaseHeld, NotFound, StoreError
from dacapo.names import TRASHED, Repeated, RunKey, folded, run_key
from dacapo.provenance import user

from .array_store import ArrayStore
from .config_store import RUNS, ConfigStore
from .lease import take
from .listing import moment
from .stats_store import StatsStore
from .twins import refuse_twin
from .weights_store import WeightsStore

CHANGES, TRASH = "changes", "trash"


class Stores(NamedTuple):
    """The four places where the things of a run are."""

    configs: ConfigStore
    stats: StatsStore
    weights: WeightsStore
    arrays: ArrayStore


@attrs.frozen
class Change:
    """What somebody began to do with a run: to move it from one key to another."""

    what: str  # rename, delete or restore
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


@attrs.frozen
class Trashed:
    """A run in the trash: its key there, the one it had, who deleted it and when."""

    key: str
    run: str
    by: str
    at: str
    config: Document | None = attrs.field(repr=False)
    going: bool = False  # its removal for good has begun


def rename_run(run: str | Repeated, new: str, stores: Stores) -> str:
    """Give a run with all that belongs to it another name; return its new key.

    Raises ``NotFound`` for an unknown run and ``DuplicateNameError`` if the new name is taken.
    """
    document = stores.configs.retrieve_document(RUNS, run)
    key, other = stores.configs.find(RUNS, run), run_key(str(new))
    if key == other:
        raise InvalidRequest(f"run {key} is called so already; give another name")
    if folded(key) == folded(other):
        raise InvalidRequest(
            f"many file systems take {key} and {other} for one name; rename the run twice, by way of a name "
            "that differs in more than case"
        )
    meta = document.get(META, {})
    formerly = [*meta.get("formerly", ()), str(key)]
    renamed = document | _called(other) | {META: meta | {"formerly": formerly}}
    _begin(_change("rename", key, other, renamed, document), stores)
    return other


def trash_run(run: str | Repeated, stores: Stores) -> str:
    """Put a run with all that belongs to it into the trash; return its key there.

    Its name is free then, and nothing of it is picked up by a new run of that name.  What is left of a run
    without config can go there too.  Raises ``NotFound`` if nothing at all is kept.
    """
    key = stores.configs.find(RUNS, run)
    config = stores.configs.backend.get(RUNS, key)
    if config is None and not kept(key, stores):
        stores.configs.retrieve_document(RUNS, key)  # says that there is none
    there = f"{TRASHED}{key}{TRASHED}{secrets.token_hex(4)}"
    document = {"run": str(key), "by": user(), "at": _now(), "config": config}
    _begin(_change("delete", key, there, document, config), stores)
    return there


def restore_run(run: str, stores: Stores, new: str | None = None) -> str:
    """Take a run out of the trash, under its own or a new name; return its key.

    It is given by the key it has in the trash or by its name, which means the one deleted last.  Raises
    ``NotFound`` if it is not there, ``DuplicateNameError`` if the name is taken meanwhile.
    """
    found = [one for one in trashed(stores.configs) if run in (one.key, one.run) and not one.going]
    if not found:
        there = ", ".join(sorted({one.run for one in trashed(stores.configs) if not one.going})) or "nothing"
        raise NotFound(f"run {run} is not in the trash; there is {there}")
    one = max(found, key=lambda each: each.at)
    other = run_key(new or one.run)
    document = one.config
    if document is not None and new:
        document = document | _called(other)
    was = stores.configs.backend.get(TRASH, one.key)
    _begin(_change("restore", one.key, other, document or {}, was), stores)
    return other


def trashed(configs: ConfigStore) -> list[Trashed]:
    """Return what is in the trash, by run and time."""
    found = ((key, configs.backend.get(TRASH, key)) for key in configs.backend.keys(TRASH))
    made = [
        Trashed(key, one["run"], one["by"], one["at"], one["config"], bool(one.get("going")))
        for key, one in found
        if one
    ]
    return sorted(made, key=lambda one: (one.run, one.at))


def empty_trash(stores: Stores, older_than: str | None = None) -> list[Trashed]:
    """Remove for good what was deleted before a time (see ``moment``), and return what that was.

    What is found half removed is removed wholly.
    """
    limit = moment(older_than)
    gone = [one for one in trashed(stores.configs) if one.going or limit is None or one.at < limit]
    pending = {change.run for change in unfinished(stores.configs)}
    gone = [one for one in gone if one.key not in pending]
    for one in gone:
        _remove(one, stores)
    return gone


def _remove(one: Trashed, stores: Stores) -> None:
    """Remove a run that is in the trash; once that has begun it cannot be restored."""
    backend, key = stores.configs.backend, RunKey(one.key)
    document = {"run": one.run, "by": one.by, "at": one.at, "config": None, "going": True}
    backend.put(TRASH, key, document, replace=True)
    stores.arrays.delete(key)
    stores.weights.delete(key)
    stores.stats.delete_validation_scores(key)
    stores.stats.delete_training_stats(key)
    stores.configs.remarks.delete(RUNS, key)
    backend.remove(TRASH, key)


def kept(key: str, stores: Stores) -> list[str]:
    """Say what is kept under a key beside the config."""
    exact = RunKey(key)
    places = {
        "stats": key in stores.stats.backend.logged_runs(key),
        "weights": bool(stores.weights.backend.blobs(key)),
        "arrays": bool(stores.arrays.containers(exact)),
    }
    return [what for what, there in places.items() if there]


def unfinished(configs: ConfigStore) -> list[Change]:
    """Return the changes that were begun and not finished: broken off, or still going on."""
    found = (configs.backend.get(CHANGES, key) for key in configs.backend.keys(CHANGES))
    return [Change(**document) for document in found if document]


def finish(change: Change, stores: Stores) -> None:
    """Carry a change through to its end, from wherever it was broken off.

    Nobody else can train or change the run meanwhile: raises ``LeaseHeld`` if somebody does.
    Raises ``DuplicateNameError``, and forgets the change, if it could not begin because its new name was
    taken by another run.
    """
    with _held(change, stores):
        _move(change, stores)


@contextmanager
def _held(change: Change, stores: Stores) -> Iterator[None]:
    """Hold the leases of both names that runs have; in the trash there is nobody to keep away."""
    names = [key for key in (change.run, change.to) if not key.startswith(TRASHED)]
    with ExitStack() as held:
        for name in sorted(names):
            held.enter_context(take(stores.stats.backend, RunKey(name), change.what))
        yield


def _move(change: Change, stores: Stores) -> None:
    backend, old, new = stores.configs.backend, RunKey(change.run), RunKey(change.to)
    # What had no config goes into the trash and comes out of it without one.
    if not change.moved and change.document and not backend.put(change.target, new, change.document):
        there = backend.get(change.target, new)
        if there is not None and to_json(there) != to_json(change.document):
            backend.remove(CHANGES, change.run)
            raise DuplicateNameError(
                f"run {new} is already stored; choose another name, or rename or delete that one first"
            )
    if not change.moved:
        stores.stats.move(old, new)
        stores.weights.move(old, new)
        stores.arrays.move(old, new)
        stores.configs.remarks.move(RUNS, old, new)
        # From here on the old name may be free, and whatever is under it may be of a new run.
        backend.put(CHANGES, old, attrs.asdict(attrs.evolve(change, moved=True)), replace=True)
    there = backend.get(change.source, old)
    if there is not None and change.was is not None and to_json(there) == to_json(change.was):
        backend.remove(change.source, old)
    backend.remove(CHANGES, old)


def _begin(change: Change, stores: Stores) -> None:
    """Write down what is intended, and do it; refuse while another change of the run is not finished."""
    backend = stores.configs.backend
    if any(store.backend.is_old(change.run) for store in stores[:3]):
        raise StoreError(
            f"run {change.run} is kept as an earlier DaCapo wrote it, and cannot be moved; bring it to the "
            "present format with  dacapo store upgrade"
        )
    if change.target == RUNS:
        if change.to in backend.keys(RUNS, change.to):
            raise DuplicateNameError(
                f"run {change.to} is already stored; choose another name, or rename or delete that one first"
            )
        refuse_twin(backend, RUNS, change.to)
        if left := kept(change.to, stores):
            raise StoreError(
                f"there are {', '.join(left)} of an earlier run {change.to} without config; put them into "
                f"the trash with  dacapo run delete {change.to}  or choose another name"
            )
    if not backend.put(CHANGES, change.run, attrs.asdict(change)):
        pending = backend.get(CHANGES, change.run) or {}
        raise StoreError(
            f"run {change.run}: {pending.get('by')} began to {pending.get('what')} it at "
            f"{pending.get('at')}, and that is going on or was broken off; finish it with  "
            "dacapo store check --repair"
        )
    try:
        finish(change, stores)
    except LeaseHeld:
        backend.remove(CHANGES, change.run)  # nothing was begun
        raise


def _change(what: str, run: str, to: str, document: Document, was: Document | None) -> Change:
    return Change(what, str(run), str(to), document, was, user(), _now())


def _called(key: str) -> Document:
    """Return what the config of a run says of its key."""
    name, _, repetition = str(key).partition(":")
    return {"name": name, "repetition": int(repetition or 0)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
