"""Copying between places: all runs and configs, or the runs whose names fit a pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import attrs

from dacapo.errors import (
    CorruptData,
    DuplicateNameError,
    InvalidRequest,
    LeaseHeld,
    LeaseLost,
    NotFound,
    StoreError,
)
from dacapo.names import RunKey
from dacapo.progress import Progress

from . import ranking
from .lease import Lease, next_number, take
from .place import Place
from .run_content import RunContent, StoredRun
from .transfer import KINDS, Step, steps_of_config, steps_of_run

COUNTED = ("configs", "iterations", "scores", "checkpoints", "best", "remarks")
TO_COPY, COPIED, THERE = "to be copied", "copied", "already there"
IN_PART, REFUSED = "copied in part", "refused"
MEGABYTE = 1e6


@attrs.define
class Copied:
    """What became of one run, or of the configs of one kind: how many of each thing were written."""

    what: str
    state: str
    counts: Counter[str] = attrs.field(factory=Counter)
    size: int = 0
    refusals: list[StoreError] = attrs.field(factory=list)


def copy(
    source: Place, target: Place, patterns: Sequence[str] = (), *, dry_run: bool = False
) -> Iterator[Copied]:
    """Copy what the target lacks, and yield what became of each run and kind of configs.

    With ``patterns`` (``mito-*``, ``first:2``) only the runs that fit one; a run holds the
    configs of its parts.  ``dry_run`` compares and writes nothing.  What is different at the
    target, or damaged at the source, is refused one by one, and the rest is copied.
    """
    if (str(source), source.weights.place) == (str(target), target.weights.place):
        raise InvalidRequest(f"source and target are the same place, {source}; name two")
    runs = _chosen(source, patterns)
    for kind in () if patterns else KINDS:
        if keys := source.documents.keys(kind):
            yield _copy_configs(kind, keys, source, target, dry_run)
    for key in runs:
        yield copy_run(StoredRun(source, key), target, key, dry_run=dry_run)


def copy_run(content: RunContent, target: Place, key: RunKey, *, dry_run: bool = False) -> Copied:
    """Copy what the target lacks of one run, under the given key.

    While it is written the run is held at the target, as it would be for training.
    """
    what, documents = f"run {key}", target.documents
    try:
        due = next_number(documents, key)
        steps = steps_of_run(content, target, key)
        if dry_run or not steps:
            return _written(what, steps, dry_run)
        with take(documents, key, "copy") as lease:
            if lease.number != due:  # somebody had the run since it was compared
                steps = steps_of_run(content, target, key)
            done = _written(what, steps, dry_run, lease)
            ranking.renew(documents, key)
            return done
    except (DuplicateNameError, CorruptData, LeaseHeld, LeaseLost) as error:
        return Copied(what, REFUSED, refusals=[error])


def refused(rows: Iterable[Copied]) -> StoreError | None:
    """Return one error for all that was refused, if anything was."""
    errors = [error for row in rows for error in row.refusals]
    if not errors:
        return None
    if len(errors) == 1:
        return errors[0]
    lines = "\n".join(f"- {error}" for error in errors)
    return type(errors[0])(f"{len(errors)} were refused:\n{lines}")


def _chosen(source: Place, patterns: Sequence[str]) -> list[RunKey]:
    """Return the runs that fit a pattern; each pattern has to fit one."""
    runs = source.runs()
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in runs):
            shown = ", ".join(runs[:20]) or "none"
            raise NotFound(f"no run in {source} fits {pattern!r}; there are: {shown}")
    return [key for key in runs if not patterns or any(fnmatchcase(key, one) for one in patterns)]


def _copy_configs(kind: str, keys: list[str], source: Place, target: Place, dry_run: bool) -> Copied:
    steps: list[Step] = []
    refusals: list[StoreError] = []
    for key in keys:
        try:
            steps += steps_of_config(kind, key, source, target)
        except (DuplicateNameError, CorruptData) as error:
            refusals.append(error)
    done = _written(kind, steps, dry_run)
    if refusals:
        done.state, done.refusals = IN_PART, refusals
    return done


def _written(what: str, steps: list[Step], dry_run: bool, lease: Lease | None = None) -> Copied:
    """Do the steps, or only count them; a damaged checkpoint is left out."""
    done = Copied(what, (TO_COPY if dry_run else COPIED) if steps else THERE)
    total = 0 if dry_run else sum(step.size for step in steps)
    with Progress(what, round(total / MEGABYTE), unit="MB") as progress:
        for step in steps:
            try:
                if lease is not None:
                    lease.check()
                if not dry_run:
                    step.do()
                    progress.to(round((done.size + step.size) / MEGABYTE))
            except CorruptData as error:
                done.state = IN_PART
                done.refusals.append(error)
                continue
            done.counts[step.what] += step.amount
            done.size += step.size
    return done
