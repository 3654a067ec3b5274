"""Training goes on while the store is away, and afterwards nothing is missing: not a bit."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dacapo import delivery
from dacapo.errors import Stopped, StoreUnreachable
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.mongo import connection
from dacapo.testing import tiny_run
from dacapo.train import train_run
from mongo_places import MongoPlace
from proxy import Proxy

ITERATIONS = 8


class Killed(BaseException):
    """Ends training at once, as a kill does as far as the stores can tell."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delivery")


@pytest.fixture
def config(data: Path) -> RunConfig:
    return config_of(data)


def config_of(folder: Path) -> RunConfig:
    return tiny_run(folder / "data", num_iterations=ITERATIONS, validation_interval=4)


@pytest.fixture(scope="module")
def undisturbed(data: Path) -> Any:
    """Return stats, scores and last checkpoint of the run, trained with nothing in the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(data / "undisturbed"))
        train_run(Run(config_of(data)), device="cpu")
        return everything()


def everything() -> Any:
    stats, weights = create_stats_store(), create_weights_store()
    scores = stats.retrieve_validation_scores("tiny")
    best = {(one.dataset, one.criterion): one.iteration for one in weights.best("tiny")}
    last = weights.retrieve_weights("tiny", ITERATIONS)
    loss = stats.retrieve_training_stats("tiny").columns["loss"]
    return loss, scores.iterations, scores.array, last, best


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    return bool(one == other)


def assert_same(found: Any, expected: Any) -> None:
    for one, other in zip(found[:3], expected[:3], strict=True):
        assert same(one, other)
    for part in ("model", "optimizer", "scheduler"):
        assert same(getattr(found[3], part), getattr(expected[3], part)), part
    for part in ("torch", "numpy"):  # Python's own is drawn from by the driver of MongoDB
        assert same(found[3].random_state[part], expected[3].random_state[part]), part
    # Of the checkpoints that have to wait only the newest is kept: it may be the best that there is.
    kept = create_weights_store().iterations("tiny")
    assert found[4].keys() == expected[4].keys() and set(found[4].values()) <= set(kept)
    assert all(found[4][key] == one for key, one in expected[4].items() if one in kept)


@pytest.fixture
def proxy(mongo: MongoPlace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Put a network that fails on demand before the store that the options name."""
    between = Proxy(int(mongo.uri.rstrip("/").rpartition(":")[2]))
    uri = f"{between.uri}&timeoutMS=700&serverSelectionTimeoutMS=500"
    for key, value in (mongo.options | {"mongo_db_host": uri}).items():
        monkeypatch.setenv(f"DACAPO_{key.upper()}", value)
    monkeypatch.setattr(sys.modules["dacapo.train"], "SECONDS_BETWEEN_STORES", 0.0)
    monkeypatch.setattr(delivery, "SECONDS_BETWEEN_LOOKS", 0.1)
    yield between
    connection.close_all()
    between.close()


def run_with(config: RunConfig, at: dict[int, Callable[[], Any]]) -> Run:
    """Return a run that does something at the ends of iterations."""
    run = Run(config)

    class Watched(type(run.trainer)):  # type: ignore[misc]
        def iterate(self, *arguments: Any) -> Iterator[Any]:
            for stats in super().iterate(*arguments):
                at.get(stats.iteration + 1, lambda: None)()
                yield stats

    run.trainer.__class__ = Watched
    return run


def away(proxy: Proxy) -> Callable[[], None]:
    return lambda: setattr(proxy, "black_hole", True)


def back(proxy: Proxy) -> Callable[[], None]:
    return lambda: setattr(proxy, "black_hole", False)


def ended(proxy: Proxy) -> None:
    """Bring the store back, with the lease of the process before at an end, as if that had ended."""
    back(proxy)()
    backend = create_stats_store().backend
    if (newest := backend.newest_claim("tiny")) is not None:
        backend.release_claim("tiny", newest.number)


def test_an_outage_leaves_no_trace(config, undisturbed, proxy, caplog, monkeypatch):
    waited: list[int] = []
    store_weights = type(create_weights_store()).store_weights

    def noted(self: Any, run: Any, iteration: int, weights: Any = None) -> None:
        if weights is not None:
            waited.append(iteration)
        store_weights(self, run, iteration, weights)

    monkeypatch.setattr(type(create_weights_store()), "store_weights", noted)
    train_run(run_with(config, {3: away(proxy), 7: back(proxy)}), device="cpu")
    assert_same(everything(), undisturbed)
    assert set(waited) in ({4}, {8})  # of those that had to wait at most the newest, tried until it is kept
    assert caplog.text.count("Training goes on") == 1
    assert caplog.text.count("the store is back after") == 1
    assert not list(Path(os.environ["DACAPO_RUNS_BASE_DIR"]).rglob("undelivered"))


