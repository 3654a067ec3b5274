"""What networks are trained for."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .configs import (
    AffinitiesTaskConfig,
    CrossEntropyDiceLossConfig,
    CrossEntropyLossConfig,
    DiceLossConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    LossConfig,
    MSELossConfig,
    OneHotTaskConfig,
    PretrainedTaskConfig,
    TaskConfig,
)
from .task import Task

__all__ = [
    "AffinitiesTaskConfig",
    "CrossEntropyDiceLossConfig",
    "CrossEntropyLossConfig",
    "DiceLossConfig",
    "DistanceTaskConfig",
    "DummyTaskConfig",
    "HotDistanceTaskConfig",
    "InnerDistanceTaskConfig",
    "LossConfig",
    "MSELossConfig",
    "OneHotTaskConfig",
    "PretrainedTaskConfig",
    "Task",
    "TaskConfig",
]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "tasks", "losses")
