"""What an experiment is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .run_config import RunConfig
from .training_stats import TrainingIterationStats, TrainingStats
from .validation_scores import ValidationIterationScores, ValidationScores

if TYPE_CHECKING:
    from .model import Model
    from .run import Run

__all__ = [
    "Model",
    "Run",
    "RunConfig",
    "TrainingIterationStats",
    "TrainingStats",
    "ValidationIterationScores",
    "ValidationScores",
]


def __getattr__(name: str) -> Any:
    # Model imports torch, and Run stands above the stores, which import this package.
    if name == "Model":
        from .model import Model

        return Model
    if name == "Run":
        from .run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
