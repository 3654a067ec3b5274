"""The long forms of the fault tests: how often each fault was made, and how often something was wrong.

    python -m benchmarks.faults [--quick] [NAME ...]

The tests in ``tests/`` do the same with smaller counts; docs/promises.md says what is promised.
"""

from __future__ import annotations

import logging
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TESTS = Path(__file__).parent.parent / "tests"
sys.path += [str(TESTS), str(TESTS / "store")]
# Only what is on the path since the line above.
import test_edge_numbers  # noqa: E402
import test_full_disk  # noqa: E402
import test_hostile_names  # noqa: E402
import test_injection  # noqa: E402
import test_kill  # noqa: E402
import test_nothing_runs  # noqa: E402
import test_replay  # noqa: E402
import test_stopping  # noqa: E402

import damage  # noqa: E402
from dacapo.errors import InvalidName, InvalidRequest  # noqa: E402
from dacapo.experiments.run import Run  # noqa: E402
from dacapo.store.backend import StoreBackend  # noqa: E402
from dacapo.store.config_store import ConfigStore  # noqa: E402
from dacapo.store.create_store import create_stats_store, create_weights_store  # noqa: E402
from dacapo.store.files import FileBackend  # noqa: E402
from dacapo.store.memory import MemoryBackend  # noqa: E402
from dacapo.store.mongo import MongoBackend, connection  # noqa: E402
from dacapo.store.stats_store import StatsStore  # noqa: E402
from dacapo.testing import tiny_run  # noqa: E402
from dacapo.train import train_run  # noqa: E402
from mongo_places import fresh_place  # noqa: E402
from mongod import Mongod  # noqa: E402
from scripted import observe  # noqa: E402

Row = dict[str, str]


def row(bar: str, figure: str, target: str, how: str) -> Row:
    return {"bar": bar, "figure": figure, "target": target, "how": how}


def power_cuts(folder: Path, quick: bool) -> Row:
    """Every prefix of the operations of a session, with what was not forced to disk lost or torn."""
    seeds, draws = (1, 1) if quick else (4, 6)
    count = sum(
        1
        for seed in range(seeds)
        for _ in test_replay.replayed(_new(folder, str(seed)), draws, seed, every=100)
    )
    return row("P2 power cuts, replayed", f"0 wrong in {count:,} states", "0", "20 commands, every prefix")


def kills(folder: Path, quick: bool) -> Row:
    """kill -9 of a process that writes stats, scores, documents and blobs without a pause."""
    count = len(list(test_kill.killed(folder / "runs", 10 if quick else 100)))
    return row("P2 kill -9 of a writer", f"0 lost or unreadable in {count}", "0", "at random moments")


def damages(folder: Path, quick: bool) -> Row:
    """Cut and changed files of every kind."""
    count, outcomes = 10 if quick else 400, Counter[str]()
    damage.fill(folder / "runs")
    for kind in damage.KINDS:
        path = kind.path(folder / "runs")
        data, rng = path.read_bytes(), random.Random(kind.name)
        for damaged in [
            *damage.cuts(data, min(count, len(data)), rng),
            *damage.flips(data, min(count, len(data)), rng),
        ]:
            outcomes[damage.outcome(kind, path, damaged, folder / "runs")] += 1
    told = ", ".join(f"{number:,} {name}" for name, number in sorted(outcomes.items()))
    return row(
        "P11 cut and changed files", f"0 silently wrong in {outcomes.total():,} ({told})", "0",
        f"{len(damage.KINDS)} kinds of files; of logs every whole batch is kept",
    )  # fmt: skip


def full_disks(folder: Path, quick: bool) -> Row:
    """A disk that is full from the n-th operation on, for every n."""
    count = test_full_disk.filled_up(folder / "runs")
    return row("P12 full disk", f"0 changed in {count:,} refused commands", "0", "at every operation")


