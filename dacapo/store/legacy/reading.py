"""Old data as if it had been written in the present format: what a backend does not have is found there.

The stats of an earlier DaCapo are a run's epoch 0, read only; whatever is written here begins
with epoch 1, so both are one series.  An old checkpoint looks like one of ours, and is turned
into one when it is read.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from dacapo.documents import META, Document
from dacapo.names import RunKey, segment, twins_of

from ..backend import Block, Epoch, Past, ScoresRecord, StoreBackend, Tail
from ..config_store import CLASSES
from ..listing import Found, Query, chosen, row_of
from ..previews import Outline, outline_of
from .names import alias, key_of, owner, split
from .old_data import OldData

if TYPE_CHECKING:
    from ..memory import MemoryBackend

RUNS, BEST = "runs", "best"
CUTS_NOTHING = 2**53  # where an epoch begins if only an import could tell how far the old stats go
FORMER = "former_name"
_MANIFEST = "manifest.json"


def with_old_data(backend: StoreBackend, configs: Callable[[], StoreBackend] | None = None) -> StoreBackend:
    """Return a backend that also finds what an earlier DaCapo left in its place, if there is anything.

    ``configs`` opens the backend of the configs, if that is another one; then here are weights only.
    """
    old = backend.old_data(weights_only=configs is not None)
    return backend if old is None else cast(StoreBackend, WithOldData(backend, old, configs))


class WithOldData:
    """A backend and what an earlier DaCapo left in its place; the backend's own data always wins.

    A primitive that is not mentioned here is the backend's: old data has no say in it.
    """

    def __init__(
        self, inner: StoreBackend, old: OldData, configs: Callable[[], StoreBackend] | None = None
    ) -> None:
        self.inner, self.old = inner, old
        self._open_configs = configs
        self._configs: Any = None
        self._converted: tuple[str, int] | None = None
        self._scratch: MemoryBackend | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The backend's own class: whoever asks for a backend of files is given one."""
        return type(self.inner)

    def __reduce__(self) -> Any:
        return WithOldData, (self.inner, self.old, self._open_configs)

    def __repr__(self) -> str:
        return repr(self.inner)

    # whose old data is

    @property
    def configs(self) -> Any:
        """The backend that the configs are in: it knows which runs there were."""
        if self._configs is None:
            self._configs = self._open_configs() if self._open_configs else self
        return self._configs

    def owner(self, name: str) -> RunKey | None:
        """Return the run that stats and checkpoints of an old name belong to.

        What no old run of that name is there for can be read under the name until somebody
        stores a run of that name in the present format.
        """
        configs = self.configs
        is_old = isinstance(configs, WithOldData)
        if is_old and (repetitions := configs.old.repetitions(name)):
            return owner(name, repetitions)
        key = owner(name, [])
        return None if (configs.inner if is_old else configs).get(RUNS, key) is not None else key

    def _name(
        self, run: str, names: Callable[[str], Iterable[str]], is_there: Callable[[str], Any]
    ) -> str | None:
        """Return the old name that something is kept under that belongs to a run."""
        plain, _ = split(run)
        for name in [plain, *names(plain)] if "~" in plain else [plain]:
            # Whose it is takes a look at the configs: only once there is something.
            if alias(name) == plain and is_there(name) and self.owner(name) == run:
                return name
        return None

    def log_name(self, run: str) -> str | None:
        """Return the old name whose stats and scores are those of a run, if there are any."""
        return self._name(run, self.old.logged, self.old.has_log)

    def trained_name(self, run: str) -> str | None:
        """Return the old name whose checkpoints are those of a run, if there are any."""
        return self._name(run, self.old.trained, self.old.checkpoints)

    def is_old(self, run: str) -> bool:
        """Say whether anything of a run is kept as an earlier DaCapo wrote it."""
        own = self.inner.get(RUNS, run) is not None and self._has_own(RUNS, run)
        return bool((not own and self.behind(RUNS, run)) or self.log_name(run) or self.trained_name(run))

    # documents

    def put(self, collection: str, key: str, document: Document, *, replace: bool = False) -> bool:
        """Keep a document; a key that an old config has is taken too."""
        if not replace and collection != BEST and self.get(collection, key) is not None:
            return False
        return self.inner.put(collection, key, document, replace=replace)

    def add(self, collection: str, key: str, document: Document) -> str | None:
        """Keep a document unless it or a twin of it is there, old configs among them."""
        return StoreBackend.add(cast(StoreBackend, self), collection, key, document)

    def get(self, collection: str, key: str) -> Document | None:
        """Return the document of a key, an old one if there is none of the present format."""
        document = self.inner.get(collection, key)
        if collection == BEST:
            return document or self.old_best(key.partition("/")[0]).get(key)
        is_own = META in (document or ()) or not self.old.in_place or collection not in CLASSES
        if document is not None and is_own:
            return document
        if document is not None and key_of_document(collection, document) == key:
            return document
        if (found := self.behind(collection, key)) is None:
            return None
        name, repetition = found
        document = self.old.document(collection, name, repetition)
        return None if document is None else renamed(document, collection, name)

    def behind(self, collection: str, key: str) -> tuple[str, int] | None:
        """Return the old name and repetition behind a key, if there is such a config."""
        plain, repetition = split(key) if collection == RUNS else (str(key), 0)
        for name in self._candidates(collection, plain):
            fits = alias(name, collection) == plain
            if fits and self.old.document(collection, name, repetition) is not None:
                return name, repetition
        return None

    def _candidates(self, collection: str, plain: str) -> list[str]:
        if collection not in CLASSES:
            return []
        return [plain, *self.old.names(collection, plain)] if "~" in plain else [plain]

    def twins(self, collection: str, key: str) -> list[str]:
        """Return the keys that differ from one only in case, those of old configs among them."""
        return twins_of(key, self.keys(collection))

    def keys(self, collection: str, prefix: str = "") -> list[str]:
        """Return the keys that begin with ``prefix``, those of old configs among them."""
        found = set(self.inner.keys(collection, prefix))
        if collection == BEST:
            run, slash, _ = prefix.partition("/")
            found |= {key for key in self.old_best(run) if key.startswith(prefix)} if slash else set()
            return sorted(found)
        begin = _name_in(prefix) if collection == RUNS else prefix
        names = self.old.names(collection, begin) if collection in CLASSES else []
        if self.old.in_place:  # the backend lists these files under names that may not be their keys
            found -= set(names)
        for name in names:
            found |= {key for key in self.keys_of(collection, name) if key.startswith(prefix)}
        return sorted(found)

    def keys_of(self, collection: str, name: str) -> list[str]:
        """Return the keys under which the configs of an old name are found."""
        repetitions = self.old.repetitions(name) if collection == RUNS else [0]
        return [key_of(collection, name, repetition) for repetition in repetitions]

    def remove(self, collection: str, key: str) -> bool:
        """Remove a document, and the old one behind it."""
        if collection == BEST:
            return any([self.inner.remove(collection, key), self._remove_best(key)])
        found = self.behind(collection, key)
        removed = self.inner.remove(collection, key) if self._has_own(collection, key) else False
        if found is not None:
            removed = self.old.remove_document(collection, *found) or removed
        return removed

    def find(self, collection: str, query: Query, fields: Sequence[str] = ()) -> Found:
        """Return the documents that are asked for, old ones among them."""
        found = dict(self.inner.find(collection, query, fields))
        if collection not in CLASSES:
            return list(found.items())
        own = set(self.inner.keys(collection))
        if self.old.in_place:
            names = set(self.old.names(collection))
            own -= names
            found = {key: row for key, row in found.items() if key not in names}
        rows = [
            (key_of(collection, name, repetition), row_of(collection, document))
            for name, repetition, document in self.old.rows(collection, whole=bool(query.uses))
        ]
        found |= dict(chosen([(key, row) for key, row in rows if key not in own], query, fields))
        return sorted(found.items())

    def _has_own(self, collection: str, key: str) -> bool:
        """Say whether a key is the backend's own: where old files lie in place it may be another's."""
        if not self.old.in_place or collection not in CLASSES:
            return True
        document = self.inner.get(collection, key)
        return document is not None and (META in document or key_of_document(collection, document) == key)

    def old_best(self, run: str) -> dict[str, Document]:
        """Return what was recorded as best of a run, by key, in the present form."""
        name = self.trained_name(run)
        return {
            f"{run}/{segment(f'{dataset}/{criterion}')}": {
                "run": str(run),
                "dataset": dataset,
                "criterion": criterion,
                "iteration": iteration,
                "value": None,
                "parameters": None,
            }
            for dataset, criterion, iteration in (self.old.best(name) if name is not None else ())
        }

    def _remove_best(self, key: str) -> bool:
        run = key.partition("/")[0]
        document, name = self.old_best(run).get(key), self.trained_name(run)
        if document is None or name is None:
            return False
        return self.old.remove_best(name, document["dataset"], document["criterion"])

    # stats and scores

    def epochs(self, run: str) -> list[Epoch]:
        """Return the epochs of a run; old stats are epoch 0."""
        epochs = self.inner.epochs(run)
        if any(epoch.number == 0 for epoch in epochs) or (name := self.log_name(run)) is None:
            return epochs
        return [Epoch(0, 0), *(epochs or [self._next(name)])]

    def newest_epoch(self, run: str) -> int | None:
        """Return the newest epoch, the one after the old stats if none was begun."""
        newest = self.inner.newest_epoch(run)
        return 1 if newest is None and self.log_name(run) is not None else newest

    def newest_epochs(self, runs: Sequence[str]) -> dict[str, int]:
        """Return the newest epoch of each run, asked one by one: any may be an old one."""
        return StoreBackend.newest_epochs(cast(StoreBackend, self), runs)

    def _next(self, name: str) -> Epoch:
        """Return the epoch in which a run goes on after its old stats."""
        end = self.old.end(name)
        return Epoch(1, CUTS_NOTHING if end is None else end)

    def _is_old(self, run: str, epoch: int) -> str | None:
        """Return the old name if that epoch of a run is its old stats."""
        if epoch or any(one.number == 0 for one in self.inner.epochs(run)):
            return None
        return self.log_name(run)

    def add_epoch(self, run: str, epoch: Epoch) -> bool:
        """Begin an epoch; that of old stats is taken."""
        if self._is_old(run, epoch.number) is not None:
            return False
        if epoch.past is not None and not self.old.can_read_logs and self._is_old(run, 0):
            # What only an import can read counts up to here, once it is there.
            unread = Past(0, stats=epoch.start, cut=epoch.start, scores=CUTS_NOTHING)
            epoch = attrs.evolve(epoch, past=(unread, *(one for one in epoch.past if one.number)))
        return self.inner.add_epoch(run, epoch)

    def _begin_first(self, run: str, epoch: int) -> None:
        """Store the epoch that goes on after the old stats, before the first is appended to it."""
        if epoch == 1 and self.inner.newest_epoch(run) is None and (name := self.log_name(run)):
            self.inner.add_epoch(run, self._next(name))

    def append_block(self, run: str, epoch: int, block: Block) -> None:
        """Add a block of stats, behind the old ones."""
        if block.sequence == 0:
            self._begin_first(run, epoch)
        self.inner.append_block(run, epoch, block)

    def append_scores(self, run: str, epoch: int, *records: ScoresRecord) -> None:
        """Add scores, behind the old ones."""
        self._begin_first(run, epoch)
        self.inner.append_scores(run, epoch, *records)

    def tail(self, run: str, epoch: int) -> Tail:
        """Return the end of an epoch's stats."""
        if (name := self._is_old(run, epoch)) is None:
            return self.inner.tail(run, epoch)
        block = self.old.stats(name, last=True)
        return Tail(block, 0 if block is None else 1)

    def blocks(self, run: str, epoch: int, begin: int = 0, end: int | None = None) -> list[Block]:
        """Return the stats of an epoch; old ones are one block, with sequence 0."""
        if (name := self._is_old(run, epoch)) is None:
            return self.inner.blocks(run, epoch, begin, end)
        block = self.old.stats(name) if begin == 0 else None
        return [] if block is None else [block]

    def last_iterations(self, runs: Sequence[str]) -> dict[str, int | None]:
        """Return how far the newest epoch of each run goes, asked one by one: any may be an old one."""
        return StoreBackend.last_iterations(cast(StoreBackend, self), runs)

    def outlines(self, run: str, epoch: int, metric: str | None = None) -> list[Outline | Block]:
        """Return the blocks of an epoch by their outline; of old ones it is worked out each time."""
        if self._is_old(run, epoch) is None:
            return self.inner.outlines(run, epoch, metric)
        return [outline_of(block, metric) for block in self.blocks(run, epoch)]

    def scores(self, run: str, epoch: int) -> list[ScoresRecord]:
        """Return the scores of an epoch; old ones are given labels."""
        if (name := self._is_old(run, epoch)) is None:
            return self.inner.scores(run, epoch)
        return list(self.old_scores(run, name))

    def old_scores(self, run: str, name: str) -> Iterator[ScoresRecord]:
        """Yield the scores of an old name, labelled by the config of the run."""
        # Imported here: it knows tasks and evaluators, and few ask for scores.
        from .labels import records_of

        return records_of(self.old.scores(name), self.configs.get(RUNS, run) or {})

    def remove_stats(self, run: str) -> bool:
        """Remove the stats of a run, old ones too."""
        name = self.log_name(run)
        return any([self.inner.remove_stats(run), name is not None and self.old.remove_stats(name)])

    def remove_scores(self, run: str) -> bool:
        """Remove the scores of a run, old ones too."""
        name = self.log_name(run)
        return any([self.inner.remove_scores(run), name is not None and self.old.remove_scores(name)])

    def logged_runs(self, prefix: str = "") -> list[str]:
        """Return the runs that have stats or scores, old ones too."""
        return self._with_owners(self.inner.logged_runs(prefix), self.old.logged(_name_in(prefix)), prefix)

    def _with_owners(self, runs: list[str], names: list[str], prefix: str) -> list[str]:
        owners = map(self.owner, names)
        return sorted({*runs, *(run for run in owners if run is not None and run.startswith(prefix))})

    # checkpoints

    def put_blob(self, run: str, name: str, chunks: Iterable[Any]) -> None:
        """Publish a blob; an old checkpoint makes room, and can be read until this one is complete."""
        self.put_blobs(run, {name: chunks})

    def put_blobs(self, run: str, blobs: Mapping[str, Iterable[Any]]) -> None:
        """Publish blobs; see ``put_blob``."""
        for iteration in {_iteration_of(name) for name in blobs}:
            if iteration is not None:
                self.old.set_aside(run, iteration)  # it may lie where the new one goes, whosever it is
        self.inner.put_blobs(run, blobs)

    def get_blob(self, run: str, name: str, *, mapped: bool = False) -> Any:
        """Return a blob; those of an old checkpoint are made when its manifest is asked for."""
        data = self.inner.get_blob(run, name, mapped=mapped)
        if data is not None or (iteration := _iteration_of(name)) is None:
            return data
        if name.endswith(f"/{_MANIFEST}") and not self._convert(run, iteration):
            return None
        return self._scratch.get_blob(run, name) if self._converted == (run, iteration) else None  # type: ignore[union-attr]

    def _convert(self, run: str, iteration: int) -> bool:
        """Turn an old checkpoint into one of ours, in memory; return False if there is none."""
        old = self.trained_name(run)
        if old is None or iteration not in self.old.checkpoints(old):
            return False
        if self._converted != (run, iteration):
            # Imported here: the stores import this module's package.
            from ..memory import MemoryBackend
            from ..weights_store import WeightsStore

            if self._scratch is None:
                self._scratch = MemoryBackend(f"a checkpoint of an earlier DaCapo {secrets.token_hex(8)}")
            if self._converted is not None:
                self._scratch.remove_blobs(self._converted[0])
            self._converted = None
            weights = self.old.weights(old, iteration)
            WeightsStore(self._scratch).store_weights(RunKey(run), iteration, weights)
            self._converted = (run, iteration)
        return True

    def blobs(self, run: str, prefix: str = "") -> list[str]:
        """Return the names of a run's blobs; of an old checkpoint its manifest."""
        found = set(self.inner.blobs(run, prefix))
        if (old := self.trained_name(run)) is None:
            return sorted(found)
        for iteration in self.old.checkpoints(old):
            found.discard(f"iterations/{iteration}")
            manifest = f"iterations/{iteration}/{_MANIFEST}"
            if manifest.startswith(prefix):
                found.add(manifest)
        return sorted(found)

    def remove_blobs(self, run: str, prefix: str = "") -> bool:
        """Remove blobs, and the old checkpoints that they belong to."""
        old, gone = self.trained_name(run), []
        for iteration in self.old.checkpoints(old) if old is not None else ():
            if f"iterations/{iteration}/{_MANIFEST}".startswith(prefix):
                gone.append(self.old.remove_checkpoint(str(old), iteration))
        if old is None and (others := self.old.checkpoints(run)):
            mine = set(self.inner.blobs(run, prefix)) - {f"iterations/{other}" for other in others}
            removed = [self.inner.remove_blobs(run, name) for name in sorted(mine)]
            return any(removed)
        self._converted = None
        return any([self.inner.remove_blobs(run, prefix), *gone])

    def blob_runs(self, prefix: str = "") -> list[str]:
        """Return the runs that have blobs or old checkpoints."""
        old = self.old.trained(_name_in(prefix))
        runs = [run for run in self.inner.blob_runs(prefix) if run not in old]
        return self._with_owners(runs, old, prefix)


def renamed(document: Document, collection: str, name: str) -> Document:
    """Return an old config under a name that can be kept; what it was called is noted in it."""
    if (plain := alias(name, collection)) == name:
        return document
    return {**document, "name": plain, META: {**document.get(META, {}), FORMER: name}}


def key_of_document(collection: str, document: Document) -> str | None:
    """Return the key that an old config is found under; None if it has no name."""
    name, repetition = document.get("name"), document.get("repetition") or 0
    return key_of(collection, name, int(repetition)) if isinstance(name, str) else None


def _name_in(prefix: str) -> str:
    """Return what a name of a run has to begin with for its key to begin with ``prefix``."""
    return prefix.partition(":")[0]


def _iteration_of(name: str) -> int | None:
    """Return the iteration of the checkpoint that a blob belongs to."""
    folder, _, rest = name.partition("/")
    number = rest.partition("/")[0]
    is_one = folder == "iterations" and number.isascii() and number.isdigit()
    return int(number) if is_one else None
