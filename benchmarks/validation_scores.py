"""How long storing the scores of one validation takes, as a run goes on to have 500 of them.

    python -m benchmarks.validation_scores [--quick]

Each validation has 2 datasets x 20 parameter sets x 15 scores, and is stored under a lease, as training
does it.  Each is better than the one before, so that all that is best of the run changes too.  Store, driver
and raw file take turns, each going first half of the time; the driver inserts one document of as many
bytes, the raw file is written once and forced to disk.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import bson
import numpy as np

from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.tasks.post_processors.parameters import ThresholdPostProcessorParameters
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.backend import StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.lease import take
from dacapo.store.mongo import connection
from dacapo.store.stats_store import StatsStore

from .file_stores import raw_append
from .mongo_stores import RUN, Bench, in_turns, ratio, row, seconds, server

DATASETS, PARAMETERS, CRITERIA = 2, 20, 15


def labels() -> ScoreLabels:
    """Return labels as those of a run that looks for the best threshold."""
    thresholds = (ThresholdPostProcessorParameters(id=n, threshold=n / PARAMETERS) for n in range(PARAMETERS))
    criteria = (Criterion(f"score{n}", bool(n % 2), (0, 1), store_best=True) for n in range(CRITERIA))
    return ScoreLabels(tuple(f"crop{n}" for n in range(DATASETS)), tuple(thresholds), tuple(criteria))


def validations(backend: StoreBackend, count: int, *plain: Callable[[int], Any]) -> np.ndarray:
    """Return the seconds of each plain write and, last, of each validation that is stored."""
    own, rng = labels(), np.random.default_rng(0)
    scores, store = ValidationScores.labelled(own), StatsStore(backend)
    # All get better all the time, so that each validation changes what is best by every criterion.
    better = np.array([1 if criterion.higher_is_better else -1 for criterion in own.criteria])
    values = (
        0.5 + better * (np.arange(count)[:, None, None, None] + rng.random((count, *own.shape))) / 2 / count
    )

    def validate(number: int) -> None:
        one = ValidationIterationScores(1000 * number, values[number].tolist(), own)
        scores.add_iteration_scores(one)
        store.store_validation_iteration_scores(RUN, scores)

    with take(backend, RUN, "train") as lease:
        store.write_under(lease)
        return in_turns(count, *plain, validate)


def rows_of(what: str, backend: StoreBackend, taken: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows of one backend; the driver's inserts come first in what was taken."""
    count = taken.shape[1]
    fifths = np.array_split(taken[-1], 5)
    read = seconds(lambda: StatsStore(backend).retrieve_validation_scores(RUN))
    how = f"{count} validations x {DATASETS} datasets x {PARAMETERS} parameters x {CRITERIA} scores"
    return [
        row(f"{what}, a store call against one insert", ratio(taken), "≤ 3 x",
            f"{how}; by the driver, in turns; medians"),
        row(
            f"{what}, last fifth against the first",
            f"{np.median(fifths[-1]) / np.median(fifths[0]):.2f} x",
            "flat",
            f"median time of a call; {how}",
        ),
        row(f"{what}, all calls", f"{taken[-1].sum():.2f} s", "existing: 99 s", how),
        row(f"{what}, read all", f"{read * 1e3:.0f} ms", "", f"{how}; new store"),
    ]  # fmt: skip


@contextmanager
def driver() -> Iterator[Bench]:
    """Yield a database of its own on a server."""
    with server() as uri:
        bench = Bench(uri, f"dacapo_benchmark_{secrets.token_hex(4)}")
        try:
            yield bench
        finally:
            bench.client.drop_database(bench.database.name)
            bench.client.close()
            connection.close_all()


def insert(bench: Bench, size: int, number: int) -> None:
    """Insert one document of so many bytes, acknowledged as the store's are."""
    bench.plain.insert_one({"_id": secrets.token_hex(8), "data": os.urandom(size)})


def on_mongo(count: int) -> list[dict[str, Any]]:
    """Measure on a server, against one insert by the driver."""
    with driver() as bench:
        validations(bench.backend, 1)
        size = sum(len(bson.encode(entry)) for entry in bench.database["dacapo.scores"].find())
        bench.backend.remove_scores(RUN)
        taken = validations(bench.backend, count, partial(insert, bench, size))
        return rows_of("MongoDB", bench.backend, taken)


def on_files(count: int) -> list[dict[str, Any]]:
    """Measure in files, against one insert by the driver, and one write and fsync."""
    with (
        driver() as bench,
        tempfile.TemporaryDirectory(dir=os.environ.get("DACAPO_BENCHMARK_FOLDER")) as folder,
    ):
        trial = Path(folder, "trial")
        validations(FileBackend(trial), 1)
        size = sum(path.stat().st_size for path in trial.rglob("*.scores"))
        raw = os.open(Path(folder, "raw"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        backend = FileBackend(Path(folder, "store"))
        write = lambda n: raw_append(raw, os.urandom(size))  # noqa: E731
        taken = validations(backend, count, partial(insert, bench, size), write)
        os.close(raw)
        against_raw = row(
            "files, a store call against one write + fsync", ratio(taken, 1), "", "medians of those"
        )
        return [*rows_of("files", backend, taken), against_raw]


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was measured, the figure, the target, how."""
    count = 50 if quick else 500
    return [*on_mongo(count), *on_files(count)]


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in measure("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one))


if __name__ == "__main__":
    main()
