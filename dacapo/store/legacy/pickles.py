"""Pickles of plain data, read without letting them name anything that runs.

A pickle is a small program: it says which functions to call.  This reader knows of three, which
make a number of what numpy writes for one, and all are its own.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.errors import CorruptData

from ..publication import explained

_KIND = re.compile(r"[fiub][1248]")


class _Type:
    """Stands for ``numpy.dtype``: what sort of number it is, and in which order its bytes are."""

    __slots__ = ("kind", "order")

    def __init__(self, kind: str, align: Any = False, copy: Any = True) -> None:
        if not _KIND.fullmatch(kind):
            raise ValueError(f"numbers of type {kind!r:.20} are not allowed")
        self.kind, self.order = kind, "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="


class _Scalar:
    """Stands for the function that numpy makes its numbers with; it cannot be changed."""

    __slots__ = ()

    def __call__(self, kind: _Type, data: bytes) -> Any:
        return np.frombuffer(data, kind.order + kind.kind, 1)[0].item()


class _Bytes:
    """Stands for the function that old pickles make bytes with, out of a text."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        return text.encode("latin1")


class _Reader(pickle.Unpickler):
    """Refuses every name but those of numbers."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return _Type
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _Scalar()
        if (module, name) == ("_codecs", "encode"):
            return _Bytes()
        raise pickle.UnpicklingError(f"it names {module}.{name}, and only numbers and texts are allowed")


def load(path: Path) -> Any:
    """Return the plain data of a pickle; raises ``CorruptData`` for anything else, which is not run."""
    try:
        with explained(path, "reading"), path.open("rb") as file:
            return _Reader(file).load()
    except CorruptData:
        raise
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError,
            MemoryError, OverflowError, ImportError, RecursionError) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CorruptData(
            f"{path} is refused: {reason}; nothing of it was run, and it stays as it is"
        ) from error