def test_what_cannot_be_delivered_waits_for_the_next_training(
    config, undisturbed, proxy, monkeypatch, capsys
):
    monkeypatch.setattr(delivery, "SECONDS_TO_WAIT", 0.3)
    with pytest.raises(StoreUnreachable, match="is trained, but .* dacapo train tiny") as caught:
        train_run(run_with(config, {3: away(proxy)}), device="cpu")
    assert caught.value.exit_code == 5
    assert "waiting for the store" in capsys.readouterr().err
    folder = Path(os.environ["DACAPO_RUNS_BASE_DIR"]) / "tiny" / "undelivered"
    assert folder.is_dir() and str(folder) in str(caught.value)
    with pytest.raises(StoreUnreachable):
        train_run(Run(config), device="cpu")
    ended(proxy)
    copy = folder.with_name("again")
    shutil.copytree(folder, copy)
    for _ in range(2):  # the second time as if the first had been killed at its end
        train_run(Run(config), device="cpu")
        assert_same(everything(), undisturbed)
        assert not folder.exists()
        if copy.exists():
            copy.rename(folder)


def test_it_waits_at_the_end_until_the_store_is_back(config, undisturbed, proxy, monkeypatch, capsys):
    monkeypatch.setattr(delivery, "SECONDS_BETWEEN_LINES", 0.0)
    finish = delivery.Delivery.leave

    def leave(self: Any) -> bool:
        left = finish(self)
        back(proxy)()
        return left

    monkeypatch.setattr(delivery.Delivery, "leave", leave)
    train_run(run_with(config, {6: away(proxy)}), device="cpu")
    assert_same(everything(), undisturbed)
    assert "waiting for the store" in capsys.readouterr().err


def test_a_checkpoint_that_waited_longer_than_its_scores_is_recorded_as_best(config, proxy, monkeypatch):
    ended: list[bool] = []
    leave = delivery.Delivery.leave
    monkeypatch.setattr(delivery._Outage, "is_over", lambda self: bool(ended))
    monkeypatch.setattr(delivery.Delivery, "leave", lambda self: ended.append(True) or leave(self))
    once = config.replace(validation_interval=ITERATIONS)
    train_run(run_with(once, {3: away(proxy), 4: back(proxy)}), device="cpu")
    assert create_weights_store().iterations("tiny") == [ITERATIONS]
    assert {best.iteration for best in create_weights_store().best("tiny")} == {ITERATIONS}


def test_a_kill_during_an_outage_goes_back_to_the_checkpoint_before(config, undisturbed, proxy):
    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        train_run(run_with(config, {5: away(proxy), 8: kill}), device="cpu")
    ended(proxy)
    assert create_weights_store().latest_iteration("tiny") == 4
    train_run(Run(config), device="cpu")
    assert_same(everything(), undisturbed)


def test_a_stop_during_an_outage_keeps_its_checkpoint(config, undisturbed, proxy):
    stop = {3: away(proxy), 6: lambda: os.kill(os.getpid(), signal.SIGTERM)}
    with pytest.raises(Stopped, match="iteration 6 of 8 is kept as a checkpoint in .*undelivered"):
        train_run(run_with(config, stop), device="cpu")
    ended(proxy)
    train_run(run_with(config, {}), device="cpu")
    assert_same(everything(), undisturbed)


def test_a_run_that_went_on_elsewhere_keeps_what_it_has(config, proxy, monkeypatch, caplog):
    monkeypatch.setattr(delivery, "SECONDS_TO_WAIT", 0.0)
    with pytest.raises(StoreUnreachable):
        train_run(run_with(config, {3: away(proxy)}), device="cpu")
    ended(proxy)
    base = os.environ["DACAPO_RUNS_BASE_DIR"]
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", f"{base}-elsewhere")
    train_run(Run(config), device="cpu")
    before = create_stats_store().retrieve_training_stats("tiny")
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", base)
    with pytest.raises(Exception, match="no usable checkpoint"):
        train_run(Run(config), device="cpu")
    assert create_stats_store().retrieve_training_stats("tiny") == before
    assert "has gone on elsewhere" in caplog.text
    assert (Path(base) / "tiny" / "superseded-0").is_dir()
    assert not (Path(base) / "tiny" / "undelivered").exists()


def test_deleting_a_run_deletes_what_waits(config, proxy, monkeypatch):
    from dacapo.store.create_store import create_array_store
    from dacapo.store.deletion import delete_run

    create_config_store().store_run_config(config)
    monkeypatch.setattr(delivery, "SECONDS_TO_WAIT", 0.0)
    with pytest.raises(StoreUnreachable):
        train_run(run_with(config, {3: away(proxy)}), do_validate=False, device="cpu")
    ended(proxy)
    stores = create_config_store(), create_stats_store(), create_weights_store(), create_array_store()
    assert "undelivered" in delete_run("tiny", *stores)
    assert not list(Path(os.environ["DACAPO_RUNS_BASE_DIR"]).rglob("undelivered"))
