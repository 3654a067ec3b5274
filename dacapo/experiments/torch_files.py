"""Files that torch saved, read without running anything that is in them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from dacapo.errors import CorruptData, StoreError

# Before it, a file could be made that ran code even so (CVE-2025-32434, CVE-2026-24747).
SAFE_SINCE = (2, 10)


class _Pickled:
    """Stands for the class whose objects earlier versions stored: its attributes and nothing else."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


# The one name beside torch's own that a file may mention.
_Pickled.__module__, _Pickled.__qualname__ = "dacapo.store.weights_store", "Weights"


def read(path: Path, what: str, instead: str) -> Any:
    """Return what a file holds, which ``what`` names; ``instead`` says what to do if it cannot be read.

    Only tensors, plain data and the class of earlier checkpoints are allowed; raises
    ``CorruptData`` for anything else, and never falls back on a reader that would run it.
    """
    require_safe_torch()
    try:
        with torch.serialization.safe_globals([_Pickled]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        return vars(content) if isinstance(content, _Pickled) else content
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError,
            IndexError, TypeError, AttributeError) as error:  # fmt: skip
        raise CorruptData(
            f"{what} ({path}) is damaged, or holds more than tensors and plain data, which is never loaded: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}; {instead}"
        ) from error


def require_safe_torch() -> None:
    """Raise ``StoreError`` where torch is too old to keep a hostile file from running code."""
    installed = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if installed < SAFE_SINCE:
        raise StoreError(
            f"files that torch saved are not safe to read with torch {torch.__version__}; upgrade "
            f"it with  pip install --upgrade 'torch>={'.'.join(map(str, SAFE_SINCE))}'"
        )
