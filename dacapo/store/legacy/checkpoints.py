"""Checkpoints of earlier versions: files of torch, read without running anything that is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dacapo.errors import CorruptData
from dacapo.experiments import weights_file

from ..publication import explained
from ..weights_store import Weights


def read(path: Path, what: str) -> Weights:
    """Return what a checkpoint holds: the model, and the optimizer's state if it is there.

    Raises ``CorruptData`` for anything but tensors and plain data.
    """
    with explained(path, "reading"):
        return _weights(weights_file.read_torch(path, what, "use another checkpoint"), what)


def _weights(content: Any, what: str) -> Weights:
    """Find model and optimizer in what was loaded."""
    if isinstance(content, Mapping):
        for model, optimizer in (("model", "optimizer"), ("model_state_dict", "optimizer_state_dict")):
            if isinstance(content.get(model), Mapping):
                state = content.get(optimizer)
                return Weights(dict(content[model]), dict(state) if state else None)
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return Weights(dict(content))
    raise CorruptData(f"{what} holds no weights: there is neither a model nor tensors in it")
