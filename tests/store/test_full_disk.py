"""A disk that is full is an error that says so; what was kept is untouched, and room makes all well."""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dacapo.errors import StoreError
from dacapo.store.files import FileBackend
from dacapo.store.weights_store import Weights
from replay import recording
from scripted import RUN, Session, observe, run_config, weights_of

FULL = re.compile(r"(writing|appending to) (/\S+) failed: .*; \d+ MB are free there")


def contents(root: Path) -> set[Path]:
    """Return the files that take room, but for the few bytes of epochs and of claims that run out."""
    files = (path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
    return {path for path in files if path.suffix not in (".epoch", ".claim", ".released")}


def filled_up(root: Path) -> int:
    """Try each command of a session with a disk that is full from its n-th operation on; count them."""
    root.mkdir()
    refused = 0
    with recording(root) as recorder:
        for name, command in Session(FileBackend(root)).commands():
            before, files = observe(FileBackend(root)), contents(root)
            for step in range(1000):
                recorder.full_at = len(recorder.operations) + step
                try:
                    command()
                    break
                except StoreError as error:
                    refused += 1
                    found = FULL.search(str(error))
                    assert found and found[2].startswith(str(root)), f"{name}: {error}"
                    assert error.exit_code == 1
                recorder.full_at = None
                assert observe(FileBackend(root)) == before, f"{name}, at operation {step}"
                assert contents(root) <= files, f"{name}, at operation {step}, left something"
            recorder.full_at = None
            assert observe(FileBackend(root)) != before, name
    return refused


def test_a_disk_that_fills_up_at_any_operation_harms_nothing(tmp_path: Path):
    assert filled_up(tmp_path / "runs") > 50


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Give a folder a disk of its own that is soon full; who may not mount gets files that are."""
    folder.mkdir()
    size = f"size={megabytes}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if mounted.returncode:
        resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if not mounted.returncode:
            subprocess.run(["umount", folder], check=True)


def test_every_writer_on_a_real_full_disk(tmp_path: Path):
    with small_disk(tmp_path / "disk", 2):
        root = tmp_path / "disk" / "runs"
        session = Session(FileBackend(root))
        session.train(5)
        session.configs.store_run_config(run_config())
        session.score(3)
        session.weights.store_weights(RUN, 5, weights_of(5.0))
        session.weights.store_best(RUN, 5, "crop", "dice", 0.5)
        before = observe(FileBackend(root))
        big = np.random.default_rng(0).random(2**19)
        with pytest.raises(StoreError, match=FULL):
            session.weights.store_weights(RUN, 6, Weights({"x": big}))
        session.numbers.append(np.arange(5, 5 + 2**18), {"loss": big[: 2**18], "time": big[: 2**18]})
        with pytest.raises(StoreError, match=FULL):
            session.stats.store_training_stats(RUN, session.numbers)
        with pytest.raises(StoreError, match=FULL):
            session.configs.backend.put("tasks", "big", {"text": "x" * 2**22})
        with pytest.raises(StoreError, match=FULL):
            session.configs.backend.put("tasks", "big", {"text": "x" * 2**22}, replace=True)
        with pytest.raises(StoreError, match=FULL):
            session.weights.store_best(RUN, 5, "crop", "dice", 0.6, "x" * 2**22)
        assert observe(FileBackend(root)) == before
        session.weights.store_weights(RUN, 6, weights_of(6.0))
        assert observe(FileBackend(root)) == before | {("checkpoint", 6): 6.0}
