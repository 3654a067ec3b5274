"""How fast the MongoDB stores are, against the driver doing the least that keeps the same bytes.

    python -m benchmarks.mongo_stores [--quick]

A server of its own is started (a replica set of one, journaled) unless DACAPO_TEST_MONGO_URI
names another.  Driver and store take turns, each going first half of the time, so that both
meet the same server in the same mood.
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
from statistics import median
from typing import Any

import attrs
import numpy as np
import pymongo
from gridfs import GridFSBucket
from pymongo.write_concern import WriteConcern

from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import DummyDataSplitConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.trainers import PatchTrainerConfig
from dacapo.experiments.training_stats import TrainingStats
from dacapo.store.config_store import ConfigStore
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.stats_store import StatsStore
from dacapo.store.tensor_tree import take_apart
from dacapo.store.weights_store import WeightsStore

from .file_stores import seconds, trained

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from mongod import Mongod  # noqa: E402

BATCH = 1000
RUN = "run"


@contextmanager
def server() -> Iterator[str]:
    """Yield the URI of a server with the journaling of a real one."""
    if given := os.environ.get("DACAPO_TEST_MONGO_URI"):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        started = Mongod(Path(folder)).start()
        try:
            yield started.uri
        finally:
            connection.close_all()
            started.stop()


def in_turns(rounds: int, *actions: Callable[[int], Any], ahead: bool = True) -> np.ndarray:
    """Return the seconds that each of some actions took in each round; every other round is in reverse.

    ``ahead`` begins with the first of them.
    """
    taken = np.empty((len(actions), rounds))
    order = range(len(actions))
    for number in range(rounds):
        for which in order if ahead == (number % 2 == 0) else reversed(order):
            taken[which, number] = seconds(partial(actions[which], number))
    return taken


class Bench:
    """A database, the store in it, and a plain collection beside it."""

    def __init__(self, uri: str, name: str) -> None:
        self.backend = MongoBackend(uri, name)
        self.client: pymongo.MongoClient[Any] = pymongo.MongoClient(uri)
        self.database = self.client.get_database(name, write_concern=WriteConcern("majority", j=True))
        self.plain = self.database["plain"]
        self.store, self.stats = StatsStore(self.backend), TrainingStats()

    def append(self, iterations: int, batch: int) -> np.ndarray:
        """Append to the store, and as many packed bytes through the driver."""
        rng = np.random.default_rng(0)
        begin = self.stats.trained_until()

        def store(number: int) -> None:
            self.store.store_training_stats(RUN, self.stats)

        def driver(number: int) -> None:
            self.plain.insert_one({"_id": secrets.token_hex(8), "data": rng.bytes(16 * batch)})

        taken = []
        for first in range(begin, begin + iterations, batch):
            columns = {"loss": rng.random(batch), "time": rng.random(batch)}
            self.stats.append(np.arange(first, first + batch), columns)
            taken.append(in_turns(1, driver, store, ahead=first // batch % 2 == 0)[:, 0])
        return np.array(taken).T

    def fill(self, until: int) -> None:
        """Append without measuring, in larger pieces."""
        while (begin := self.stats.trained_until()) < until:
            count = min(BATCH, until - begin)
            self.stats.append(
                np.arange(begin, begin + count), {"loss": np.ones(count), "time": np.ones(count)}
            )
            self.store.store_training_stats(RUN, self.stats)

    def bytes_per_iteration(self) -> float:
        """Return what the database takes on disk for one iteration, its indexes included."""
        self.client.admin.command("fsync")
        found = self.database.command("collStats", "dacapo.stats")
        return float(found["size"] + found["totalIndexSize"]) / self.stats.trained_until()


def stats_rows(bench: Bench, quick: bool) -> list[dict[str, Any]]:
    """Measure training stats."""
    driver, store = bench.append(20_000 if quick else 100_000, BATCH)
    count = len(store) * BATCH
    how = f"{count:,} iterations, {BATCH:,} an append, majority and journal"
    bench.fill(100_000 if quick else 990_000)
    _, late = bench.append(10_000, BATCH)
    until = bench.stats.trained_until()
    first = np.array_split(store, 10)[0]
    few_driver, few_store = bench.append(3000, 100)
    read = [seconds(lambda: StatsStore(bench.backend).retrieve_training_stats(RUN)) for _ in range(5)]
    last = [seconds(lambda: StatsStore(bench.backend).retrieve_last_training_stats(RUN)) for _ in range(50)]
    course = [seconds(lambda: StatsStore(bench.backend).retrieve_envelope(RUN)) for _ in range(20)]
    return [
        row("append, against the driver", f"{driver.sum() / store.sum():.2f} x", "≥ 0.5 x", how),
        row("append, rate", f"{count / store.sum() / 1e6:.2f} M iterations/s", "", how),
        row(
            f"append at {until:,}, against the first",
            f"{median(late) / median(first):.2f} x",
            "flat",
            "median time of an append of 1,000",
        ),
        row("stored, an iteration", f"{bench.bytes_per_iteration():.1f} bytes", "≤ 25", "with indexes"),
        row(
            f"one append of 100 at {until:,}",
            f"{median(few_store) / median(few_driver):.2f} x",
            "≤ 3 x",
            "against one insert of as many bytes by the driver; medians of 30",
        ),
        row(f"read back {until:,}", f"{median(read) * 1e3:.0f} ms", "≤ 500 ms", "median of 5, new store"),
        row("last value", f"{median(last) * 1e3:.2f} ms", "≤ 5 ms", "median of 50, new store"),
        row(
            "1,000 points with envelope, while training",
            f"{median(course) * 1e3:.1f} ms",
            "≤ 20 ms",
            f"of {until:,} iterations as they were appended, not compacted by hand; median of 20, new store",
        ),
    ]


def run_config(name: str) -> RunConfig:
    """Return a run config of usual size."""
    return RunConfig(
        DistanceTaskConfig("mito", channels=["mito", "er"], clip_distance=50, tol_distance=10),
        CNNectomeUNetConfig("unet", input_shape=(220,) * 3, fmaps_in=1, fmaps_out=24, num_fmaps=12,
                            fmap_inc_factor=6, downsample_factors=[(2, 2, 2)] * 3),
        PatchTrainerConfig("trainer", batch_size=2, learning_rate=1e-4),
        DummyDataSplitConfig("split"),
        name, 0, 100_000,
    )  # fmt: skip


def config_rows(bench: Bench, quick: bool) -> list[dict[str, Any]]:
    """Measure configs."""
    store, rounds = ConfigStore(bench.backend), 40 if quick else 200
    configs = [run_config(f"run-{number}") for number in range(rounds)]
    store.store_run_config(run_config("first"))
    document = bench.backend.get("runs", "first")

    def insert(number: int) -> None:
        bench.plain.insert_one({"_id": f"run-{number}", "document": document})

    stored = in_turns(rounds, insert, lambda n: store.store_run_config(configs[n]))
    read = in_turns(
        rounds,
        lambda n: bench.plain.find_one({"_id": f"run-{n}"}),
        lambda n: store.retrieve_run_config(f"run-{n}:0"),
    )
    bare = in_turns(
        rounds,
        lambda n: bench.plain.find_one({"_id": f"run-{n}"}),
        lambda n: bench.backend.get("runs", f"run-{n}"),
    )
    how = f"medians of {rounds}, of that document"
    return [
        row("store a run config, against insert", ratio(stored), "≤ 2 x", how),
        row("retrieve a run config, against find", ratio(read), "≤ 2 x", f"{how}, made a config again"),
        row("retrieve its document, against find", ratio(bare), "≤ 2 x", how),
    ]


def weights_rows(bench: Bench, quick: bool) -> list[dict[str, Any]]:
    """Measure checkpoints of a model and its optimizer."""
    megabytes, rounds = (20, 2) if quick else (158, 4)
    weights = trained(megabytes)
    whole = b"".join(bytes(tensor.numpy().data) for tensor in take_apart(attrs.asdict(weights))[1].values())
    bucket, store = GridFSBucket(bench.database, "plain", 2**20), WeightsStore(bench.backend)

    def upload(number: int) -> None:
        bucket.upload_from_stream(f"{number}", whole)

    taken = in_turns(rounds, upload, lambda n: store.store_weights(RUN, n, weights))
    read = seconds(lambda: store.retrieve_weights(RUN, 0))
    how = f"{megabytes} MB of model and optimizer, with SHA-256; medians of {rounds}"
    return [
        row("GridFS, against a raw upload", f"{np.median(taken[0] / taken[1]):.2f} x", "≥ 0.5 x", how),
        row("GridFS, read", f"{megabytes / read:.0f} MB/s", "", f"{megabytes} MB once, with SHA-256"),
    ]


def ratio(taken: np.ndarray, against: int = 0) -> str:
    """Return how many times as long the store takes, which comes last, as what it is measured against."""
    return f"{np.median(taken[-1]) / np.median(taken[against]):.2f} x"


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was measured, the figure, the target, how."""
    with server() as uri:
        name = f"dacapo_benchmark_{secrets.token_hex(4)}"
        bench = Bench(uri, name)
        try:
            rows = [*stats_rows(bench, quick), *config_rows(bench, quick), *weights_rows(bench, quick)]
        finally:
            bench.client.drop_database(name)
            bench.client.close()
        return rows


def row(bar: str, figure: str, target: str, how: str) -> dict[str, Any]:
    """Return one line of the table."""
    return {"bar": bar, "figure": figure, "target": target, "how": how}


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in measure("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one))


if __name__ == "__main__":
    main()
