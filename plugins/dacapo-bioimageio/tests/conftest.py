"""A run with weights, in stores of its own, and the data that it is validated on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from zoo_runs import config_in

from dacapo.experiments import Run
from dacapo.store.create_store import create_config_store, create_weights_store

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep stores and unpacked packages below the folder of the test."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A stored run with a checkpoint of random weights."""
    made = Run(config_in(tmp_path))
    torch.manual_seed(7)
    for parameter in made.model.parameters():  # another run of the same seed begins with other weights
        parameter.data += 0.05 * torch.randn_like(parameter)
    create_config_store().store_run_config(made.config)
    create_weights_store().store_weights(made, 4)
    return made
