"""A writer killed at any moment: what it was told is kept, and everything stays readable."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dacapo.store.files import FileBackend
from dacapo.store.stats_store import StatsStore

WRITER = """
import sys
import numpy as np
from dacapo.experiments.score_labels import Criterion, ScoreLabels
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.files import FileBackend
from dacapo.store.stats_store import StatsStore

backend = FileBackend(sys.argv[1])
store = StatsStore(backend)
stats = store.retrieve_training_stats("run")
scores = ValidationScores.labelled(ScoreLabels(("a",), ("p",), (Criterion("dice", True),)))
scores.scores = store.retrieve_validation_iteration_scores("run")
while True:
    first = stats.trained_until()
    values = np.arange(first, first + 500) * 0.5
    stats.append(np.arange(first, first + 500), {"loss": values, "time": values})
    store.store_training_stats("run", stats)
    print("stats", first + 500, flush=True)
    scores.add_iteration_scores(ValidationIterationScores(first, [[[float(first)]]]))
    store.store_validation_iteration_scores("run", scores)
    print("scores", first, flush=True)
    backend.put("tasks", "task", {"number": first, "text": "x" * 5000}, replace=True)
    print("task", first, flush=True)
    backend.put_blob("run", "blob", [bytes([first // 500 % 256]) * 500_000] * 4)
    print("blob", first // 500 % 256, flush=True)
"""


def kill_once(root: Path, seconds: float) -> dict[str, int]:
    """Let a writer write for some time, kill it, and return what it was told is kept."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert writer.stdout is not None
    told = dict([writer.stdout.readline().split()])
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    # The last line may have been cut off like anything else.
    told |= dict(line.split() for line in writer.stdout.read().split("\n")[:-1])
    writer.wait()
    writer.stdout.close()
    return {what: int(number) for what, number in told.items()}


def check(root: Path, told: dict[str, int], reached: int) -> None:
    """Read everything: what the writer was told is there, whole, and in order."""
    backend = FileBackend(root)
    store = StatsStore(backend)
    stats = store.retrieve_training_stats("run")
    assert stats.trained_until() >= told["stats"] > reached
    assert stats.iterations.tolist() == list(range(stats.trained_until()))
    assert (stats.columns["loss"] == stats.iterations * 0.5).all()
    scores = store.retrieve_validation_scores("run")
    assert scores.validated_until() > told.get("scores", -1)
    assert scores.array.ravel().tolist() == scores.iterations
    task = backend.get("tasks", "task")
    assert task is None or (task["number"] >= told.get("task", 0) and len(task["text"]) == 5000)
    blob = backend.get_blob("run", "blob")
    assert blob is None or (len(blob) == 2_000_000 and len(set(blob)) == 1)
    assert blob is not None or "blob" not in told


def killed(root: Path, count: int, seed: int = 0) -> Iterator[int]:
    """Kill a writer that often, each going on where the last was; yield how far it had come."""
    rng = random.Random(seed)
    reached = 0
    for _ in range(count):
        told = kill_once(root, rng.uniform(0, 0.15))
        check(root, told, reached)
        reached = told["stats"]
        yield reached


def test_a_killed_writer_loses_nothing_it_was_told_is_kept(tmp_path: Path):
    assert len(list(killed(tmp_path, 8))) == 8
