"""The same random commands to two backends, and the same answers demanded.

    class TestMyBackend(comparison(open_model, open_mine).TestCase):
        settings = settings(max_examples=20, stateful_step_count=30)

The first, the model, is as a rule the memory backend.  Answers are compared with the type of
every value, the order of keys, NaN and the sign of zero; errors by their class.  Each example
is played in a new place, and either side may be opened again at any moment.

Needs ``hypothesis``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dacapo.errors import DacapoError
from dacapo.store.backend import Block, Claim, Epoch, ScoresRecord, StoreBackend, Tail
from dacapo.store.blocks import can_merge, merged
from dacapo.store.listing import Query
from dacapo.store.standings import Standing

from .leases import Opener
from .queue_machine import QueueRules

# Begins a new place, and returns the function that opens it.
Fresh = Callable[[], Opener]

COLLECTIONS = st.sampled_from(["tasks", "runs"])
RUNS = st.sampled_from(["run", "run:1", "run-2", "ärger 1"])
NAMES = st.sampled_from(["a", "a-b", "ab", "ä.b", "run", "run:1"])
PREFIXES = st.sampled_from(["", "a", "ab", "run:", "x"])
BLOBS = st.sampled_from(["iterations/1/model", "iterations/10/model", "iterations/10/manifest", "trace"])
BLOB_PREFIXES = st.sampled_from(["", "iterations/", "iterations/1", "iterations/10/", "trace", "none/"])
NUMBERS = st.floats() | st.sampled_from([-0.0, 5e-324, 1e308])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["a.b", "$set", "", "$", "ü", "__type__", "_id"]) | TEXTS
DOCUMENTS = st.dictionaries(KEYS, PLAIN, max_size=4)
PARTS: st.SearchStrategy[Any] = st.sampled_from(["a", "b", "$in", "", None, 1, [], {"$ne": 1}])
DAYS = st.sampled_from([f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 5)])
RUN_DOCUMENTS = st.fixed_dictionaries(
    {
        "task_config": st.fixed_dictionaries({"name": PARTS}),
        "trainer_config": PARTS,
        "num_iterations": st.integers() | NUMBERS,
        "__meta__": st.fixed_dictionaries({"owner": PARTS, "created": DAYS}),
    }
)
QUERIES = st.builds(
    Query,
    st.dictionaries(
        st.sampled_from(["task", "owner"]), st.sets(st.sampled_from(["a", "b", "$in"])), max_size=2
    ),
    st.none() | st.sampled_from(["*", "a*", "run:?", "*b", "(", "r*n*"]),
    st.none() | DAYS,
    st.none() | DAYS,
)
CRITERIA = st.sampled_from(["dice", "er__dice", "voi", "$ne"])
DATASETS = st.sampled_from(["a", "b/c", "ä", ""])
STANDINGS = st.dictionaries(
    st.tuples(DATASETS, CRITERIA), st.tuples(st.floats(allow_nan=False), st.integers(0, 2**40), TEXTS)
)


class Comparison(QueueRules):
    """Commands that stay within what the stores ask of a backend."""

    fresh: tuple[Fresh, Fresh]

    def __init__(self) -> None:
        super().__init__()
        self.open = [fresh() for fresh in self.fresh]
        self.backends = [open_backend() for open_backend in self.open]
        self.known: dict[str, set[int]] = {}

    def both(self, command: Callable[[StoreBackend], Any]) -> Any:
        """Give a command to both, compare, and return the answer."""
        model, subject = (_answer(command, backend) for backend in self.backends)
        assert repr(model) == repr(subject), f"the model says {model}, and {self.backends[1]!r} {subject}"
        return model

    @rule(which=st.sampled_from([0, 1]))
    def open_again(self, which: int) -> None:
        """Open the same place again, as another process would."""
        self.backends[which] = self.open[which]()

    # documents

    @rule(collection=COLLECTIONS, key=NAMES, document=DOCUMENTS, replace=st.booleans())
    def put(self, collection: str, key: str, document: dict[str, Any], replace: bool) -> None:
        """Store a document; whatever came of it, both have the same afterwards."""
        self.both(lambda backend: backend.put(collection, key, document, replace=replace))
        self.both(lambda backend: backend.get(collection, key))

    @rule(collection=COLLECTIONS, key=NAMES)
    def remove(self, collection: str, key: str) -> None:
        """Remove a document, or find that there is none."""
        self.both(lambda backend: backend.remove(collection, key))
        self.both(lambda backend: backend.get(collection, key))

    @rule(collection=COLLECTIONS, prefix=PREFIXES)
    def list_keys(self, collection: str, prefix: str) -> None:
        """List keys by how they begin."""
        self.both(lambda backend: backend.keys(collection, prefix))

    @rule(
        name=st.sampled_from(["run/a", "run/b", "run-2/a"]),
        document=DOCUMENTS,
        epoch=st.none() | st.integers(0, 11),
    )
    def publish(self, name: str, document: dict[str, Any], epoch: int | None) -> None:
        """Publish a document, at times too late, or store it without an epoch."""
        if epoch is None:
            self.both(lambda backend: backend.put("best", name, document, replace=True))
        else:
            self.both(lambda backend: backend.publish("best", name, document, epoch))
        self.both(lambda backend: backend.get("best", name))
        self.both(lambda backend: backend.keys("best", name.partition("/")[0] + "/"))

    @rule(name=st.sampled_from(["run/a", "run/b", "run-2/a"]))
    def withdraw(self, name: str) -> None:
        """Remove what was published."""
        self.both(lambda backend: backend.remove("best", name))

    @rule(key=NAMES, document=RUN_DOCUMENTS)
    def put_run(self, key: str, document: dict[str, Any]) -> None:
        """Store a document that can be found by its fields."""
        self.both(lambda backend: backend.put("runs", key, document, replace=True))

    @rule(query=QUERIES, fields=st.sets(st.sampled_from(["task", "trainer", "iterations", "stored"])))
    def find(self, query: Query, fields: set[str]) -> None:
        """Find documents by what they say."""
        self.both(lambda backend: backend.find("runs", query, sorted(fields)))

    # claims

    @rule(run=RUNS, ahead=st.sampled_from([0, 1, 1, 1, 3]), holder=DOCUMENTS, ended=st.booleans())
    def claim(self, run: str, ahead: int, holder: dict[str, Any], ended: bool) -> None:
        """Take a run under the next number, or one that is taken or further on."""
        newest = [backend.newest_claim(run) for backend in self.backends]
        number = ahead - 1 if newest[0] is None else newest[0].number + ahead
        over = dict(zip(map(id, self.backends), newest, strict=True))
        self.both(
            lambda backend: backend.claim(
                run, Claim(max(number, 0), holder), over[id(backend)] if ended else None
            )
        )
        self.both(lambda backend: backend.newest_claim(run))

    @rule(run=RUNS, behind=st.sampled_from([0, 0, 0, 1]), release=st.booleans())
    def live_or_release(self, run: str, behind: int, release: bool) -> None:
        """Give a sign of life, or let go, of the newest claim or of one that is past."""
        newest = self.backends[0].newest_claim(run)
        number = 0 if newest is None else max(0, newest.number - behind)
        if release:
            self.both(lambda backend: backend.release_claim(run, number))
        else:
            self.both(lambda backend: backend.renew_claim(run, number))
        self.both(lambda backend: backend.newest_claim(run))

    @rule(prefix=PREFIXES)
    def list_open_claims(self, prefix: str) -> None:
        """List who holds what."""
        self.both(lambda backend: sorted(backend.open_claims(prefix).items()))

    # logs

    @rule(run=RUNS, number=st.integers(0, 11), start=st.integers(0, 50))
    def add_epoch(self, run: str, number: int, start: int) -> None:
        """Begin an epoch, out of order too, or find it taken."""
        self.both(lambda backend: backend.add_epoch(run, Epoch(number, start)))
        self.known.setdefault(run, set()).add(number)

    def _an_epoch(self, data: st.DataObject) -> tuple[str, int]:
        """Return a run and one of its epochs."""
        run = data.draw(st.sampled_from(sorted(self.known)))
        return run, data.draw(st.sampled_from(sorted(self.known[run])))

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(),
        late=st.sampled_from([0, 0, 0, -1, 1]),
        iterations=st.sets(st.integers(0, 2**40), min_size=1, max_size=4),
        metrics=st.lists(TEXTS, unique=True, max_size=3),
        value=NUMBERS,
        times=st.integers(1, 2),
    )
    def append_block(
        self,
        data: st.DataObject,
        late: int,
        iterations: set[int],
        metrics: list[str],
        value: float,
        times: int,
    ) -> None:
        """Append a block, often the one to come, and sometimes twice."""
        run, epoch = self._an_epoch(data)
        due = self.backends[0].tail(run, epoch).sequence
        columns = {name: np.full(len(iterations), value) for name in metrics}
        block = Block(max(0, due + late), np.array(sorted(iterations)), columns)
        for _ in range(times):
            self.both(lambda backend: backend.append_block(run, epoch, block))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), odd=st.sampled_from([0, 0, 0, 1]), times=st.integers(1, 2))
    def merge_blocks(self, data: st.DataObject, odd: int, times: int) -> None:
        """Merge blocks that follow one another, sometimes with the newest or with less than whole ones."""
        run, epoch = self._an_epoch(data)
        there = self.backends[0].blocks(run, epoch)
        first = data.draw(st.integers(0, max(0, len(there) - 1)))
        last = data.draw(st.integers(first, max(first, len(there) - 1)))
        if can_merge(there) and there[first : last + 1]:
            block = merged(there[first : last + 1])
            block = attrs.evolve(block, span=block.span - odd) if block.span > odd else block
            for _ in range(times):
                self.both(lambda backend: backend.merge_blocks(run, epoch, [block]))
            self.both(lambda backend: backend.blocks(run, epoch))

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(),
        iteration=st.integers(0, 2**40),
        dataset=TEXTS,
        labels=st.lists(DOCUMENTS, max_size=2),
        value=NUMBERS,
    )
    def append_scores(
        self, data: st.DataObject, iteration: int, dataset: str, labels: list[dict[str, Any]], value: float
    ) -> None:
        """Append scores with labels of any sort."""
        run, epoch = self._an_epoch(data)
        values = np.full((len(labels), 2), value)
        record = ScoresRecord(iteration, dataset, labels, [{"name": "a"}, {"name": "b"}], values)
        self.both(lambda backend: backend.append_scores(run, epoch, record))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def read_log(self, data: st.DataObject) -> None:
        """Read all that one epoch holds."""
        run, epoch = self._an_epoch(data)
        self.both(lambda backend: backend.epochs(run))
        self.both(lambda backend: backend.newest_epoch(run))
        self.both(lambda backend: backend.tail(run, epoch))
        self.both(lambda backend: backend.blocks(run, epoch))
        self.both(lambda backend: backend.outlines(run, epoch))
        self.both(lambda backend: backend.scores(run, epoch))

    @rule(run=RUNS, stats=st.booleans())
    def remove_log(self, run: str, stats: bool) -> None:
        """Remove stats or scores; with the last of them go the epochs."""
        self.both(lambda backend: backend.remove_stats(run) if stats else backend.remove_scores(run))
        if not self.backends[0].epochs(run):
            self.known.pop(run, None)

    @rule(prefix=PREFIXES)
    def list_logged_runs(self, prefix: str) -> None:
        """List the runs that have epochs."""
        self.both(lambda backend: backend.logged_runs(prefix))

    @rule(run=RUNS, new=RUNS)
    def move_run(self, run: str, new: str) -> None:
        """Give a run another key, if nothing is there."""
        model = self.backends[0]
        if run != new and not model.epochs(new) and not model.blobs(new):
            self.both(lambda backend: backend.move_run(run, new))
            if run in self.known:
                self.known[new] = self.known.pop(run)

    # standings

    @rule(run=RUNS, epoch=st.integers(0, 11), found=STANDINGS, change=st.booleans())
    def rank(self, run: str, epoch: int, found: dict[tuple[str, str], Any], change: bool) -> None:
        """Keep all standings of a run, or change one, at times too late."""
        standings = [
            Standing(run, *label, value, iteration, words, label[1] != "voi")
            for label, (value, iteration, words) in found.items()
        ]
        changed = None
        if change and (kept := self.backends[0].standings(run)):
            changed = [attrs.evolve(kept[0], iteration=7, value=0.5)]
            standings, epoch = [*changed, *kept[1:]], kept[0].epoch
        self.both(lambda backend: backend.rank(run, epoch, standings, changed))
        self.both(lambda backend: sorted(backend.standings(run), key=lambda one: one.order))
        self.both(lambda backend: backend.ranked_runs())

    @rule(run=RUNS)
    def unrank(self, run: str) -> None:
        """Take a run out of the comparison."""
        self.both(lambda backend: backend.unrank(run))

    @rule(
        criteria=st.sets(CRITERIA),
        dataset=st.none() | DATASETS,
        count=st.integers(1, 4),
        among=st.none() | st.sets(RUNS),
    )
    def list_the_best(
        self, criteria: set[str], dataset: str | None, count: int, among: set[str] | None
    ) -> None:
        """Find the best of all runs, or of some."""
        self.both(lambda backend: backend.ranked(criteria, dataset, 1000, among))
        # Of what a run has twice with equal rank, any may come first.
        self.both(lambda backend: [one.order[:2] for one in backend.ranked(criteria, dataset, count, among)])
        self.both(lambda backend: [backend.rated(one) for one in (None, "dice", "none")])

    # blobs

    @rule(run=RUNS, name=BLOBS, chunks=st.lists(st.binary(max_size=50), max_size=3))
    def put_blob(self, run: str, name: str, chunks: list[bytes]) -> None:
        """Publish a blob in pieces, in place of the one that may be there."""
        self.both(lambda backend: backend.put_blob(run, name, chunks))

    @rule(run=RUNS, name=BLOBS, mapped=st.booleans())
    def get_blob(self, run: str, name: str, mapped: bool) -> None:
        """Read a blob, or find that there is none."""
        self.both(lambda backend: backend.get_blob(run, name, mapped=mapped))

    @rule(run=RUNS, prefix=BLOB_PREFIXES)
    def list_blobs(self, run: str, prefix: str) -> None:
        """List blobs by how their names begin."""
        self.both(lambda backend: backend.blobs(run, prefix))

    @rule(run=RUNS, prefix=BLOB_PREFIXES)
    def remove_blobs(self, run: str, prefix: str) -> None:
        """Remove blobs by how their names begin."""
        self.both(lambda backend: backend.remove_blobs(run, prefix))

    @rule(prefix=PREFIXES)
    def list_blob_runs(self, prefix: str) -> None:
        """List the runs that have blobs; one without may be listed too."""
        self.both(lambda backend: [run for run in backend.blob_runs(prefix) if backend.blobs(run)])


def comparison(model: Fresh, subject: Fresh) -> type[Comparison]:
    """Return the machine that compares two backends; see ``Fresh``."""
    return type("Comparison", (Comparison,), {"fresh": (staticmethod(model), staticmethod(subject))})


def _answer(command: Callable[[StoreBackend], Any], backend: StoreBackend) -> Any:
    """Return what a backend answers in a form that can be compared, be it an error."""
    try:
        return _comparable(command(backend))
    except DacapoError as error:
        return type(error).__name__


def _comparable(answer: Any) -> Any:
    """Return an answer as plain data, columns as their bytes."""
    if isinstance(answer, list):
        return [_comparable(item) for item in answer]
    if isinstance(answer, tuple):
        return tuple(_comparable(item) for item in answer)
    if isinstance(answer, Claim):
        return answer.number, answer.holder, answer.beat, answer.released
    if isinstance(answer, Tail):
        return _comparable(answer.block), answer.sequence
    if isinstance(answer, Block):
        columns = {name: column.tobytes() for name, column in answer.columns.items()}
        return answer.sequence, answer.span, answer.iterations.tolist(), columns
    if isinstance(answer, ScoresRecord):
        labels = {field: value for field, value in attrs.asdict(answer).items() if field != "values"}
        return labels, answer.values.shape, answer.values.tobytes()
    if hasattr(answer, "tobytes") or isinstance(answer, bytearray) or hasattr(answer, "madvise"):
        return bytes(answer)
    return answer
