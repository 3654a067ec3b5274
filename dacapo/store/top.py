"""Which runs are best by a criterion, answered from the standings of all runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from dacapo.errors import CorruptData, InvalidRequest, NotFound, did_you_mean
from dacapo.names import TRASHED

from . import ranking
from .backend import StoreBackend
from .config_store import RUNS, ConfigStore
from .listing import Query
from .remarks import ARCHIVED, Remarks
from .standings import Standing

logger = logging.getLogger(__name__)

SHOWN = 20
GROWTH = 4  # how many times as many are asked for if those asked for were too few
FEW = 10_000  # runs whose names may go into one question


def best_runs(
    backend: StoreBackend,
    criterion: str,
    dataset: str | None = None,
    count: int = SHOWN,
    query: Query | None = None,
    tags: Collection[str] = (),
    archived: bool = False,
) -> list[Standing]:
    """Return the best standing of each of the runs that are best; see ``StatsStore.best_runs``."""
    for what, text in (("criterion", criterion), ("dataset", "" if dataset is None else dataset)):
        if not isinstance(text, str):
            raise InvalidRequest(f"a {what} should be given as a text, and not as {text!r:.80}")
    if count < 1:
        raise InvalidRequest(f"count = {count}: ask for at least one run")
    # What names its channel is meant in full: then nothing needs to be known of other criteria.
    criteria = [criterion] if "__" in criterion else _criteria(backend, criterion)
    choice = _Choice(backend, query, tags, archived)
    size = count
    while True:
        found = backend.ranked(criteria, dataset, size, choice.among)
        if not found:
            _check_dataset(backend, _criteria(backend, criterion), dataset)
        best = _one_a_run(_sure(backend, [one for one in found if choice.takes(one.run)], criteria, dataset))
        if len(found) < size:
            return best[:count]
        # Whatever was not looked at is no better than the last that was.
        if sum(one.order <= found[-1].order for one in best) >= count:
            return best[:count]
        size *= GROWTH


class _Choice:
    """Which runs are meant: those of a query, or all but what is archived or in the trash."""

    def __init__(
        self, backend: StoreBackend, query: Query | None, tags: Collection[str], archived: bool
    ) -> None:
        self._meant: set[str] | None = None
        self._archived: set[str] = set()
        if query not in (None, Query()) or tags:
            listed = ConfigStore(backend).listed(RUNS, query, tags, archived=archived)
            self._meant = {one.key for one in listed}
        elif not archived:
            everything = Remarks(backend).all_tags(RUNS).items()
            self._archived = {run for run, given in everything if ARCHIVED in given}
        few = self._meant is not None and len(self._meant) <= FEW
        self.among = self._meant if few else None

    def takes(self, run: str) -> bool:
        if self._meant is not None:
            return run in self._meant
        return run not in self._archived and not run.startswith(TRASHED)


def _sure(
    backend: StoreBackend, found: list[Standing], criteria: Collection[str], dataset: str | None
) -> Iterator[Standing]:
    """Yield standings that hold now: of a run that has begun an epoch since, those its scores make."""
    newest = backend.newest_epochs(list(dict.fromkeys(one.run for one in found)))
    doubtful = {one.run for one in found if one.epoch != newest.get(one.run)}
    yield from (one for one in found if one.run not in doubtful)
    for run in doubtful:
        try:
            made = ranking.made(backend, run)
        except CorruptData as error:
            logger.warning("run %s is left out: %s", run, error)
            continue
        yield from (one for one in made if one.criterion in criteria and dataset in (None, one.dataset))


def _one_a_run(standings: Iterator[Standing]) -> list[Standing]:
    """Return the best standing of each run, the best first."""
    best: dict[str, Standing] = {}
    for one in sorted(standings, key=lambda one: one.order):
        best.setdefault(one.run, one)
    return list(best.values())


def _criteria(backend: StoreBackend, criterion: str) -> list[str]:
    """Return the criteria that are meant by one in full or by a score; raises ``NotFound`` if none is."""
    known = backend.rated()
    if meant := [one for one in known if criterion in (one, one.rpartition("__")[2])]:
        return meant
    if not known:
        raise NotFound(
            f"no run in {backend!r} has scores to be compared by; see  dacapo validate --help. Scores that "
            "an earlier version stored are compared after  dacapo store init"
        )
    names = dict.fromkeys([*known, *(one.rpartition("__")[2] for one in known)])
    raise NotFound(f"no run is scored by {criterion!r:.80}; {_hint(criterion, list(names), known)}")


def _check_dataset(backend: StoreBackend, criteria: list[str], dataset: str | None) -> None:
    known = sorted({name for one in criteria for name in backend.rated(one)})
    if dataset is not None and dataset not in known:
        words = " or ".join(criteria)
        raise NotFound(
            f"no run is scored by {words} on the dataset {dataset!r:.80}; {_hint(dataset, known, known)}"
        )


def _hint(asked: str, choices: list[str], known: list[str]) -> str:
    """Return what may have been meant, and what there is."""
    meant = did_you_mean(asked, choices, most=3)
    shown = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    return f"{meant} there are {shown}".lstrip()
