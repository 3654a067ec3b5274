"""How fast the file stores keep training stats and checkpoints, against raw writes of the same bytes.

    python -m benchmarks.file_stores [--quick]

Raw and stored appends take turns, so that both see the same disk in the same mood; each goes first half
of the time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import attrs
import numpy as np
import torch

from dacapo.experiments.training_stats import TrainingStats
from dacapo.store.files import FileBackend
from dacapo.store.publication import sync_folder
from dacapo.store.stats_store import StatsStore
from dacapo.store.tensor_tree import take_apart
from dacapo.store.weights_store import Weights, WeightsStore

BATCH = 1000
MEGABYTE = 1e6


def raw_append(descriptor: int, data: bytes) -> float:
    """Append bytes, force them to disk, and return the seconds it took."""
    begin = time.perf_counter()
    os.write(descriptor, data)
    os.fsync(descriptor)
    return time.perf_counter() - begin


def append(folder: Path, iterations: int) -> tuple[np.ndarray, int]:
    """Return the seconds of each raw append, each stored one, and its CPU time; and the bytes stored."""
    rng = np.random.default_rng(0)
    store, stats = StatsStore(FileBackend(folder)), TrainingStats()
    log = folder / "stats" / "runs" / "run" / "0.iterations"
    begin = time.perf_counter()
    raw = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    sync_folder(folder)  # else a power cut takes the file away with all that is in it
    opening = time.perf_counter() - begin
    seconds: list[tuple[float, float, float]] = []
    size = grown = 0
    for first in range(0, iterations, BATCH):
        stats.append(np.arange(first, first + BATCH), {"loss": rng.random(BATCH), "time": rng.random(BATCH)})
        # Whoever comes second profits from the journal that the first has just written.
        ahead = raw_append(raw, os.urandom(grown)) if grown and first // BATCH % 2 else None
        begin, busy = time.perf_counter(), time.process_time()
        store.store_training_stats("run", stats)
        stored, busy = time.perf_counter() - begin, time.process_time() - busy
        grown, size = log.stat().st_size - size, log.stat().st_size
        seconds.append((ahead or raw_append(raw, os.urandom(grown)), stored, busy))
    os.close(raw)
    taken = np.array(seconds).T
    taken[0, 0] += opening  # as the first stored append made the run's folders and logs
    return taken, size


def read(folder: Path) -> tuple[float, float]:
    """Return the seconds to read all stats of the run, and the last value, in a new store."""
    begin = time.perf_counter()
    StatsStore(FileBackend(folder)).retrieve_training_stats("run")
    middle = time.perf_counter()
    StatsStore(FileBackend(folder)).retrieve_last_training_stats("run")
    return middle - begin, time.perf_counter() - middle


def long_run(folder: Path, until: int) -> list[dict[str, Any]]:
    """Measure a long run as it is while it is trained, not compacted by hand."""
    store, stats, rng = StatsStore(FileBackend(folder)), TrainingStats(), np.random.default_rng(0)

    def append(count: int) -> float:
        first = stats.trained_until()
        values = rng.random((2, count))
        stats.append(np.arange(first, first + count), {"loss": values[0], "time": values[1]})
        return seconds(lambda: store.store_training_stats("run", stats))

    while stats.trained_until() < until:
        append(BATCH)
    raw = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    few = np.array([(raw_append(raw, os.urandom(1700)), append(100)) for _ in range(50)])
    os.close(raw)

    def of_new_store(read: Callable[[StatsStore], Any]) -> str:
        times = [seconds(lambda: read(StatsStore(FileBackend(folder)))) for _ in range(20)]
        return f"{median(times) * 1e3:.2f} ms"

    how = f"{until:,} iterations, {BATCH:,} an append, while training; median of 20, new store"
    return [
        row(
            f"one append of 100 at {until:,}",
            f"{np.median(few[:, 1]) / np.median(few[:, 0]):.2f} x",
            "≤ 3 x",
            "against one write + fsync of as many bytes; medians of 50",
        ),
        row("read back", of_new_store(lambda one: one.retrieve_training_stats("run")), "≤ 300 ms", how),
        row("last value", of_new_store(lambda one: one.retrieve_last_training_stats("run")), "≤ 5 ms", how),
        row(
            "1,000 points with envelope",
            of_new_store(lambda one: one.retrieve_envelope("run")),
            "≤ 20 ms",
            how,
        ),
    ]


def seconds(action: Callable[[], Any]) -> float:
    """Return how many seconds something takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def trained(megabytes: int) -> Weights:
    """Return a model of 100 tensors and its optimizer, which keeps two numbers for each of the model's."""
    count = megabytes * 250_000 // 300
    model = {f"layer{i}": torch.randn(count) for i in range(100)}
    moments = {
        i: {"step": i, "exp_avg": torch.randn(count), "square": torch.randn(count)} for i in range(100)
    }
    return Weights(model, {"state": moments, "param_groups": [{"lr": 1e-4, "params": list(moments)}]})