def stops(folder: Path, quick: bool) -> Row:
    """SIGTERM, SIGINT and SIGUSR1 at random moments of training; each is gone on from."""
    wanted, count, longest, rng = 5 if quick else 50, 0, 0.0, random.Random(1)
    for number in test_stopping.SIGNALS:
        signal.signal(number, lambda *_: None)
    config = tiny_run(folder / "data", num_iterations=40, validation_interval=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(folder / "whole"))
        train_run(Run(config), do_validate=False, device="cpu")
        whole = create_weights_store().retrieve_weights(config, 40)
        losses = create_stats_store().retrieve_training_stats(config).columns["loss"].tolist()
        while count < wanted:
            patch.setenv("DACAPO_RUNS_BASE_DIR", str(folder / f"stopped{count}"))
            begin = time.monotonic()
            before = count
            count += test_stopping.interrupted(config, rng, longest=0.6)
            longest = max(longest, (time.monotonic() - begin) / max(1, count - before))
            found = create_weights_store().retrieve_weights(config, 40)
            assert test_stopping.alike(found.model, whole.model)
            assert test_stopping.alike(found.optimizer, whole.optimizer)
            assert create_stats_store().retrieve_training_stats(config).columns["loss"].tolist() == losses
    return row(
        "P10 stopped and gone on", f"0 of {count} differ by a bit", "0", "checkpoint at the iteration reached"
    )


IMPATIENT = """
import os, sys, threading, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from dacapo.testing import tiny_run
from dacapo.experiments.run import Run
from dacapo.store.weights_store import WeightsStore
from dacapo.train import train_run

def slow(*_):
    print("slow", flush=True)
    time.sleep(600)

WeightsStore.store_weights = slow
threading.Timer(3, os.kill, (os.getpid(), {number})).start()
config = tiny_run(Path({data!r}), num_iterations=10**6, validation_interval=10**6)
train_run(Run(config), do_validate=False, device="cpu")
"""


def second_signals(folder: Path, quick: bool) -> Row:
    """The same signal again while a checkpoint takes for ever."""
    seconds = []
    for number in (signal.SIGTERM, signal.SIGINT):
        code = IMPATIENT.format(tests=str(TESTS), data=str(folder / "data"), number=int(number))
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
        )  # fmt: skip
        assert process.stdout is not None
        while process.stdout.readline() not in ("slow\n", ""):
            pass
        begin = time.monotonic()
        process.send_signal(number)
        process.wait(60)
        seconds.append(time.monotonic() - begin)
        assert process.returncode in (128 + number, -number), process.returncode
    return row(
        "P10 second signal", f"gone in {max(seconds):.1f} s", "< 10 s", "while a checkpoint is written"
    )


def contests(folder: Path, quick: bool) -> Row:
    """Processes that give one name to different contents, on files and on a real server."""
    processes, names = (4, 20) if quick else (8, 300)
    with _places(folder) as (_, files, mongo):
        for root, place, backend in ((files.root, None, files), (None, mongo[1], mongo[0])):
            told = test_hostile_names.contest(processes, names, root, place)
            test_hostile_names.one_winner_each(told, names, ConfigStore(backend))
    return row(
        "P7 a name has one owner", f"{2 * names:,} names, one winner each", "one each",
        f"{processes} processes x {names} names x files and MongoDB",
    )  # fmt: skip


def payloads(folder: Path, quick: bool) -> Row:
    """Things that would run if they were loaded, wherever something is read."""
    count = 0
    plants = (
        test_nothing_runs.plant_yaml, test_nothing_runs.plant_types, test_nothing_runs.plant_pickles,
        test_nothing_runs.plant_headers, test_nothing_runs.plant_scores,
    )  # fmt: skip
    for number, plant in enumerate(plants):
        root, canary = folder / f"{number}", folder / "canary"
        damage.fill(root)
        for _ in plant(root, f"touch {canary}"):
            list(test_nothing_runs.read_everything(root))
            assert not canary.exists(), plant
            count += 1
    return row("P14 payloads", f"0 of {count} ran", "0", "YAML, types, pickles, safetensors, scores")


