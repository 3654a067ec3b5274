"""Configs in a folder of YAML files."""

from __future__ import annotations

from pathlib import Path

from .config_store import CLASSES, ConfigStore, DuplicateNameError
from .files import FileBackend
from .legacy.reading import with_old_data


class FileConfigStore(ConfigStore):
    """Keeps configs below ``path``, in one folder for each kind."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        super().__init__(with_old_data(FileBackend(self.path.parent, configs=self.path)))
        (
            self.runs,
            self.tasks,
            self.architectures,
            self.trainers,
            self.datasplits,
            self.datasets,
            self.arrays,
        ) = (self.path / kind for kind in CLASSES)


__all__ = ["DuplicateNameError", "FileConfigStore"]
