"""Rewriting old data in the present format, step by step, so that it may be interrupted anywhere.

Every step can be repeated: what is rewritten already is passed over.  Nothing is shown half:
stats and scores are seen once their epoch is stored, a checkpoint once its manifest is.  Old
data stays: in a database where it is, in a folder beside the new in ``.before-upgrade``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dacapo.documents import META
from dacapo.errors import CorruptData, StoreError
from dacapo.names import RunKey

from .. import ranking
from ..backend import Block, Epoch, ScoresRecord, StoreBackend
from ..config_store import CLASSES, RUNS
from ..place import Place
from ..stats_store import StatsStore
from ..weights_store import WeightsStore
from .reading import BEST, WithOldData
from .rewriting import UPGRADED, rewritten

LARGEST = 2**16  # iterations a block
_LEFT = "left as"


def upgrade(place: Place, *, dry_run: bool = False) -> Iterator[str]:
    """Rewrite all old data of a place, and say of each piece what was done, or would be.

    What cannot be read stays where it is, and the line about it says why.  Epochs, checkpoints
    and records of the present format are never changed.
    """
    left = False
    for line in _upgraded(place, dry_run):
        left = left or _LEFT in line
        yield line
    if not (left or dry_run) and isinstance(place.documents, WithOldData):
        place.documents.old.finish()


def _upgraded(place: Place, dry_run: bool) -> Iterator[str]:
    documents, weights = place.documents, place.weights
    if isinstance(documents, WithOldData):
        yield from _configs(documents, dry_run)
        yield from _logs(documents, dry_run)
    if isinstance(weights, WithOldData):
        yield from _checkpoints(weights, dry_run)
    if isinstance(documents, WithOldData) and not dry_run:
        yield from _best_by_scores(documents, weights)
        ranking.complete(place.documents)


def write_log(
    backend: StoreBackend, run: RunKey, stats: Block | None, records: Iterable[ScoresRecord]
) -> None:
    """Write stats and scores as epoch 0 of a run, which is seen when all of it is there.

    Done again after an interruption, it goes on where that was.
    """
    pieces = _pieces(stats) if stats is not None else []
    for piece in pieces[backend.tail(run, 0).sequence :]:
        backend.append_block(run, 0, piece)
    there = {(record.iteration, record.dataset) for record in backend.scores(run, 0)}
    for record in records:
        if (record.iteration, record.dataset) not in there:
            backend.append_scores(run, 0, record)
    backend.add_epoch(run, Epoch(0, 0))
    ranking.renew(backend, run)


def is_written(backend: StoreBackend, run: RunKey) -> bool:
    """Say whether a run has an epoch 0 in the present format."""
    return any(epoch.number == 0 for epoch in backend.epochs(run))


def _pieces(block: Block) -> list[Block]:
    starts = range(0, len(block.iterations), LARGEST)
    return [
        Block(
            sequence,
            block.iterations[begin : begin + LARGEST],
            {name: column[begin : begin + LARGEST] for name, column in block.columns.items()},
        )
        for sequence, begin in enumerate(starts)
    ]


def _configs(backend: WithOldData, dry_run: bool) -> Iterator[str]:
    for collection in CLASSES:
        for name in backend.old.names(collection):
            for key in backend.keys_of(collection, name):
                what = f"{collection.removesuffix('s')} {key}"
                try:
                    if _config(backend, collection, name, key, dry_run):
                        yield f"{what}: config"
                except CorruptData as error:
                    yield f"{what}: left as it is: {error}"


def _config(backend: WithOldData, collection: str, name: str, key: str, dry_run: bool) -> bool:
    """Rewrite one config; return False if that was done before."""
    present = backend.inner.get(collection, key)
    is_new = present is not None and (META in present or not backend.old.in_place)
    document = None if is_new else backend.get(collection, key)
    if dry_run:
        return document is not None
    backend.old.remember(collection, name)
    if document is not None:
        backend.inner.put(collection, key, rewritten(document, collection), replace=backend.old.in_place)
    if key != name:
        backend.old.retire(collection, name)
    return document is not None


def _logs(backend: WithOldData, dry_run: bool) -> Iterator[str]:
    for name in backend.old.logged():
        run = backend.owner(name)
        if run is None or (not backend.old.names_run(name)):
            yield f"stats of {name!r}: left as they are: there is no run of that name"
        elif not backend.old.can_read_logs:
            yield f"stats of run {run}: left as they are: pickles; see  dacapo store import-legacy --help"
        elif not is_written(backend.inner, run):
            stats = backend.old.stats(name, last=dry_run)
            records = list(backend.old_scores(run, name))
            if not dry_run:
                write_log(backend.inner, run, stats, records)
            until = 0 if stats is None else int(stats.iterations[-1]) + 1
            iterations = len({record.iteration for record in records})
            yield f"run {run}: stats until iteration {until}, scores of {iterations} iterations"


def _checkpoints(backend: WithOldData, dry_run: bool) -> Iterator[str]:
    store = WeightsStore(backend)  # type: ignore[arg-type]
    for name in backend.old.trained():
        if (run := backend.owner(name)) is None:
            yield f"checkpoints of {name!r}: left as they are: another run has that name now"
            continue
        for iteration in backend.old.checkpoints(name):
            if has_checkpoint(backend.inner, run, iteration):
                continue
            try:
                if not dry_run:
                    store.store_weights(run, iteration, backend.old.weights(name, iteration))
                yield f"run {run}: checkpoint {iteration}"
            except StoreError as error:
                yield f"run {run}: checkpoint {iteration} left as it is: {error}"
        for key, document in backend.old_best(run).items():
            if backend.inner.get(BEST, key) is None:
                if not dry_run:
                    backend.inner.put(BEST, key, document)
                yield f"run {run}: best by {document['dataset']}/{document['criterion']}"


def has_checkpoint(backend: StoreBackend, run: RunKey, iteration: int) -> bool:
    """Say whether there is a checkpoint in the present format."""
    return iteration in WeightsStore(backend).iterations(run)


def _best_by_scores(documents: WithOldData, weights: StoreBackend) -> Iterator[str]:
    """Record the best checkpoints of runs that were scored by an earlier version, which did not."""
    stats_store, weights_store = StatsStore(documents), WeightsStore(weights)  # type: ignore[arg-type]
    for key in documents.inner.keys(RUNS):
        run, document = RunKey(key), documents.get(RUNS, key) or {}
        if UPGRADED not in document.get(META, {}) or weights_store.best(run):
            continue
        if recorded := weights_store.record_best(run, stats_store.retrieve_validation_scores(run)):
            yield f"run {run}: best by {recorded} scores"
