"""Training goes on exactly where it left off, whatever ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import dacapo
from dacapo.delivery import Delivery
from dacapo.errors import InvalidRequest, NotFound, Stopped
from dacapo.experiments.datasplits import DummyDataSplitConfig
from dacapo.experiments.run import Run
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.testing import tiny_run
from dacapo.train import train_run

CHILD = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from dacapo.testing import tiny_run
from dacapo.experiments.run import Run
from dacapo.train import train_run
train_run(Run(tiny_run(Path({data!r}), **{changes!r})), do_validate=False, device="cpu")
"""


def child(data: Path, runs: Path, changes: dict) -> subprocess.Popen:
    code = CHILD.format(tests=str(Path(__file__).parent), data=str(data), changes=changes)
    environment = os.environ | {"DACAPO_RUNS_BASE_DIR": str(runs)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)


def losses(run: str) -> list[float]:
    return [stats.loss for stats in create_stats_store().retrieve_training_stats(run).iteration_stats]


def same_weights(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_40_equals_20_then_kill_9_then_20_more(tmp_path, monkeypatch):
    data, changes = (
        tmp_path / "data",
        {"num_iterations": 40, "validation_interval": 40, "checkpoint_interval": 20},
    )
    whole = tiny_run(data, **changes)
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "whole"))
    train_run(Run(whole), do_validate=False, device="cpu")
    expected, expected_losses = create_weights_store().retrieve_weights("tiny", 40), losses("tiny")

    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "killed"))
    process = child(data, tmp_path / "killed", changes)
    store = create_weights_store()
    until = time.monotonic() + 90
    while store.latest_iteration("tiny") is None:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert store.latest_iteration("tiny") == 20
    train_run(Run(tiny_run(data, **changes)), do_validate=False, device="cpu")

    found = store.retrieve_weights("tiny", 40)
    assert same_weights(found.model, expected.model)
    for one, other in zip(
        found.optimizer["state"].values(), expected.optimizer["state"].values(), strict=True
    ):
        assert same_weights(one, other)
    assert losses("tiny") == expected_losses
    assert len(expected_losses) == 40


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_makes_it_checkpoint_and_stop(tmp_path, number):
    config = tiny_run(tmp_path / "data", num_iterations=100_000, validation_interval=50_000)
    run = Run(config)
    reached: list[int] = []
    add = run.training_stats.add_iteration_stats

    class Watch(type(run.trainer)):
        def iterate(self, *arguments):
            for stats in super().iterate(*arguments):
                reached.append(stats.iteration + 1)
                if len(reached) == 3:
                    os.kill(os.getpid(), number)
                yield stats

    run.trainer.__class__ = Watch
    before = signal.getsignal(number)
    with pytest.raises(
        Stopped, match=rf"asked to stop by {number.name}; iteration 3 of 100000 is kept"
    ) as caught:
        train_run(run, do_validate=False, device="cpu")
    assert caught.value.exit_code == 75
    assert signal.getsignal(number) == before
    assert create_weights_store().latest_iteration("tiny") == 3
    assert len(losses("tiny")) == 3
    assert add is not None


def test_a_signal_that_comes_while_stats_are_stored_waits_for_the_next_checkpoint(tmp_path, monkeypatch):
    run = Run(tiny_run(tmp_path / "data", num_iterations=50, validation_interval=50))
    monkeypatch.setattr(sys.modules["dacapo.train"], "SECONDS_BETWEEN_STORES", 0.0)
    persist, asked = Delivery.persist, []

    def interrupted(delivery):
        stored = persist(delivery)
        if not asked:
            asked.append(os.kill(os.getpid(), signal.SIGTERM))
        return stored

    monkeypatch.setattr(Delivery, "persist", interrupted)
    with pytest.raises(Stopped) as stopped:
        train_run(run, device="cpu")
    kept = create_weights_store().latest_iteration(run)
    assert f"iteration {kept} of 50 is kept" in str(stopped.value)


def test_validation_happens_at_every_interval_and_at_the_end(tmp_path):
    config = tiny_run(tmp_path / "data", num_iterations=10, validation_interval=4)
    create_config_store().store_run_config(config)
    dacapo.train("tiny", device="cpu")
    scores = create_stats_store().retrieve_validation_iteration_scores("tiny")
    assert [s.iteration for s in scores] == [4, 8, 10]
    assert create_weights_store().iterations("tiny") == [4, 8, 10]


def test_validating_does_not_change_what_is_trained(tmp_path):
    config = tiny_run(tmp_path / "data")
    train_run(Run(config), do_validate=False, device="cpu")
    train_run(Run(config.replace(name="validated")), do_validate=True, device="cpu")
    weights = create_weights_store()
    assert same_weights(
        weights.retrieve_weights("tiny", 8).model, weights.retrieve_weights("validated", 8).model
    )


def test_a_validation_that_was_due_is_caught_up_with(tmp_path):
    config = tiny_run(tmp_path / "data", num_iterations=4)
    train_run(Run(config), do_validate=False, device="cpu")
    assert not create_stats_store().retrieve_validation_iteration_scores("tiny")
    train_run(Run(config), device="cpu")
    assert [s.iteration for s in create_stats_store().retrieve_validation_iteration_scores("tiny")] == [4]


def test_training_a_trained_run_again_changes_nothing(trained):
    before = losses("tiny")
    train_run(Run(trained), device="cpu")
    assert losses("tiny") == before


def test_a_longer_run_of_the_same_name_goes_on(trained):
    first = losses("tiny")
    train_run(Run(trained.replace(num_iterations=10)), do_validate=False, device="cpu")
    assert losses("tiny")[:8] == first
    assert len(losses("tiny")) == 10


def test_repetitions_are_runs_of_their_own(tmp_path):
    config = tiny_run(tmp_path / "data", num_iterations=2)
    for repetition in (0, 1):
        train_run(Run(config.replace(repetition=repetition)), do_validate=False, device="cpu")
    stats = create_stats_store()
    one, other = (stats.retrieve_training_stats(key) for key in ("tiny:0", "tiny:1"))
    assert not np.allclose(one.columns["loss"], other.columns["loss"])


def test_the_newest_checkpoint_that_is_whole_is_resumed_from(trained, tmp_path, caplog):
    newest = max(
        (tmp_path / "runs").rglob("*.safetensors"),
        key=lambda path: ("/8/" in str(path), path.stat().st_mtime),
    )
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    run = Run(trained)
    assert run.resume(create_stats_store(), create_weights_store()) == 4
    assert "8" in caplog.text


def test_a_run_without_data_to_train_on_is_refused(tmp_path):
    config = tiny_run(tmp_path / "data", datasplit_config=DummyDataSplitConfig("none"))
    with pytest.raises(InvalidRequest, match="cannot train on datasplit 'none'"):
        train_run(Run(config), device="cpu")


def test_an_unknown_run_is_not_found():
    with pytest.raises(NotFound, match="nobody"):
        dacapo.train("nobody")
