"""Stats and scores in a folder of append-only logs."""

from __future__ import annotations

from pathlib import Path

from .files import FileBackend
from .legacy.reading import with_old_data
from .stats_store import StatsStore


class FileStatsStore(StatsStore):
    """Keeps stats and scores below ``path``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        super().__init__(with_old_data(FileBackend(self.path.parent, stats=self.path)))
