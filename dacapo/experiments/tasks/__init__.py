"""What networks are trained for."""

from .configs import (
    CrossEntropyLossConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    LossConfig,
    MSELossConfig,
    OneHotTaskConfig,
    TaskConfig,
)
from .task import Task

__all__ = [
    "CrossEntropyLossConfig",
    "DistanceTaskConfig",
    "DummyTaskConfig",
    "HotDistanceTaskConfig",
    "InnerDistanceTaskConfig",
    "LossConfig",
    "MSELossConfig",
    "OneHotTaskConfig",
    "Task",
    "TaskConfig",
]
