"""The network of an exported run, made again from what its package says of task and architecture.

This is what packages name as their architecture, so that any program of BioImage.IO can use them where
this package is installed.  It reads documents as a store does: types are looked up among the
installed offers, and nothing is imported by path.
"""

from __future__ import annotations

from typing import Any

import torch

from dacapo.config import build
from dacapo.documents import documents
from dacapo.experiments.architectures import ArchitectureConfig
from dacapo.experiments.tasks import TaskConfig

CALLABLE = "model"


def is_ours(architecture: Any) -> bool:
    """Say whether a package names the function below."""
    named = getattr(architecture, "import_from", None), str(getattr(architecture, "callable", ""))
    return named == (__name__, CALLABLE)


def model(task: dict[str, Any], architecture: dict[str, Any]) -> torch.nn.Module:
    """Return backbone and head; raises ``PluginError`` if their types are not installed."""
    backbone = build(documents.read(architecture, ArchitectureConfig))
    made: torch.nn.Module = build(documents.read(task, TaskConfig)).create_model(backbone)
    return made
