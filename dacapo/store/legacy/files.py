"""What an earlier DaCapo left in a folder.

<configs>/<collection>/<name>.yaml                one config a file, without a first line of ours
<stats>/training_stats/<run>                      pickles, which only an import reads
<stats>/validation_scores/<run>
<root>/<run>/checkpoints/iterations/<n>           a file of torch
<root>/<run>/checkpoints/<dataset>/<criterion>.json    {"iteration": n}

What the present format takes the place of is kept beside it, in ``.before-upgrade``.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.documents import Document
from dacapo.errors import CorruptData

from .. import document_file
from ..publication import create, explained, make_folder, remove_file, sync_folder, visible
from .names import beginning
from .old_data import Best, OldData

if TYPE_CHECKING:
    from ..weights_store import Weights

logger = logging.getLogger(__name__)

KEPT = ".before-upgrade"
STATS, SCORES = "training_stats", "validation_scores"
_YAML, _JSON = ".yaml", ".json"
_META = re.compile(rb"^__meta__:", re.M)
_REPETITION = re.compile(rb"^repetition: *(\d{1,9}) *$", re.M)
_told: set[Path] = set()


class OldFiles(OldData):
    """Configs and checkpoints of a folder; of stats only that they are there."""

    in_place = True
    can_read_logs = False

    def __init__(self, root: Path, configs: Path, stats: Path) -> None:
        self.root, self.configs, self.stats_folder = root, configs, stats

    def are_there(self) -> bool:
        """Say whether an earlier version was here: it made folders that this one does not make."""
        return any(mark.is_dir() for mark in self._marks())

    def _marks(self) -> list[Path]:
        return [self.configs / "users", self.stats_folder / STATS, self.stats_folder / SCORES]

    # configs

    def names(self, collection: str, begin: str = "") -> list[str]:
        found = visible(self.configs / collection)
        names = beginning((name[: -len(_YAML)] for name in found if name.endswith(_YAML)), begin, collection)
        return [name for name in names if self._read(self.configs, collection, name) is not None]

    def repetitions(self, name: str) -> list[int]:
        for folder in (self.configs, self.configs / KEPT):
            if (data := self._read(folder, "runs", name)) is not None:
                return [self._repetition(data, name)]
        return []

    def document(self, collection: str, name: str, repetition: int = 0) -> Document | None:
        data = self._read(self.configs, collection, name)
        if data is None or (collection == "runs" and self._repetition(data, name) != repetition):
            return None
        return document_file.load(data, self._config(self.configs, collection, name))

    def remove_document(self, collection: str, name: str, repetition: int = 0) -> bool:
        data = self._read(self.configs, collection, name)
        removed = data is not None and (collection != "runs" or self._repetition(data, name) == repetition)
        if removed:
            remove_file(self._config(self.configs, collection, name))
        remove_file(self._config(self.configs / KEPT, collection, name))
        return removed

    def remember(self, collection: str, name: str) -> None:
        if (data := self._read(self.configs, collection, name)) is not None:
            create(self._config(self.configs / KEPT, collection, name), [data])

    def retire(self, collection: str, name: str) -> None:
        if self._read(self.configs, collection, name) is not None:
            remove_file(self._config(self.configs, collection, name))

    def finish(self) -> None:
        if any(self.names(collection) for collection in visible(self.configs)):
            return
        for folder in self._marks():
            with suppress(OSError):  # it is not there, or not empty
                folder.rmdir()

    def _config(self, folder: Path, collection: str, name: str) -> Path:
        return folder / collection / f"{name}{_YAML}"

    def _read(self, folder: Path, collection: str, name: str) -> bytes | None:
        """Return the file of an old config; None for one of the present format."""
        if not is_part_of_a_path(name):
            return None
        try:
            data = self._config(folder, collection, name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if document_file.is_marked(data) or _META.search(data) else data

    def _repetition(self, data: bytes, name: str) -> int:
        """Return the repetition of a run, found without reading all the rest where that is possible."""
        if found := _REPETITION.search(data):
            return int(found[1])
        try:
            document = document_file.load(data, self._config(self.configs, "runs", name))
            return int(document.get("repetition") or 0)
        except (CorruptData, TypeError, ValueError) as error:
            logger.warning("the repetition of run %s is taken to be 0: %s", name, error)
            return 0

    # stats and scores

    def logged(self, begin: str = "") -> list[str]:
        found = sorted({*visible(self.stats_folder / STATS), *visible(self.stats_folder / SCORES)})
        if found:
            self._tell()
        return beginning(found, begin)

    def has_log(self, name: str) -> bool:
        if not is_part_of_a_path(name):
            return False
        found = any((self.stats_folder / kind / name).is_file() for kind in (STATS, SCORES))
        if found:
            self._tell()
        return found

    def remove_stats(self, name: str) -> bool:
        return remove_file(self.stats_folder / STATS / name)

    def remove_scores(self, name: str) -> bool:
        return remove_file(self.stats_folder / SCORES / name)

    def put_log_aside(self, kind: str, name: str) -> None:
        """Move a pickle that was imported out of the way."""
        _move(self.stats_folder / kind / name, self.stats_folder / KEPT / kind / name)

    def trust(self) -> None:
        """Say nothing of pickles any more: whoever asks for their import knows."""
        _told.add(self.stats_folder)

    def _tell(self) -> None:
        """Say, once for each place, that there are stats that ordinary reading leaves alone."""
        if self.stats_folder in _told:
            return
        _told.add(self.stats_folder)
        runs = {name for kind in (STATS, SCORES) for name in visible(self.stats_folder / kind)}
        logger.warning(
            "the stats and scores of %d runs in %s are pickles of an earlier DaCapo, which can run any "
            "code, so they are not read; if you trust whoever wrote them, bring them over with  "
            "dacapo store import-legacy --trust-pickles",
            len(runs), self.stats_folder,
        )  # fmt: skip

    # checkpoints

    def trained(self, begin: str = "") -> list[str]:
        return [name for name in beginning(visible(self.root), begin) if self.checkpoints(name)]

    def checkpoints(self, name: str) -> list[int]:
        if not is_part_of_a_path(name):
            return []
        folder = self._checkpoints(name)
        places = (folder / "iterations", folder / KEPT)
        found = {int(one) for place in places for one in visible(place) if _is_file_of(place, one)}
        return sorted(found)

    def weights(self, name: str, iteration: int) -> Weights:
        # Imported here: whoever lists checkpoints does not need torch.
        from . import checkpoints

        return checkpoints.read(self._checkpoint(name, iteration), f"checkpoint {iteration} of run {name}")

    def set_aside(self, name: str, iteration: int) -> None:
        folder = self._checkpoints(name)
        if is_part_of_a_path(name):
            _move(folder / "iterations" / str(iteration), folder / KEPT / str(iteration))

    def remove_checkpoint(self, name: str, iteration: int) -> bool:
        if iteration not in self.checkpoints(name):
            return False
        folder = self._checkpoints(name)
        for path in (folder / "iterations" / str(iteration), folder / KEPT / str(iteration)):
            if path.is_file():
                remove_file(path)
        return True

    def best(self, name: str) -> list[Best]:
        if not is_part_of_a_path(name):
            return []
        folder, found = self._checkpoints(name), []
        for dataset in visible(folder):
            for file in visible(folder / dataset) if dataset != "iterations" else ():
                if file.endswith(_JSON) and (iteration := _iteration(folder / dataset / file)) is not None:
                    found.append((dataset, file.removesuffix(_JSON), iteration))
        return found

    def remove_best(self, name: str, dataset: str, criterion: str) -> bool:
        if (dataset, criterion) not in {one[:2] for one in self.best(name)}:
            return False
        folder = self._checkpoints(name) / dataset
        removed = remove_file(folder / f"{criterion}{_JSON}")
        remove_file(folder / criterion)
        return removed

    def _checkpoints(self, name: str) -> Path:
        return self.root / name / "checkpoints"

    def _checkpoint(self, name: str, iteration: int) -> Path:
        folder = self._checkpoints(name)
        path = folder / "iterations" / str(iteration)
        return path if path.is_file() else folder / KEPT / str(iteration)


def is_part_of_a_path(name: str) -> bool:
    """Say whether a name is one file or folder, and not a way out of it."""
    return bool(name) and not name.startswith(".") and "/" not in name and "\0" not in name


def _is_file_of(place: Path, name: str) -> bool:
    return name.isascii() and name.isdigit() and (place / name).is_file()


def _iteration(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text())["iteration"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is no record of a best checkpoint: %r", path, error)
        return None


def _move(path: Path, to: Path) -> None:
    """Rename a file to where it is kept, unless that was done before."""
    if path.is_file():
        with explained(path, "moving"):
            make_folder(to.parent)
            path.rename(to)
            sync_folder(to.parent)
            sync_folder(path.parent)
