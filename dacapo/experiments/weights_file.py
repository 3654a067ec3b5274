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


class _Pickled:
    """Stands for the class whose objects earlier versions stored: its attributes and nothing else."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


# The one name beside torch's own that a checkpoint may mention.
_Pickled.__module__, _Pickled.__qualname__ = "dacapo.store.weights_store", "Weights"


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors of a model by name.

    The file is of safetensors if it is called so, else of torch: a state dict, or a checkpoint that
    holds one.  Raises ``MissingData`` where there is none, else what ``read_checkpoint`` raises.
    """
    if not path.is_file():
        raise MissingData(f"there is no file of weights at {path}; say where it is now")
    if path.suffix != ".safetensors":
        return read_checkpoint(path, "the file of weights")[0]
    # Imported here, as it is elsewhere: most weights are in stores.
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise CorruptData(f"the file of weights ({path}) is damaged: {error}; copy it again") from error


def read_checkpoint(path: Path, what: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the tensors of a model from a file of torch, and the optimizer's state if it is there.

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
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}; use another one"
        ) from error
    return _model_and_optimizer(vars(content) if isinstance(content, _Pickled) else content, what)


def _require_safe_torch() -> None:
    """Raise ``StoreError`` where torch is too old to keep a hostile file from running code."""
    installed = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if installed < SAFE_SINCE:
        raise StoreError(
            f"files of weights are not safe to read with torch {torch.__version__}; upgrade it with  "
            f"pip install --upgrade 'torch>={'.'.join(map(str, SAFE_SINCE))}'"
        )


def _model_and_optimizer(content: Any, what: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    if isinstance(content, Mapping):
        for model, optimizer in (("model", "optimizer"), ("model_state_dict", "optimizer_state_dict")):
            if isinstance(content.get(model), Mapping):
                state = content.get(optimizer)
                return dict(content[model]), dict(state) if state else None
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return dict(content), None
    raise CorruptData(f"{what} holds no weights: there is neither a model nor tensors in it")
