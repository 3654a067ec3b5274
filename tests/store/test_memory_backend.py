"""The memory backend against what every backend has to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.store import create_config_store, create_stats_store
from dacapo.store.memory import MemoryBackend
from dacapo.testing import stores


@pytest.mark.parametrize("check", stores.CHECKS, ids=lambda check: check.__name__)
def test_memory_conforms(check: stores.Check, tmp_path: Path) -> None:
    check(lambda: MemoryBackend(str(tmp_path)))


def test_stores_of_one_folder_share_their_memory(tmp_path: Path):
    create_config_store(type="memory").backend.put("tasks", "a", {"x": 1})
    assert create_stats_store(type="memory").backend.get("tasks", "a") == {"x": 1}
    elsewhere = create_config_store(type="memory", runs_base_dir=tmp_path / "other").backend
    assert elsewhere.keys("tasks") == []
    assert not (tmp_path / "runs").exists()
    assert "memory of this process" in repr(elsewhere)


def test_what_was_stored_cannot_be_changed_from_outside(tmp_path: Path):
    backend, document = MemoryBackend(str(tmp_path)), {"values": [1]}
    backend.put("tasks", "a", document)
    document["values"].append(2)
    found = backend.get("tasks", "a")
    assert found == {"values": [1]}
    found["values"].append(3)
    assert backend.get("tasks", "a") == {"values": [1]}
