"""What a place to keep experiments in has to be able to do: a handful of primitive operations.

Everything else (names, sameness, conversion, labels, checksums, retention) is written once,
in ``config_store``, ``stats_store``, ``weights_store``, on top of these.  A backend is
offered through the entry-point group ``dacapo.stores`` and passes ``dacapo.testing.stores``.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from dacapo.documents import Document
from dacapo.names import twins_of

from .listing import Found, Query, chosen, row_of
from .previews import Outline, outline_of
from .queue_backend import QueueBackend
from .standings import STANDINGS, Standing, best_of_rows, read_standings, write_standings

if TYPE_CHECKING:
    from dacapo.options import DaCapoConfig

    from .legacy.old_data import OldData


@attrs.frozen
class Claim:
    """That somebody took a run; the number, given once, tells who did so last.

    ``holder`` says in plain data who it is.  ``beat`` counts the signs of life.  ``idle`` is how
    many seconds ago the last one was, by the clock of the store, or None if it has none.
    """

    number: int
    holder: Document
    beat: int = 0
    released: bool = False
    idle: float | None = attrs.field(default=None, eq=False)


@attrs.frozen
class Past:
    """What a later epoch leaves of an earlier one; None leaves all.

    Stats of iterations before ``stats``; of the first ``scores`` records those of iterations up to
    ``cut``; checkpoints of iterations before ``cut``, and at ``cut`` the one called ``checkpoint``.
    """

    number: int
    stats: int | None = None
    cut: int | None = None
    scores: int | None = None
    checkpoint: str | None = None


@attrs.frozen
class Epoch:
    """One stretch of a run's training by one writer, and the iteration it began at.

    Each epoch cuts what earlier ones wrote from its start on, so that whoever is late
    cannot be seen.  ``past`` is what it found and left of them; without it, as earlier versions
    began epochs, only the starts cut.
    """

    number: int
    start: int
    past: tuple[Past, ...] | None = attrs.field(default=None, eq=False)


@attrs.frozen(eq=False)
class Block:
    """The stats of some iterations as columns of float64; the unit of appending.

    A block that others were merged into stands for ``span`` appends, ``sequence`` the last of them.
    """

    sequence: int
    iterations: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]
    span: int = 1

    @property
    def begin(self) -> int:
        """The sequence of the first append that the block stands for."""
        return self.sequence - self.span + 1


@attrs.frozen
class Tail:
    """The newest block of an epoch that is whole, and the sequence of the one to come."""

    block: Block | None = None
    sequence: int = 0


@attrs.frozen(eq=False)
class ScoresRecord:
    """The scores of one iteration on one dataset: parameter sets x criteria, labelled.

    ``parameters`` and ``criteria`` are plain data, as documents are.
    """

    iteration: int
    dataset: str
    parameters: list[Document]
    criteria: list[Document]
    values: NDArray[np.float64]


class StoreBackend(QueueBackend, ABC):
    """Keeps documents, append-only logs and blobs; knows nothing of what they mean.

    Keys, runs and blob names are made of segments joined by ``/``, each safe to be part of a
    path.  Whatever returns has been made to last, and nobody ever sees half of it.
    """

    # The type of store that checkpoints go to unless the option ``weights`` says otherwise; None: this one.
    usual_weights: ClassVar[str | None] = None
    # Whether ``Claim.idle`` comes from one clock for all, so that it may decide whether a holder is dead.
    keeps_time: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_options(cls, options: DaCapoConfig) -> Self:
        """Open the place that the options name."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where things are kept: a text without secrets, the same for the same place."""

    def __repr__(self) -> str:
        return self.place

    def old_data(self, *, weights_only: bool = False) -> OldData | None:
        """Return what an earlier version of DaCapo left in this place, or None; see ``legacy``.

        With ``weights_only`` the configs are elsewhere, and nothing here tells if there is any.
        """
        return None

    def prepare(self) -> list[str]:
        """Make what the place needs before it is used, and return what is there then, in words."""
        return []

    # documents

    @abstractmethod
    def put(self, collection: str, key: str, document: Document, *, replace: bool = False) -> bool:
        """Keep a document; without ``replace`` return False if the key is taken."""

    @abstractmethod
    def get(self, collection: str, key: str) -> Document | None:
        """Return the document of a key, or None."""

    @abstractmethod
    def keys(self, collection: str, prefix: str = "") -> list[str]:
        """Return the keys that begin with ``prefix``, sorted."""

    @abstractmethod
    def remove(self, collection: str, key: str) -> bool:
        """Remove a document; return False if there was none."""

    @abstractmethod
    def publish(self, collection: str, key: str, document: Document, epoch: int) -> bool:
        """Keep a document in place of one of this or an earlier epoch, or of none.

        Return False, and change nothing that is read, if there is one of a later epoch.
        """

    def add(self, collection: str, key: str, document: Document) -> str | None:
        """Keep a document unless its key or a twin of it is taken; return the one in its way, or None.

        Of two that add twins in the same moment at least one is refused; worth a way that looks less often.
        """
        if (twins := self.twins(collection, key)) and self.get(collection, key) is None:
            return twins[0]
        if not self.put(collection, key, document):
            return key
        # Each looks again once its own is there for the other to see.
        if twins := self.twins(collection, key):
            self.remove(collection, key)
            return twins[0]
        return None

    def find(self, collection: str, query: Query, fields: Sequence[str] = ()) -> Found:
        """Return the documents that are asked for, by key, each with those of its fields; worth an index.

        Which fields there are is said by ``listing.fields_of``; others raise ``InvalidRequest``.
        """
        query.check(collection, fields)
        found = ((key, self.get(collection, key)) for key in self.keys(collection, query.prefix))
        rows = [(key, row_of(collection, one)) for key, one in found if one is not None]
        return chosen(rows, query, fields)

    def twins(self, collection: str, key: str) -> list[str]:
        """Return the other keys that differ from one only in case or encoding, sorted; worth an index."""
        return twins_of(key, self.keys(collection))

    # claims: who may write to a run

    @abstractmethod
    def claim(self, run: str, claim: Claim, over: Claim | None = None) -> bool:
        """Take a run under a new number; return False if it or a later one is taken.

        ``over`` is the claim that this one ends, as it was read: if it has given a sign of life
        since, the answer is False too, as far as the place can tell.
        """

    @abstractmethod
    def newest_claim(self, run: str) -> Claim | None:
        """Return the newest claim of a run, released or not."""

    @abstractmethod
    def renew_claim(self, run: str, number: int) -> bool:
        """Give a sign of life; return False if the claim is not the newest any more, or was released."""

    @abstractmethod
    def release_claim(self, run: str, number: int) -> None:
        """End a claim: its run may be taken at once.  Nothing happens to a claim that has ended."""

    @abstractmethod
    def open_claims(self, prefix: str = "") -> dict[str, Claim]:
        """Return, by run, the newest claims that are not released, of the runs that begin with ``prefix``."""

    # logs: stats and scores under (run, epoch, sequence)

    @abstractmethod
    def epochs(self, run: str) -> list[Epoch]:
        """Return the epochs of a run, oldest first."""

    def newest_epoch(self, run: str) -> int | None:
        """Return the number of the newest epoch; worth a quicker way than reading them all."""
        epochs = self.epochs(run)
        return epochs[-1].number if epochs else None

    def newest_epochs(self, runs: Sequence[str]) -> dict[str, int]:
        """Return the newest epoch of each of these runs that has any; worth asking for many at once."""
        found = {run: self.newest_epoch(run) for run in runs}
        return {run: number for run, number in found.items() if number is not None}

    @abstractmethod
    def add_epoch(self, run: str, epoch: Epoch) -> bool:
        """Begin an epoch; return False if there is one of that number."""

    @abstractmethod
    def append_block(self, run: str, epoch: int, block: Block) -> None:
        """Add a block of stats; it has to begin at the sequence to come, else ``StoreError``.

        Adding the last one again, unchanged, does nothing: a retry is safe.
        """

    @abstractmethod
    def tail(self, run: str, epoch: int) -> Tail:
        """Return the end of an epoch's stats, without reading what is before it."""

    def last_iterations(self, runs: Sequence[str]) -> dict[str, int | None]:
        """Return the last iteration that the newest epoch of each of these runs has stats of, or None.

        Runs without epochs are left out.  Worth a way that asks for many at once.
        """
        newest = {run: number for run in runs if (number := self.newest_epoch(run)) is not None}
        blocks = {run: self.tail(run, number).block for run, number in newest.items()}
        return {run: None if block is None else int(block.iterations[-1]) for run, block in blocks.items()}

    @abstractmethod
    def blocks(self, run: str, epoch: int, begin: int = 0, end: int | None = None) -> list[Block]:
        """Return the stats of an epoch, in the order they were added.

        With ``begin`` and ``end`` only those with a sequence from the one to the other.
        """

    def outlines(self, run: str, epoch: int, metric: str | None = None) -> list[Outline | Block]:
        """Return the blocks of an epoch, long ones by their outline; worth a way that reads little.

        With ``metric`` only its preview is asked for.
        """
        return [outline_of(block, metric) for block in self.blocks(run, epoch)]

    @abstractmethod
    def merge_blocks(self, run: str, epoch: int, merged: list[Block]) -> bool:
        """Put blocks in place of the ``span`` appends that each stands for; the newest is never among them.

        Whoever reads meanwhile sees those or these, and a retry is safe.  Returns False if there
        are no blocks that begin and end where one of these does; those before it may be done then.
        """

    @abstractmethod
    def append_scores(self, run: str, epoch: int, *records: ScoresRecord) -> None:
        """Add scores, all in one request; those of the same iteration and dataset are superseded."""

    @abstractmethod
    def scores(self, run: str, epoch: int) -> list[ScoresRecord]:
        """Return the scores of an epoch, in the order they were added."""

    @abstractmethod
    def remove_stats(self, run: str) -> bool:
        """Remove all blocks of a run; return False if there were none."""

    @abstractmethod
    def remove_scores(self, run: str) -> bool:
        """Remove all scores of a run; return False if there were none."""

    @abstractmethod
    def logged_runs(self, prefix: str = "") -> list[str]:
        """Return the runs that have epochs and whose key begins with ``prefix``, sorted."""

    def sweep(self, seconds: float, *, dry_run: bool = False) -> list[str]:
        """Remove what killed processes left of writes that nothing refers to, if it is that old.

        Return what it is, in words; with ``dry_run`` it stays.
        """
        return []

    # standings: what is best of each run, made from its scores so that runs can be compared

    def rank(
        self, run: str, epoch: int, standings: Sequence[Standing], changed: Sequence[Standing] | None = None
    ) -> bool:
        """Keep all standings of a run, in place of those that this or an earlier epoch kept.

        Return False, and change nothing that is found, if a later one did.  Those that are ``changed`` say in
        which they differ from the last that this epoch kept: only these need be written.
        """
        return self.publish(STANDINGS, run, write_standings(run, epoch, standings), epoch)

    def unrank(self, run: str) -> bool:
        """Remove the standings of a run; return False if none were kept."""
        return self.remove(STANDINGS, run)

    def standings(self, run: str) -> list[Standing]:
        """Return the standings of a run, the order being of no meaning."""
        return read_standings(run, self.get(STANDINGS, run))

    def ranked_runs(self) -> list[str]:
        """Return the runs that standings are kept of, be they none, sorted."""
        return self.keys(STANDINGS)

    def rated(self, criterion: str | None = None) -> list[str]:
        """Return the criteria that any run has a standing by, sorted; of one the datasets."""
        found: set[str] = set()
        for _, row in self.find(STANDINGS, Query(), ("ranks",)):
            ranks = row["ranks"] or {}
            found.update(ranks if criterion is None else ranks.get(criterion, ()))
        return sorted(found)

    def ranked(
        self,
        criteria: Collection[str],
        dataset: str | None,
        count: int,
        among: Collection[str] | None = None,
    ) -> list[Standing]:
        """Return the best standings by some criteria, on one dataset or any; worth an index.

        They sort by rank and run; with ``among`` they are of these runs only.
        """
        rows = self.find(STANDINGS, Query(), ("ranks",))
        if among is not None:
            rows = [(run, row) for run, row in rows if run in among]
        best = heapq.nsmallest(count, best_of_rows(rows, criteria, dataset))
        found = {one.order: one for run in {order[1] for order in best} for one in self.standings(run)}
        return [found[order] for order in best if order in found]  # it may change in this moment

    # logs and blobs together

    def is_old(self, run: str) -> bool:
        """Say whether anything of a run is kept as an earlier DaCapo wrote it, and cannot be moved."""
        return False

    @abstractmethod
    def move_run(self, run: str, new: str) -> None:
        """Give all logs, blobs and records of the best of a run another key; there is nothing under it.

        Done again after an interruption, it goes on where it was.
        """

    # blobs

    @abstractmethod
    def put_blob(self, run: str, name: str, chunks: Iterable[Any]) -> None:
        """Publish bytes under a name of a run, in place of what was there."""

    def put_blobs(self, run: str, blobs: Mapping[str, Iterable[Any]]) -> None:
        """Publish blobs by their names, one by one or at once; worth waiting for the disk only once."""
        for name, chunks in blobs.items():
            self.put_blob(run, name, chunks)

    @abstractmethod
    def get_blob(self, run: str, name: str, *, mapped: bool = False) -> Any:
        """Return the bytes of a blob in a writable buffer, or None.

        With ``mapped`` they may be read from their place only when they are needed.
        """

    @abstractmethod
    def blobs(self, run: str, prefix: str = "") -> list[str]:
        """Return the names of a run's blobs that begin with ``prefix``, sorted."""

    @abstractmethod
    def remove_blobs(self, run: str, prefix: str = "") -> bool:
        """Remove the blobs whose names begin with ``prefix``; return False if there were none."""

    @abstractmethod
    def blob_runs(self, prefix: str = "") -> list[str]:
        """Return the runs that have blobs and whose key begins with ``prefix``, sorted."""
