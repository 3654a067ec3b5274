"""A place to keep experiments in, empty each time: what the checks of stores are run on."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

import attrs

from dacapo.options import DaCapoConfig
from dacapo.store.backend import StoreBackend


@attrs.frozen
class FreshStore:
    """How to open a backend anew: ``open`` is given an empty folder, another one for each place.

    The folder is removed afterwards.  A backend that keeps nothing in folders can take its name,
    which no two places share, for that of a database.
    """

    kind: ClassVar[str] = "stores"

    type: builtins.type[StoreBackend]
    open: Callable[[Path], StoreBackend]

    @property
    def name(self) -> str:
        """The name of the type."""
        return self.type.__name__

    @classmethod
    def of(cls, backend: builtins.type[StoreBackend]) -> Self:
        """Return how a type is opened by its options, of which ``runs_base_dir`` is the folder."""
        return cls(backend, lambda folder: backend.from_options(DaCapoConfig(runs_base_dir=folder)))
