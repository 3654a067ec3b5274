"""Checkpoints in the folder of each run."""

from __future__ import annotations

from pathlib import Path

from .files import FileBackend
from .legacy.reading import with_old_data
from .weights_store import Weights, WeightsStore


class LocalWeightsStore(WeightsStore):
    """Keeps checkpoints below ``<basedir>/<run>/checkpoints``."""

    def __init__(self, basedir: Path | str) -> None:
        self.basedir = Path(basedir).expanduser()
        super().__init__(with_old_data(FileBackend(self.basedir)))


__all__ = ["LocalWeightsStore", "Weights"]
