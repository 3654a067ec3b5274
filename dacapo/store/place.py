"""Places that experiments are copied between: an options file, a folder, or a MongoDB database."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from dacapo.errors import InvalidOptions, NotFound
from dacapo.names import TRASHED, RunKey, run_key
from dacapo.options import DaCapoConfig, Options
from dacapo.redaction import redacted

from .backend import StoreBackend
from .config_store import RUNS
from .create_store import create_config_store, create_weights_store

_URI = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILES = {".yaml", ".yml", ".zip"}
_EXPECTED = "give an options file (dacapo.yaml), the folder of a file store, or mongodb://host:27017/database"


@attrs.frozen
class Place:
    """One place where experiments are kept: ``documents`` and numbers in one backend, ``weights`` in one."""

    documents: StoreBackend
    weights: StoreBackend

    def __str__(self) -> str:
        places = dict.fromkeys([self.documents.place, self.weights.place])
        return " and ".join(places)

    def runs(self) -> list[RunKey]:
        """Return every run of which anything is kept outside the trash, sorted."""
        documents = self.documents
        keys = {*documents.keys(RUNS), *documents.logged_runs(), *self.weights.blob_runs()}
        return sorted(run_key(key) for key in keys if not key.startswith(TRASHED))


def place_of(options: DaCapoConfig | None = None) -> Place:
    """Open the place that the options name; without them the one of this session."""
    return Place(create_config_store(options).backend, create_weights_store(options).backend)


def open_place(text: str, *, new: bool = False, timeout: float | None = None) -> Place:
    """Open the place that somebody typed: an options file, a folder, or ``mongodb://host/database``.

    Environment and other options do not count, but for ``timeout``, the seconds to wait for an answer.
    In a database that is given by its URI the checkpoints are in GridFS.  Raises ``NotFound`` if there
    is none, unless it may be ``new``.
    """
    options = _options_of(text, new)
    return place_of(options if timeout is None else attrs.evolve(options, mongo_db_timeout=timeout))


def _options_of(text: str, new: bool) -> DaCapoConfig:
    if text.startswith(("mongodb://", "mongodb+srv://")):
        name = text.partition("://")[2].partition("/")[2].partition("?")[0]
        if not name:
            raise InvalidOptions(
                f"{redacted(text)} should name the database too, such as mongodb://host:27017/dacapo"
            )
        return DaCapoConfig(type="mongo", mongo_db_host=text, mongo_db_name=name, weights="mongo")
    if _URI.match(text):
        raise InvalidOptions(f"{redacted(text)} is no place of experiments; {_EXPECTED}")
    path = Path(text).expanduser()
    if path.is_file():
        return Options.of_file(path)
    if path.is_dir() or (new and path.suffix not in _FILES):
        return DaCapoConfig(type="files", runs_base_dir=path)
    raise NotFound(f"{path} does not exist; {_EXPECTED}")
