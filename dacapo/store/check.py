"""Looking through the stores for what is broken, left over or half done, and repairing what is safe to.

Nothing that somebody may still want is removed: data without a config is named, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import attrs

from dacapo.errors import CorruptData, DacapoError, DuplicateNameError, NotFound
from dacapo.names import TRASHED, RunKey
from dacapo.options import Options

from . import ranking
from .beside import spool_of, undelivered
from .changes import Stores, empty_trash, finish, kept, trashed
from .config_store import CLASSES, RUNS
from .intents import TRASH, Change, unfinished
from .listing import NOTES
from .remarks import TAGS
from .twins import stored_twins

BEST = "best"
_NEVER = "1970-01-02T00:00:00+00:00"  # older is nothing, so that only what was begun is finished


@attrs.frozen
class Finding:
    """Something that is not as it should be: about what, in words, and what mends it."""

    about: str
    problem: str
    remedy: str
    repair: Callable[[], object] | None = attrs.field(default=None, eq=False, repr=False)


def check(stores: Stores, *, deep: bool = False) -> Iterator[Finding]:
    """Yield what is found; ``deep`` also reads every checkpoint, all stats and all scores.

    What has a ``repair`` can be repaired without a loss, by calling it.
    """
    yield from _unfinished(stores)
    yield from _documents(stores)
    yield from _twins(stores)
    yield from _orphans(stores)
    yield from _remarks(stores)
    yield from _records(stores)
    yield from _standings(stores, deep)
    yield from _leftovers(stores)
    if deep:
        yield from _content(stores)


def _unfinished(stores: Stores) -> Iterator[Finding]:
    for change in unfinished(stores.configs.backend):
        yield Finding(
            f"run {change.run}",
            f"{change.by} began to {change.what} it at {change.at}, and that was not finished",
            "--repair finishes it; make sure that nobody is still at it",
            partial(_finish, change, stores),
        )
    if [one for one in trashed(stores.configs) if one.going]:
        yield Finding(
            "trash",
            "the removal of runs for good was broken off",
            "--repair finishes it",
            partial(empty_trash, stores, _NEVER),
        )


def _finish(change: Change, stores: Stores) -> None:
    try:
        finish(change, stores)
    except DuplicateNameError:
        return  # it could never begin, and is forgotten


def _documents(stores: Stores) -> Iterator[Finding]:
    """Find configs that cannot be read; a missing plugin is no damage."""
    for kind in CLASSES:
        for key in stores.configs.backend.keys(kind):
            name = RunKey(key) if kind == RUNS else key
            try:
                stores.configs.retrieve(kind, name)
            except NotFound:
                continue  # deleted in this moment
            except DacapoError as error:
                yield Finding(f"{kind.removesuffix('s')} {key}", f"cannot be read: {error}", "see there")


def _twins(stores: Stores) -> Iterator[Finding]:
    """Find names that many file systems take for one."""
    for kind, keys in stored_twins(stores.configs.backend):
        remedy = "rename them with  dacapo run rename" if kind == RUNS else "store them under other names"
        yield Finding(
            f"{kind} {' and '.join(keys)}",
            "the names differ only in case or in how letters are encoded: they cannot be copied to files",
            f"{remedy}, all but one",
        )


def _orphans(stores: Stores) -> Iterator[Finding]:
    """Find stats, scores and checkpoints that no config, and nothing in the trash, belongs to."""
    backend = stores.configs.backend
    pending = {key for change in unfinished(backend) for key in (change.run, change.to)}
    known = {*backend.keys(RUNS), *backend.keys(TRASH), *pending}
    runs = {*stores.stats.backend.logged_runs(), *stores.weights.backend.blob_runs()}
    for run in sorted(runs - known):
        if not (left := kept(run, stores)):
            continue
        remedy = (
            "look into it by hand: nothing points to it any more"
            if run.startswith(TRASHED)
            else f"store its config again, or put it into the trash:  dacapo run delete {run} --yes"
        )
        yield Finding(f"run {run}", f"there are {', '.join(left)}, and no config", remedy)
    for run in undelivered():
        remedy = f"dacapo train {run}  delivers it" if run in known else "look into it, and delete it"
        yield Finding(f"run {run}", f"what could not be delivered waits in {spool_of(run).folder}", remedy)


def _remarks(stores: Stores) -> Iterator[Finding]:
    """Find tags and notes of configs that are gone."""
    remarks, backend = stores.configs.remarks, stores.configs.backend
    pending = {key for change in unfinished(stores.configs.backend) for key in (change.run, change.to)}
    for kind in CLASSES:
        spoken = {one.rpartition("~")[0] for what in (TAGS, NOTES) for one in backend.keys(f"{kind}{what}")}
        known = {*backend.keys(kind), *pending, *(backend.keys(TRASH) if kind == RUNS else ())}
        for key in sorted(spoken - known):
            yield Finding(
                f"{kind.removesuffix('s')} {key}",
                "there are tags or notes, and no config",
                "--repair removes them",
                partial(remarks.delete, kind, key),
            )


def _records(stores: Stores) -> Iterator[Finding]:
    """Find records of the best whose checkpoint is gone."""
    backend = stores.weights.backend
    for run in sorted({*stores.configs.backend.keys(RUNS), *backend.blob_runs()}):
        try:
            there = set(stores.weights.iterations(RunKey(run)))
        except DacapoError as error:
            yield Finding(f"run {run}", f"its checkpoints cannot be told: {error}", "see there")
            continue
        for key in backend.keys(BEST, f"{run}/"):
            try:
                iteration = (backend.get(BEST, key) or {}).get("iteration")
            except CorruptData as error:
                iteration, problem = None, f"its record of the best cannot be read: {error}"
            else:
                problem = f"its checkpoint {iteration} is recorded as best, and is gone"
            if iteration not in there:
                yield Finding(
                    f"run {run}",
                    problem,
                    "--repair removes the record; the next validation makes it anew",
                    partial(backend.remove, BEST, key),
                )


def _standings(stores: Stores, deep: bool) -> Iterator[Finding]:
    """Find runs that are not compared with others, or not by the scores they have."""
    backend = stores.stats.backend
    for run in ranking.unranked(backend, deep=deep):
        yield Finding(
            f"run {run}",
            "what  dacapo top  knows of it is not what its scores say",
            "--repair makes it anew from them",
            partial(ranking.renew, backend, RunKey(run)),
        )


def _leftovers(stores: Stores) -> Iterator[Finding]:
    """Find what killed processes left of writes, once it is older than a lease."""
    seconds = Options.instance().lease_seconds
    for place, backend in {one.backend.place: one.backend for one in stores[:3]}.items():
        if left := backend.sweep(seconds, dry_run=True):
            more = "" if len(left) == 1 else f" and {len(left) - 1} more"
            yield Finding(
                place,
                f"killed processes left behind what nothing refers to: {left[0]}{more}",
                "--repair removes it",
                partial(backend.sweep, seconds),
            )


def _content(stores: Stores) -> Iterator[Finding]:
    """Read everything, and find what fails its checksum."""
    for run in stores.weights.backend.blob_runs():
        with suppress(DacapoError):  # said already
            for iteration in stores.weights.iterations(RunKey(run)):
                if not stores.weights.is_whole(RunKey(run), iteration):
                    yield Finding(
                        f"run {run}",
                        f"its checkpoint {iteration} fails its checksum",
                        "training and applying pass over it; train on from an earlier one",
                    )
    for run in stores.stats.backend.logged_runs():
        try:
            stores.stats.retrieve_training_stats(RunKey(run))
            stores.stats.retrieve_validation_scores(RunKey(run))
        except DacapoError as error:
            yield Finding(f"run {run}", f"its stats or scores cannot be read: {error}", "see there")
