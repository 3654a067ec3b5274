"""What all tests share: two threads, and a home of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dacapo import registry

torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test's files below its own folder, and away from the user's options."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    for name in ("DACAPO_OPTIONS_FILE", "DACAPO_TYPE", "DACAPO_MONGO_DB_HOST", "DACAPO_MONGO_DB_NAME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def session_types() -> Iterator[None]:
    """Forget at the end of a test what it added to the registry."""
    before = dict(registry.registry._session)
    yield
    registry.registry._session = before
    registry.refresh()
