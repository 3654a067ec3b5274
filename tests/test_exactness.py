"""Training is exact, whatever the task: it goes on as if it had never stopped, and twice in the same way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from dacapo.errors import Stopped
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.store.create_store import create_stats_store, create_weights_store
from dacapo.train import train_run
from every_task import CASES, run_of

LENGTH, STOP = 4, 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exact")


@pytest.fixture(scope="module", params=CASES)
def whole(request: pytest.FixtureRequest, place: Path) -> Iterator[tuple[RunConfig, Any]]:
    """Train a run of each task without a pause; return it and all that is known of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(place / "runs"))
        name = request.param.replace(" ", "-")
        # Validated at 2 and 4: it stops at 3, between the two.
        config = run_of(CASES[request.param], place / name, name=name, num_iterations=LENGTH)
        train(config)
        known = result(config)
    yield config, known


def train(config: RunConfig, stop_at: int | None = None) -> list[float]:
    """Train a run, asked to stop at an iteration; return the learning rate after each one that it did."""
    run, rates = Run(config), []
    stops = (
        pytest.raises(Stopped, match=f"iteration {stop_at} of {LENGTH} is kept") if stop_at else nullcontext()
    )

    class Watched(type(run.trainer)):  # type: ignore[misc]
        def iterate(self, *arguments: Any) -> Iterator[Any]:
            for stats in super().iterate(*arguments):
                rates.append(self.scheduler.get_last_lr()[0])
                if stats.iteration + 1 == stop_at:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield stats

    run.trainer.__class__ = Watched
    with stops:
        train_run(run, device="cpu")
    return rates


def result(config: RunConfig) -> Any:
    """Return all that a trained run leaves behind, but for how long it took."""
    weights = create_weights_store().retrieve_weights(config, LENGTH)
    stats = create_stats_store().retrieve_training_stats(config)
    scores = create_stats_store().retrieve_validation_iteration_scores(config)
    return attrs.asdict(weights, recurse=False) | {
        "losses": stats.columns["loss"],
        "iterations": [each.iteration for each in stats.iteration_stats],
        "scores": [(each.iteration, each.scores) for each in scores],
    }


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return where two results differ, be it by a bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return [found for key in one for found in differences(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        pairs = enumerate(zip(one, other, strict=True))
        return [found for key, (a, b) in pairs for found in differences(a, b, f"{where}/{key}")]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    return [] if np.array_equal(one, other, equal_nan=isinstance(one, float)) else [where]


def test_training_goes_on_bit_for_bit(whole, monkeypatch, place):
    config, expected = whole
    monkeypatch.chdir(place)
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(place / "stopped"))
    train(config, stop_at=STOP)
    assert create_weights_store().latest_iteration(config) == STOP
    train(config)
    found = result(config)
    assert len(found["losses"]) == LENGTH and [each for each, _ in found["scores"]] == [2, 4]
    assert differences(found, expected) == []


def test_two_runs_with_one_seed_are_equal_and_those_with_another_are_not(whole, monkeypatch, place):
    config, expected = whole
    monkeypatch.chdir(place)
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(place / f"again {config.name}"))
    again, other = config.replace(name="again"), config.replace(name="other", seed=1, num_iterations=1)
    train(again)
    assert differences(result(again), expected) == []
    train(other)
    assert create_stats_store().retrieve_training_stats("other").columns["loss"][0] != expected["losses"][0]


@pytest.mark.parametrize("name", ["distance", "affinities in 2D"])
def test_the_learning_rate_goes_on_where_it_was(name, tmp_path, monkeypatch):
    # It warms up for 2 iterations and decays from there: one stop in either.
    config = run_of(CASES[name], tmp_path / "data", num_iterations=LENGTH, validation_interval=LENGTH)
    expected = train(config)
    assert len(set(expected)) == LENGTH and np.argmax(expected) == 1
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "stopped"))
    assert train(config, 1) + train(config, 3) + train(config) == expected


# Distances may differ where they are saturated, and descriptors in objects that are hidden in part.
KNOWN_BY_LABELS = [name for name in CASES if "class" in name or "affinities" in name or name == "dummy"]


@pytest.mark.parametrize("name", KNOWN_BY_LABELS)
def test_labels_that_a_mask_hides_change_no_weight(name, tmp_path):
    """The whole way, with patches that are turned and bent: what is unknown may as well be something else."""
    found = []
    for hidden in (0, 200):
        config = run_of(CASES[name], tmp_path / "data", hidden, name=f"hidden-{hidden}", num_iterations=2)
        train_run(Run(config), do_validate=False, device="cpu")
        found.append(create_weights_store().retrieve_weights(config, 2).model)
    assert differences(*found) == []
