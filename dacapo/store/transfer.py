"""Copying runs and configs from place to place, so that only what is missing is written.

It is written once, on the primitive operations of the backends: any two of them will do.  What
is there already is compared; a difference refuses the whole run before anything of it is
written.  The config goes last: until then a run is not listed, and copying again goes on
where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import attrs
import numpy as np

from dacapo.documents import Document
from dacapo.errors import CorruptData, DuplicateNameError
from dacapo.names import RunKey

from . import checkpoint_names
from .backend import Block, Epoch, ScoresRecord
from .blocks import encode_scores
from .config_store import CLASSES, RUNS
from .differences import differences
from .history import write_epoch
from .manifest import Digest, checkpoint_path, seal
from .place import Place
from .remarks import Remarks
from .run_content import BEST, Checkpoint, RunContent, StoredRun
from .twins import put_without_twin, refuse_twin

SHOWN = 5


@attrs.frozen
class Step:
    """One thing that is missing: what it is, how many of them, how many bytes, and how to write it."""

    what: str
    amount: int
    size: int
    do: Callable[[], object] = attrs.field(repr=False)


def steps_of_run(content: RunContent, place: Place, key: RunKey) -> list[Step]:
    """Return what is missing of a run, in the order in which it should be written.

    Raises ``DuplicateNameError`` if something different is there under its key, and
    ``CorruptData`` if what would be copied is damaged.
    """
    return _Comparison(content, place, key).steps()


def steps_of_config(kind: str, key: str, source: Place, place: Place) -> list[Step]:
    """Return what is missing of a config of a kind (``tasks``, ``arrays``, ...) with its tags and notes."""
    given, there = source.documents.get(kind, key), place.documents.get(kind, key)
    if given is None:
        return []
    remarks = _remarks(place, kind, key, Remarks(source.documents).documents(kind, key))
    if there is None:
        refuse_twin(place.documents, kind, key)
        return [*remarks, Step("configs", 1, 0, partial(_put, place, kind, key, given))]
    _refuse(f"{kind.removesuffix('s')} {key}", str(place), differences(there, given))
    return remarks


KINDS = tuple(kind for kind in CLASSES if kind != RUNS)


class _Comparison:
    """A run to be copied, and what is there of it already."""

    def __init__(self, content: RunContent, place: Place, key: RunKey) -> None:
        self.content, self.place, self.key = content, place, key
        self.there = StoredRun(place, key)

    def steps(self) -> list[Step]:
        # What is recorded as best is asked for first: checkpoints it means are then there to be copied.
        best = self.content.best()
        logs = self._logs()
        checkpoints = [step for one in self.content.checkpoints() for step in self._checkpoint(one)]
        remarks = _remarks(self.place, RUNS, self.key, self.content.remarks())
        return [*logs, *checkpoints, *self._best(best), *remarks, *self._config()]

    def _refuse(self, found: Iterator[str]) -> None:
        _refuse(f"run {self.key}", str(self.place), found)

    def _config(self) -> Iterator[Step]:
        given, there = self.content.config(), self.there.config()
        if given is None:
            return
        name, _, repetition = str(self.key).partition(":")
        if (given.get("name"), given.get("repetition", 0)) != (name, int(repetition or 0)):
            given = {**given, "name": name, "repetition": int(repetition or 0)}
        if there is None:
            refuse_twin(self.place.documents, RUNS, self.key)
            yield Step("configs", 1, 0, partial(_put, self.place, RUNS, self.key, given))
        else:
            self._refuse(differences(there, given))

    def _best(self, best: dict[str, Document]) -> Iterator[Step]:
        stored = self.there.best()
        for name, document in best.items():
            given = {**document, "run": str(self.key)}
            if name not in stored:
                yield Step("best", 1, 0, partial(self._put_best, name, given))
            else:
                which = f"best {given['dataset']}/{given['criterion']}"
                self._refuse(differences(stored[name], given, which))

    def _put_best(self, name: str, given: Document) -> None:
        key, weights = f"{self.key}/{name}", self.place.weights
        if given.get("epoch") is None:
            weights.put(BEST, key, given, replace=True)
        elif not weights.publish(BEST, key, given, given["epoch"]):
            self._refuse(iter([f"best {name}: recorded by a later epoch in this moment"]))

    # stats and scores

    def _logs(self) -> list[Step]:
        epochs, stored = self.content.epochs(), {epoch.number: epoch for epoch in self.there.epochs()}
        steps: list[Step] = []
        more = [f"epoch {number}" for number in stored.keys() - {epoch.number for epoch in epochs}]
        for epoch in epochs:
            if epoch.number not in stored:
                steps.append(Step("epochs", 1, 0, partial(self._add_epoch, epoch)))
            else:
                there, here = write_epoch(stored[epoch.number]), write_epoch(epoch)
                self._refuse(differences(there, here, f"epoch {epoch.number}"))
            for found, extra in (self._blocks(epoch.number), self._scores(epoch.number)):
                steps += found
                more += [extra] if extra else []
        if steps and more:
            self._refuse(iter([f"{one}: present -> absent" for one in more]))
        return steps

    def _add_epoch(self, epoch: Epoch) -> None:
        if not self.place.documents.add_epoch(self.key, epoch):
            self._refuse(iter([f"epoch {epoch.number}: begun by another process in this moment"]))

    def _blocks(self, epoch: int) -> tuple[list[Step], str]:
        """Return the stats that are missing, and what is there beyond those given."""
        given, stored = self.content.blocks(epoch), self.there.blocks(epoch)
        rest, extra = _beyond(given, stored, partial(self._refuse_stats, epoch))
        if not rest:
            return [], f"stats of epoch {epoch} from iteration {extra[0].iterations[0]}" if extra else ""
        first = self.place.documents.tail(self.key, epoch).sequence
        steps = []
        for sequence, block in enumerate(rest, first):
            numbered = Block(sequence, block.iterations, block.columns)
            size = 8 * len(block.iterations) * (1 + len(block.columns))
            do = partial(self.place.documents.append_block, self.key, epoch, numbered)
            steps.append(Step("iterations", len(block.iterations), size, do))
        return steps, ""

    def _refuse_stats(self, epoch: int, stored: Block, given: Block) -> None:
        self._refuse(_between(epoch, stored, given))

    def _scores(self, epoch: int) -> tuple[list[Step], str]:
        """Return the scores that are missing, and what is there beyond those given."""
        given, stored = self.content.scores(epoch), self.there.scores(epoch)
        for mine, other in zip(stored, given, strict=False):
            if encode_scores(mine) != encode_scores(other):
                self._refuse(_between_scores(epoch, mine, other))
        append = self.place.documents.append_scores
        steps = [
            Step("scores", 1, record.values.nbytes, partial(append, self.key, epoch, record))
            for record in given[len(stored) :]
        ]
        beyond = stored[len(given) :]
        return steps, f"scores of epoch {epoch}, iteration {beyond[0].iteration}" if beyond else ""

    # checkpoints

    def _checkpoint(self, iteration: int) -> Iterator[Step]:
        try:
            given = self.content.checkpoint(iteration)
        except CorruptData as error:
            yield Step("checkpoints", 0, 0, partial(_raise, error))
            return
        if given is None:
            return
        try:
            there = self.there.checkpoint(iteration)
        except CorruptData:
            there = None  # a damaged one is replaced
        if there is not None:
            self._refuse(there.differences(given))
            if there.is_whole(self.there):
                return
        yield Step("checkpoints", 1, given.size, partial(self._copy_checkpoint, given))

    def _copy_checkpoint(self, given: Checkpoint) -> None:
        """Copy the blobs that are not there yet, and publish them by the manifest."""
        iteration, weights = given.iteration, self.place.weights
        for name, part in given.parts.items():
            path = checkpoint_path(iteration, part["blob"])
            if self._is_there(given, name, part["blob"]):
                continue
            buffer = self.content.blob(iteration, part["blob"])
            if buffer is None or len(buffer) != part["size"]:
                given.check(name, buffer)
            digest = Digest([buffer])
            weights.put_blob(self.key, path, digest)
            if digest.hexdigest() != part["sha256"]:
                weights.remove_blobs(self.key, path)
                given.check(name, buffer)
        manifest = {**given.manifest, "run": str(self.key)}
        name = checkpoint_names.manifest_of(iteration, manifest)
        weights.put_blob(self.key, checkpoint_path(iteration, name), [seal(manifest)])
        kept = {name, *(part["blob"] for part in given.parts.values())}
        for path in weights.blobs(self.key, checkpoint_path(iteration, "")):
            if path.rpartition("/")[2] not in kept:
                weights.remove_blobs(self.key, path)

    def _is_there(self, given: Checkpoint, name: str, blob: str) -> bool:
        """Say whether an earlier attempt has copied a blob already."""
        if checkpoint_path(given.iteration, blob) not in self.place.weights.blobs(
            self.key, checkpoint_path(given.iteration, blob)
        ):
            return False
        try:
            given.check(name, self.there.blob(given.iteration, blob))
        except CorruptData:
            return False
        return True


def _remarks(place: Place, kind: str, key: str, given: dict[str, dict[str, Document]]) -> list[Step]:
    """Return the tags and notes that are missing; those of the target stay beside them."""
    remarks = Remarks(place.documents)
    there = remarks.documents(kind, key)
    missing = {
        sort: {name: document for name, document in found.items() if name not in there.get(sort, {})}
        for sort, found in given.items()
    }
    count = sum(map(len, missing.values()))
    return [Step("remarks", count, 0, partial(remarks.give, kind, key, missing))] if count else []


def _raise(error: CorruptData) -> None:
    """Say what is damaged when its turn has come, so that the rest is copied."""
    raise error


def _put(place: Place, kind: str, key: str, document: Document) -> None:
    """Store a document under a free key, or find that what took it meanwhile is equal."""
    if not put_without_twin(place.documents, kind, key, document):
        stored = place.documents.get(kind, key)
        _refuse(f"{kind.removesuffix('s')} {key}", str(place), differences(stored, document))


def _refuse(what: str, place: str, found: Iterator[str]) -> None:
    """Raise ``DuplicateNameError`` if there is any difference."""
    shown = list(islice(found, SHOWN + 1))
    if shown:
        more = "; and more" if len(shown) > SHOWN else ""
        raise DuplicateNameError(
            f"{what} is already in {place}, and different (there -> given): "
            f"{'; '.join(shown[:SHOWN])}{more}. Nothing of it was copied; rename or delete one of them"
        )


def _beyond(
    given: Sequence[Block], stored: Sequence[Block], refuse: Callable[[Block, Block], None]
) -> tuple[list[Block], list[Block]]:
    """Return what given and stored blocks have beyond what they share, however they are cut.

    Where they differ ``refuse`` is called with the stored and the given rows.
    """
    mine, theirs = ([block for block in blocks if len(block.iterations)] for blocks in (given, stored))
    while mine and theirs:
        count = min(len(mine[0].iterations), len(theirs[0].iterations))
        one, other = _rows(mine[0], 0, count), _rows(theirs[0], 0, count)
        if not _is_same(one, other):
            refuse(other, one)
        for blocks in (mine, theirs):
            blocks[:1] = [_rows(blocks[0], count, None)] if len(blocks[0].iterations) > count else []
    return mine, theirs


def _rows(block: Block, begin: int, end: int | None) -> Block:
    columns = {name: column[begin:end] for name, column in block.columns.items()}
    return attrs.evolve(block, iterations=block.iterations[begin:end], columns=columns)


def _is_same(one: Block, other: Block) -> bool:
    """Say whether rows are the same to the bit."""
    return (
        one.iterations.tobytes() == other.iterations.tobytes()
        and one.columns.keys() == other.columns.keys()
        and all(column.tobytes() == other.columns[name].tobytes() for name, column in one.columns.items())
    )


def _between(epoch: int, stored: Block, given: Block) -> Iterator[str]:
    """Yield the first difference between as many rows of stats."""
    if unlike := np.flatnonzero(stored.iterations != given.iterations).tolist():
        at = unlike[0]
        yield f"stats of epoch {epoch}: iteration {stored.iterations[at]} -> {given.iterations[at]}"
        return
    for name in dict.fromkeys([*stored.columns, *given.columns]):
        if name not in stored.columns or name not in given.columns:
            there, here = (name if name in one.columns else "absent" for one in (stored, given))
            yield f"stats of epoch {epoch}, iteration {stored.iterations[0]}: {there} -> {here}"
            continue
        mine, other = stored.columns[name], given.columns[name]
        for at in np.flatnonzero(mine.view(np.int64) != other.view(np.int64))[:1]:
            where = f"stats of epoch {epoch}, iteration {stored.iterations[at]}, {name}"
            yield f"{where}: {float(mine[at])!r} -> {float(other[at])!r}"


def _between_scores(epoch: int, stored: ScoresRecord, given: ScoresRecord) -> Iterator[str]:
    """Yield in what two records of scores differ."""
    left, right = (attrs.asdict(one) | {"values": one.values.tolist()} for one in (stored, given))
    where = f"scores of epoch {epoch}, iteration {stored.iteration} on {stored.dataset}"
    found = list(differences(left, right, where))
    yield from found or [f"{where}: different"]
