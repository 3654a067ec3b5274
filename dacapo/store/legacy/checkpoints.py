"""Checkpoints of earlier versions: files of torch, read without running anything that is in them."""

from __future__ import annotations

from pathlib import Path

from dacapo.experiments.weights_file import read_checkpoint

from ..publication import explained
from ..weights_store import Weights


def read(path: Path, what: str) -> Weights:
    """Return what a checkpoint holds: the model, and the optimizer's state if it is there."""
    with explained(path, "reading"):
        return Weights(*read_checkpoint(path, what))