def names(folder: Path, quick: bool) -> Row:
    """Names made of what makes paths."""
    rng, count = random.Random(2), 200 if quick else 5000
    characters = list("./\\%~:$-_ a1\0\n\t\u202e\u2215\uff0e\u0301é🧠\ud800") + ["..", "../", "%2e", "a"]
    for number in range(count):
        name = "".join(rng.choices(characters, k=rng.randint(1, 14)))
        test_hostile_names.use(folder / "runs", name)
        if number % 100 == 99:
            assert test_hostile_names.outside(folder) == [], name
    count += len(test_hostile_names.FIXED)
    return row("P15 names as paths", f"0 of {count:,} left the store", "0", "every method that takes a name")


def injections(folder: Path, quick: bool) -> Row:
    """Dictionaries, patterns, bytes and tricks in place of names, on every backend."""
    count = 0
    with _places(folder) as (backends, _, _):
        for backend in backends:
            session = test_injection.filled(backend)
            before = observe(backend)
            for _, method, others, name in test_injection.calls(session):
                for wrong in [*test_injection.WRONG, *test_injection.TRICKS]:
                    with pytest.raises((InvalidName, InvalidRequest)):
                        method(**others | {name: wrong})
                    count += 1
            assert observe(backend) == before
    return row("P16 no names", f"{count:,} refused, 0 changed anything", "0", "files, memory, MongoDB")


def edges(folder: Path, quick: bool) -> Row:
    """Floats of every bit pattern as stats."""
    rng, rounds = np.random.default_rng(3), 20 if quick else 300
    with _places(folder) as (backends, _, _):
        for number in range(rounds):
            losses = rng.integers(0, 2**64, 200, dtype=np.uint64).view(np.float64)
            losses[: len(test_edge_numbers.EDGES)] = test_edge_numbers.EDGES
            stats = test_edge_numbers.TrainingStats()
            stats.append(range(200), {"loss": losses, "time": losses})
            for backend in backends:
                StatsStore(backend).store_training_stats(f"edge{number}", stats)
                found = StatsStore(backend).retrieve_training_stats(f"edge{number}")
                assert found.columns["loss"].tobytes() == losses.tobytes()
    return row("P22 numbers", f"0 of {rounds * 200 * len(backends):,} differ by a bit", "0", "three backends")


class _places:
    """A backend of each sort while the body runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> tuple[list[StoreBackend], FileBackend, tuple[MongoBackend, Any]]:
        self.server = Mongod(_new(self.folder, "mongo")).start()
        self.place = fresh_place(self.server.uri)
        place = self.place.__enter__()
        files, mongo = FileBackend(self.folder / "runs"), MongoBackend(place.uri, place.name)
        return [files, MemoryBackend(str(self.folder)), mongo], files, (mongo, place)

    def __exit__(self, *_: object) -> None:
        connection.close_all()
        self.server.stop()


FAULTS: tuple[Callable[[Path, bool], Row], ...] = (
    power_cuts, kills, damages, full_disks, stops, second_signals, contests, payloads, names, injections,
    edges,
)  # fmt: skip


def _new(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    return folder / name


def measure(quick: bool = False, chosen: tuple[str, ...] = ()) -> list[Row]:
    """Return a row for every fault; anything that goes wrong raises."""
    return list(_rows(quick, chosen))


def _rows(quick: bool, chosen: tuple[str, ...]) -> Iterator[Row]:
    for fault in FAULTS:
        if chosen and fault.__name__ not in chosen:
            continue
        folder = Path(tempfile.mkdtemp())
        try:
            begin = time.monotonic()
            found = fault(folder, quick)
            print(f"{found['bar']}: {found['figure']} ({time.monotonic() - begin:.0f} s)", flush=True)
            yield found
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # every damage is told, which is what is wanted elsewhere
    measure("--quick" in sys.argv, tuple(name for name in sys.argv[1:] if not name.startswith("-")))
