"""Training that is begun twice, killed, cut off from its store, or given damaged checkpoints: the long forms.

python -m benchmarks.training_faults [--quick] [NAME ...]
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import test_delivery
import torch
from test_stopping import alike

import damage
from dacapo import delivery
from dacapo.errors import LeaseHeld
from dacapo.experiments.run import Run
from dacapo.store import holder
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.lease import held, take
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.weights_store import WeightsStore
from dacapo.testing import tiny_run
from dacapo.train import train_run
from mongo_places import fresh_place
from proxy import Proxy
from scripted import RUN, weights_of

from .long_forms import Row, main, measure_all, options, row, server

PROCESSES = 8
LEASE, SLACK = 2.0, 3.0  # seconds; a machine with much to do is slow to ask and to answer
# Neither forked from a process that has used tensorstore, nor slow to start.
PROCESS = get_context("forkserver")
PROCESS.set_forkserver_preload(["benchmarks.long_forms", "test_delivery", "test_damage", "test_stopping"])


def call(arguments: tuple[str, ...], env: dict[str, str], from_elsewhere: bool, go: Any, told: Any) -> None:
    """Call the command line in a process of its own, perhaps as one of a machine that nobody here knows."""
    from click.testing import CliRunner

    from dacapo.cli import cli

    torch.set_num_threads(1)
    os.environ.update(env)
    if from_elsewhere:
        holder.machine = lambda: None
    go.wait(60)
    result = CliRunner().invoke(cli, list(arguments))
    told.put((os.getpid(), result.exit_code, result.stderr))


def started(arguments: tuple[str, ...], go: Any, told: Any, from_elsewhere: bool = False) -> BaseProcess:
    """Start a process that calls the command line once it may, with the options of this one."""
    env = {key: value for key, value in os.environ.items() if key.startswith("DACAPO_")}
    process = PROCESS.Process(target=call, args=(arguments, env, from_elsewhere, go, told))
    process.start()
    return process


@contextmanager
def both(folder: Path, **more: object) -> Iterator[list[dict[str, object]]]:
    """Yield the options of a new store in files, and of one in MongoDB."""
    with server(folder) as replica_set, fresh_place(replica_set.uri) as mongo:
        yield [
            {"runs_base_dir": folder / "files", **more},
            {"runs_base_dir": folder / "mongo", "weights": "mongo", **mongo.options, **more},
        ]


def starters(folder: Path, quick: bool) -> Row:
    """Eight processes are told to train one run at the same moment; the one that does is stopped then."""
    rounds, refused = 2 if quick else 20, 0
    verb = ("--no-validation", "--no-snapshots", "--device", "cpu")
    with both(folder) as stores:
        for given in stores:
            with options(**given):
                for number in range(rounds):
                    config = tiny_run(folder / "data", name=f"run-{number}", num_iterations=10**6)
                    create_config_store().store_run_config(config)
                    connection.close_all()
                    refused += _one_trains(config.name, verb)
    assert refused == 2 * rounds * (PROCESSES - 1)
    return row(
        "P4 dacapo train, eight at once",
        f"{2 * rounds} runs, one trainer each; {refused} left with exit code 6",
        f"{PROCESSES} processes x {rounds} rounds x files and MongoDB; each names user, host, pid and since",
    )  # fmt: skip


def _one_trains(name: str, verb: tuple[str, ...]) -> int:
    go, told = PROCESS.Barrier(PROCESSES), PROCESS.Queue()
    people = [started(("train", name, *verb), go, told) for _ in range(PROCESSES)]
    others = [told.get(timeout=120) for _ in range(PROCESSES - 1)]
    (winner,) = {one.pid for one in people} - {pid for pid, *_ in others}
    assert winner is not None
    for _, code, text in others:
        assert code == 6 and f"(pid {winner})" in text and " since 20" in text, text
        assert f" on {os.uname().nodename} " in text, text
    os.kill(winner, signal.SIGTERM)  # it finishes its iteration, and writes a checkpoint
    _, code, _ = told.get(timeout=120)
    for one in people:
        one.join()
    assert code == 75 and create_weights_store().latest_iteration(name)
    return len(others)


def killed_trainers(folder: Path, quick: bool) -> Row:
    """Kill dacapo train at random moments; others see it as lost in time, and the run goes on."""
    count, rng, slowest, kills = 3 if quick else 10, random.Random(6), 0.0, 0
    changes = {"num_iterations": 40, "validation_interval": 4}
    with both(folder, lease_seconds=LEASE) as stores:
        with options(runs_base_dir=folder / "whole"):
            train_run(Run(tiny_run(folder / "data", **changes)), do_validate=False, device="cpu")
            whole = create_weights_store().retrieve_weights("tiny", 40)
            losses = create_stats_store().retrieve_training_stats("tiny").columns["loss"].tolist()
        for given in stores:
            with options(**given):
                for number in range(count):
                    config = tiny_run(folder / "data", name=f"tiny-{number}", **changes)
                    create_config_store().store_run_config(config)
                    for longest in (1.5, 1.5, 60.0):
                        seconds = _kill_trainer(config.name, rng, longest, from_elsewhere=bool(number % 2))
                        if seconds is not None:
                            slowest, kills = max(slowest, seconds), kills + 1
                    found = create_weights_store().retrieve_weights(config, 40)
                    assert alike(found.model, whole.model) and alike(found.optimizer, whole.optimizer)
                    stats = create_stats_store().retrieve_training_stats(config)
                    assert stats.columns["loss"].tolist() == losses
    return row(
        "P6 dacapo train killed",
        f"{kills} of {kills} lost and gone on from; 0 of {2 * count} runs differ by a bit",
        f"kill -9, files and MongoDB; leases of {LEASE:g} s, every other trainer on another machine: "
        f"taken over after {slowest:.1f} s at most",
    )  # fmt: skip


def _kill_trainer(name: str, rng: random.Random, longest: float, from_elsewhere: bool) -> float | None:
    """Train, and kill that after a while; return how long the run was kept from others, None if it ended."""
    verb = ("train", name, "--no-validation", "--no-snapshots", "--device", "cpu")
    go, told = PROCESS.Barrier(1), PROCESS.Queue()
    backend = create_stats_store().backend
    process = started(verb, go, told, from_elsewhere)
    while process.is_alive() and not backend.open_claims(name):
        time.sleep(0.01)
    process.join(rng.uniform(0, longest) if longest < 60 else longest)
    if not process.is_alive():
        _, code, text = told.get(timeout=10)
        assert code == 0, text
        return None
    os.kill(process.pid, signal.SIGKILL)
    begin = time.monotonic()
    process.join()
    while True:
        told_of = [held(claim) for claim in backend.open_claims(name).values()]
        assert [one["pid"] for one in told_of] == [process.pid] and told_of[0]["host"] == os.uname().nodename
        # A store of files has no clock for all: whoever wants the run looks at its lease for so long.
        if told_of[0]["state"] == "lost" or (from_elsewhere and not backend.keeps_time):
            with suppress(LeaseHeld):  # a last sign of life may still have been under way
                take(backend, name, "look at").release()
                return time.monotonic() - begin
        assert time.monotonic() - begin < LEASE * 1.25 + SLACK, told_of
        time.sleep(0.02)


def damaged_checkpoints(folder: Path, quick: bool) -> Row:
    """Cut and change each file of the newest checkpoint, and leave litter: the one before is gone on from."""
    count, passed, rng = 2 if quick else 20, 0, random.Random(11)
    config = tiny_run(folder / "data", num_iterations=8, validation_interval=4)
    with options(runs_base_dir=folder / "runs"):
        train_run(Run(config), do_validate=False, device="cpu")
        newest = folder / "runs" / "tiny" / "checkpoints" / "iterations" / "8"
        for name in (".tmp", ".nfs0001", "x.tmp"):
            (newest / name).write_bytes(b"rubbish")
            (newest.parent / name).mkdir()
        stats, before, run = folder / "runs" / "stats", folder / "before", Run(config)
        shutil.copytree(stats, before)
        for path in sorted(one for one in newest.iterdir() if one.suffix in (".safetensors", ".json")):
            data = path.read_bytes()
            for damaged in _damaged(data, count, rng):
                path.write_bytes(damaged)
                assert run.resume(create_stats_store(), create_weights_store()) == 4, path
                shutil.rmtree(stats)  # whoever goes on from an earlier checkpoint cuts the later ones
                shutil.copytree(before, stats)
                passed += 1
            path.write_bytes(data)
        assert run.resume(create_stats_store(), create_weights_store()) == 8
    chunks = _damaged_chunks(folder, 2 if quick else 20, rng)
    return row(
        "P11 damaged newest checkpoint",
        f"0 of {passed + chunks} kept a run from going on from the one before",
        f"cut and changed at {count} places in each file: {passed}; in GridFS: {chunks}",
    )  # fmt: skip


def _damaged(data: bytes, count: int, rng: random.Random) -> list[bytes]:
    places = min(count, len(data) - 1)
    return [*damage.cuts(data, places, rng), *damage.flips(data, places, rng)]


def _damaged_chunks(folder: Path, count: int, rng: random.Random) -> int:
    """Cut and change what GridFS holds of the newest checkpoint; return how often."""
    passed = 0
    with server(folder) as replica_set, fresh_place(replica_set.uri) as mongo:
        backend = MongoBackend(mongo.uri, mongo.name)
        for iteration in (damage.EARLIER, damage.LAST):
            store = WeightsStore(backend)
            store.store_weights(RUN, iteration, weights_of(float(iteration)))
        database = backend._connection.database
        chunks = database["dacapo.weights.chunks"]
        names = [name for name in backend.blobs(RUN) if f"/{damage.LAST}/" in name]
        entries = {one["name"]: one["file"] for one in database["dacapo.blobs"].find({"run": RUN})}
        assert len(names) == 3
        for name in names:
            chunk = chunks.find_one({"files_id": entries[name]})
            assert chunk is not None
            data = bytes(chunk["data"])
            for damaged in _damaged(data, count, rng):
                chunks.update_one({"_id": chunk["_id"]}, {"$set": {"data": damaged}})
                assert (
                    WeightsStore(MongoBackend(mongo.uri, mongo.name)).latest_iteration(RUN) == damage.EARLIER
                )
                passed += 1
            chunks.update_one({"_id": chunk["_id"]}, {"$set": {"data": data}})
        assert WeightsStore(backend).latest_iteration(RUN) == damage.LAST
    return passed


def outages(folder: Path, quick: bool) -> Row:
    """Training whose store is away from one iteration to another, for all of them: nothing is missing."""
    config, count = test_delivery.config_of(folder), 0
    with options(runs_base_dir=folder / "undisturbed"):
        train_run(Run(config), device="cpu")
        undisturbed = test_delivery.everything()
    with server(folder) as replica_set, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "SECONDS_BETWEEN_LOOKS", 0.1)
        patch.setattr(sys.modules["dacapo.train"], "SECONDS_BETWEEN_STORES", 0.0)
        for begin in range(1, test_delivery.ITERATIONS):
            for end in range(begin + 1, test_delivery.ITERATIONS + 1, 4 if quick else 1):
                with fresh_place(replica_set.uri) as mongo, ExitStack() as closing:
                    between = Proxy(replica_set.port)
                    closing.callback(between.close)
                    closing.callback(connection.close_all)
                    uri = f"{between.uri}&timeoutMS=2500&serverSelectionTimeoutMS=2000"
                    given = mongo.options | {"mongo_db_host": uri, "runs_base_dir": folder / mongo.name}
                    with options(**given):
                        at: dict[int, Callable[[], Any]] = {
                            begin: test_delivery.away(between), end: test_delivery.back(between)
                        }  # fmt: skip
                        train_run(test_delivery.run_with(config, at), device="cpu")
                        test_delivery.assert_same(test_delivery.everything(), undisturbed)
                count += 1
    return row(
        "P9 training goes on without its store", f"0 of {count} outages left a trace",
        "black hole from each iteration of 8 to each later one; stats, scores, checkpoint to the bit",
    )  # fmt: skip


ALL = (starters, killed_trainers, damaged_checkpoints, outages)


def measure(quick: bool = False, chosen: Sequence[str] = ()) -> list[Row]:
    """Return a row for every long form; anything that goes wrong raises."""
    return measure_all(ALL, quick, chosen)


if __name__ == "__main__":
    main(measure)