def raw_write(path: Path, buffers: list[Any]) -> None:
    """Write buffers into a new file and force them to disk."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    for buffer in buffers:
        os.write(descriptor, buffer)
    os.fsync(descriptor)
    os.close(descriptor)


def checkpoints(folder: Path, megabytes: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds of raw writes of a checkpoint's tensors, and of storing it; and of loading it."""
    weights = trained(megabytes)
    buffers = [tensor.numpy().data.cast("B") for tensor in take_apart(attrs.asdict(weights))[1].values()]
    store, path = WeightsStore(FileBackend(folder)), folder / "raw-model"
    taken, load = np.empty((2, rounds)), []
    for number in range(rounds):
        # Each goes first half of the time, and neither has to wait for what the other left to be done.
        for which in (0, 1) if number % 2 else (1, 0):
            os.sync()
            begin = time.perf_counter()
            if which:
                store.store_weights("run", number, weights)
            else:
                raw_write(path, buffers)
            taken[which, number] = time.perf_counter() - begin
        begin = time.perf_counter()
        store.retrieve_weights("run", number, mapped=True)
        load.append(time.perf_counter() - begin)
        path.unlink()
        store.delete("run")
    return taken, np.array(load)


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was measured, the figure, the target, how."""
    iterations, rounds, megabytes = (20_000, 2, 20) if quick else (100_000, 5, 158)
    ratios, flatness, rates, whole, last, weights, loads = [], [], [], [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (raw, stored, busy), size = append(folder, iterations)
            ratios.append(raw.sum() / stored.sum())
            rates.append(iterations / stored.sum())
            tenth = len(stored) // 10
            flatness.append(np.median(busy[-tenth:]) / np.median(busy[:tenth]))
            first, second = read(folder)
            whole.append(first)
            last.append(second)
            taken, loaded = checkpoints(folder, megabytes, 4)
            weights += list(taken[0] / taken[1])
            loads += list(loaded)
    with tempfile.TemporaryDirectory() as name:
        long = long_run(Path(name), 100_000 if quick else 1_000_000)
    how = f"{iterations:,} iterations, {BATCH:,} an append, fsync each; median of {rounds} rounds"
    return [
        row("append, against raw write + fsync", f"{median(ratios):.2f} x", "≥ 0.5 x", how),
        row("append, rate", f"{median(rates) / 1e6:.2f} M iterations/s", "", how),
        row(
            "append, last tenth against the first",
            f"{median(flatness):.2f} x",
            "flat",
            f"CPU time of an append, which other programs do not disturb; {how}",
        ),
        row("stored, an iteration", f"{size / iterations:.1f} bytes", "", "loss and time, float64"),
        row("read all", f"{median(whole) * 1e3:.1f} ms", "", f"{iterations:,} iterations, new store"),
        row("read the last", f"{median(last) * 1e3:.2f} ms", "", f"{iterations:,} iterations, new store"),
        *long,
        row(
            "checkpoint, against raw write + fsync",
            f"{median(weights):.2f} x",
            "≥ 0.9 x",
            f"{megabytes} MB of model and optimizer in 300 tensors, with SHA-256; in turns, "
            f"median of {len(weights)}",
        ),
        row(
            "load a checkpoint, memory-mapped",
            f"{megabytes / median(loads):.0f} MB/s",
            "",
            "SHA-256 checked in place, just after it was stored",
        ),
    ]


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
