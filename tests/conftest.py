"""What all tests share: one thread, because small networks gain nothing by more, and a home of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from dacapo import registry
from dacapo.experiments.run_config import RunConfig
from ftp_server import PASSWORD, ServedFolder
from mongo_places import MongoPlace, fresh_place
from mongod import Mongod

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test's files below its own folder, and away from the user's options."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    for name in [name for name in os.environ if name.startswith("DACAPO_")]:
        if not name.startswith(("DACAPO_TEST_", "DACAPO_RUNS_BASE_DIR")):
            monkeypatch.delenv(name)
    return home


@pytest.fixture
def session_types() -> Iterator[None]:
    """Forget at the end of a test what it added to the registry."""
    before = dict(registry.registry._session)
    yield
    registry.registry._session = before
    registry.refresh()


@pytest.fixture
def served(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServedFolder]:
    """Serve a folder by FTP; its password is where fsspec keeps what its variables and files say."""
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"password": PASSWORD})
    server = ServedFolder(tmp_path_factory.mktemp("served"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    """Train and validate one tiny run for all tests; its data is below, its runs in ``runs``."""
    from dacapo.experiments.run import Run
    from dacapo.store.create_store import create_config_store
    from dacapo.testing import tiny_run
    from dacapo.train import train_run

    folder = tmp_path_factory.mktemp("trained")
    config = tiny_run(folder / "data", num_iterations=8, validation_interval=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DACAPO_RUNS_BASE_DIR", str(folder / "runs"))
        create_config_store().store_run_config(config)
        train_run(Run(config), device="cpu")
    return config, folder


@pytest.fixture
def trained(trained_once: tuple[RunConfig, Path], tmp_path: Path) -> RunConfig:
    """Return a trained run whose stores, a copy, this test may change."""
    config, folder = trained_once
    shutil.copytree(folder / "runs", tmp_path / "runs")
    (tmp_path / "data").symlink_to(folder / "data")
    return config


@pytest.fixture(scope="session")
def replica_set_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a replica set of one for all tests, or use the server of ``DACAPO_TEST_MONGO_URI``."""
    if given := os.environ.get("DACAPO_TEST_MONGO_URI"):
        yield given
        return
    server = Mongod(tmp_path_factory.mktemp("replica-set")).start()
    yield server.uri
    server.stop()


@pytest.fixture(scope="session")
def standalone_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server that stands alone for all tests."""
    server = Mongod(tmp_path_factory.mktemp("standalone"), replica_set=None).start()
    yield server.uri
    server.stop()


@pytest.fixture(params=["replica set", "standalone"])
def mongo_place(request: pytest.FixtureRequest) -> Iterator[MongoPlace]:
    """Give the test a database of its own, on either sort of server."""
    fixture = f"{request.param.replace(' ', '_')}_uri"
    with fresh_place(request.getfixturevalue(fixture)) as place:
        yield place


@pytest.fixture
def mongo(replica_set_uri: str) -> Iterator[MongoPlace]:
    """Give the test a database of its own, on a replica set."""
    with fresh_place(replica_set_uri) as place:
        yield place
