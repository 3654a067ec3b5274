"""Stats and scores out of the pickles of old file stores, when somebody says that they may be read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dacapo.errors import CorruptData
from dacapo.names import RunKey

from .. import ranking
from ..backend import Block
from ..blocks import joined
from ..place import Place
from . import pickles
from .entries import block_of, check, scores_of
from .files import SCORES, STATS, OldFiles
from .reading import RUNS, WithOldData
from .upgrade import is_written, write_log


def import_pickles(place: Place) -> Iterator[str]:
    """Import what the pickles of a file store hold, and say of each run what was done.

    They are read as plain data: a pickle that names anything to be run is refused, and stays.
    What was imported is moved to ``.before-upgrade``; it is seen once all of it is there.
    """
    backend = place.documents
    if not isinstance(backend, WithOldData) or not isinstance(backend.old, OldFiles):
        return
    for name in backend.old.logged():
        run = backend.owner(name)
        if run is None or not backend.old.names_run(name):
            yield f"stats of {name!r}: left as they are: there is no run of that name"
            continue
        try:
            yield f"run {run}: {_import(backend, backend.old, name, run)}"
        except CorruptData as error:
            yield f"run {run}: left as it is: {error}"
    ranking.complete(place.documents)


def _import(backend: WithOldData, old: OldFiles, name: str, run: RunKey) -> str:
    stats, scores = (_entries(old, kind, name) for kind in (STATS, SCORES))
    block, numbers = block_of(stats), scores_of(scores)
    if not is_written(backend.inner, run):
        # Imported here: it knows tasks and evaluators.
        from .labels import records_of

        records = records_of(numbers, backend.get(RUNS, run) or {})
        write_log(backend.inner, run, block, records)
    elif not _is_the_same(backend, run, block):
        return "left as it is: the run has stats of its own from the beginning"
    for kind in (SCORES, STATS):  # the stats last: they tell an import that was interrupted here
        old.put_log_aside(kind, name)
    until = 0 if block is None else int(block.iterations[-1]) + 1
    return f"stats until iteration {until}, scores of {len(numbers)} iterations"


def _entries(old: OldFiles, kind: str, name: str) -> list[dict[str, object]]:
    path = old.stats_folder / kind / name
    if not path.is_file():
        return []
    needed = {"iteration", "loss", "time"} if kind == STATS else {"iteration", "scores"}
    return check(pickles.load(path), needed, str(path))


def _is_the_same(backend: WithOldData, run: RunKey, block: Block | None) -> bool:
    """Say whether the run's first epoch is what an interrupted import left, complete."""
    found = joined(backend.inner.blocks(run, 0))
    if block is None:
        return not len(found)
    return np.array_equal(found.iterations, block.iterations) and np.array_equal(
        found.columns["loss"], block.columns["loss"], equal_nan=True
    )
