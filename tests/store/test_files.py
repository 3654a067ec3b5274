"""The file backend against what every backend has to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.store.files import FileBackend
from dacapo.testing import stores


@pytest.mark.parametrize("check", stores.CHECKS, ids=lambda check: check.__name__)
def test_files_conform(check: stores.Check, tmp_path: Path) -> None:
    check(lambda: FileBackend(tmp_path / "place"))
