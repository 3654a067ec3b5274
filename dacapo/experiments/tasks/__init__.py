"""What networks are trained for."""

from .configs import DistanceTaskConfig, DummyTaskConfig, OneHotTaskConfig, TaskConfig
from .task import Task

__all__ = ["DistanceTaskConfig", "DummyTaskConfig", "OneHotTaskConfig", "Task", "TaskConfig"]
