"""Files of weights, of torch or safetensors, read without running anything that is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dacapo.errors import CorruptData, MissingData, StoreError

# Before it, a file could be made that ran code even so (CVE-2025-32434, CVE-2026-24747).
SAFE_SINCE = (2, 10)
_DAMAGE = (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, ValueError, LookupError,
           TypeError, AttributeError)  # fmt: skip


# What people call the state of the network, in the dicts that they save.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")


class _Pickled:
    """Stands for the class whose objects earlier versions stored: its attributes and nothing else."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


# The one name beside torch's own that a checkpoint may mention.
_Pickled.__module__, _Pickled.__qualname__ = "dacapo.store.weights_store", "Weights"


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file, or of a state dict in a file of torch, wrapped or not.

    Raises ``MissingData`` if there is no such file, ``CorruptData`` if it holds none, or anything
    that would have to be run.
    """
    path = path.expanduser()
    if not path.is_file():
        raise MissingData(
            f"there is no file of weights at {path}; correct its path, which counts from {Path.cwd()}"
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _state_in(read_torch(path, "the file of weights", "save the state dict alone"), path)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    # Imported here, as it is elsewhere: most weights are in stores.
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise CorruptData(
            f"the file of weights {path} is no safetensors file: {error}; get it again"
        ) from error


def _state_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the state dict in what was saved."""
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return _state_in(content[key], path)
        if tensors := {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}:
            return tensors
    there = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise CorruptData(
        f"{path} holds no state dict, but {there or 'nothing'}; save one with  "
        "torch.save(network.state_dict(), ...)"
    )


def read_torch(path: Path, what: str, instead: str) -> Any:
    """Return what a file of torch, called ``what``, holds; ``instead`` says what to do if it cannot be read.

    Only tensors, plain data and the class of earlier checkpoints are allowed; raises ``CorruptData``
    for anything else, and never falls back on a reader that would run it.
    """
    _require_safe_torch()
    try:
        with torch.serialization.safe_globals([_Pickled]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise CorruptData(
            f"{what} ({path}) is damaged, or holds more than tensors and plain data, which is never loaded: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}; {instead}"
        ) from error
    return vars(content) if isinstance(content, _Pickled) else content


def _require_safe_torch() -> None:
    """Raise ``StoreError`` where torch is too old to keep a hostile file from running code."""
    installed = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if installed < SAFE_SINCE:
        raise StoreError(
            f"files of weights are not safe to read with torch {torch.__version__}; upgrade it with  "
            f"pip install --upgrade 'torch>={'.'.join(map(str, SAFE_SINCE))}'"
        )
