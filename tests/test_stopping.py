"""Asked to stop at any moment: nothing is lost, and whoever is impatient need not wait."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dacapo.errors import Stopped
from dacapo.experiments.run import Run
from dacapo.stopping import SIGNALS, StopRequest, stop_requests
from dacapo.store.create_store import create_stats_store, create_weights_store
from dacapo.testing import tiny_run
from dacapo.train import train_run


@pytest.fixture
def deaf() -> Iterator[None]:
    """Let signals that come outside of training do nothing to the tests."""
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def alike(one: Any, other: Any) -> bool:
    """Say whether trees with tensors are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def interrupted(config: Any, rng: random.Random, longest: float) -> int:
    """Train to the end, asked to stop at random moments all the time; return how often it did."""
    stops = 0
    for _ in range(1000):
        number = rng.choice(SIGNALS)
        timer = threading.Timer(rng.uniform(0, longest), os.kill, (os.getpid(), number))
        timer.start()
        before = create_weights_store().latest_iteration(config) or 0
        try:
            train_run(Run(config), do_validate=False, device="cpu")
            return stops
        except Stopped as stopped:
            assert stopped.exit_code == 75
            kept = create_weights_store().latest_iteration(config)
            assert kept is not None and kept > before and f"iteration {kept} of" in str(stopped)
            assert create_stats_store().retrieve_training_stats(config).trained_until() == kept
            stops += 1
        finally:
            timer.cancel()
            timer.join()
    raise AssertionError("it never ended")


@pytest.mark.usefixtures("deaf")
def test_training_that_is_stopped_again_and_again_ends_as_if_it_never_was(tmp_path, monkeypatch):
    changes = {"num_iterations": 30, "validation_interval": 15}
    config = tiny_run(tmp_path / "data", **changes)
    train_run(Run(config), do_validate=False, device="cpu")
    whole = create_weights_store().retrieve_weights(config, 30)
    stats = create_stats_store().retrieve_training_stats(config)

    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "interrupted"))
    stops = interrupted(config, random.Random(0), longest=0.5)
    assert stops >= 1
    found = create_weights_store().retrieve_weights(config, 30)
    assert alike(found.model, whole.model) and alike(found.optimizer, whole.optimizer)
    assert alike(found.random_state, whole.random_state)
    again = create_stats_store().retrieve_training_stats(config)
    assert again.columns["loss"].tolist() == stats.columns["loss"].tolist()
    assert again.iterations.tolist() == list(range(30))


@pytest.mark.parametrize(
    ("number", "ended"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_the_same_signal_again_ends_it_at_once(number: int, ended: type[BaseException]):
    with stop_requests() as request:
        os.kill(os.getpid(), number)
        assert request and request.signal == number
        with pytest.raises(ended) as caught:
            os.kill(os.getpid(), number)
        if ended is SystemExit:
            assert caught.value.code == 143


def test_a_scheduler_may_insist_with_another_signal():
    request = StopRequest()
    assert not request
    for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
        request.hear(number)
        assert request.signal == number


def test_signals_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_requests():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_only_the_main_thread_hears():
    heard: list[bool] = []

    def listen() -> None:
        with stop_requests() as request:
            heard.append(bool(request))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [False]
