"""What networks are trained for."""

from .configs import (
    AffinitiesTaskConfig,
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
    "AffinitiesTaskConfig",
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
