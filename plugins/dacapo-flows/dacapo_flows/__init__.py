"""A task that parts touching objects by flows towards their centres."""

from .configs import FlowsPostProcessorParameters, FlowsTaskConfig

__all__ = ["FlowsPostProcessorParameters", "FlowsTaskConfig"]
