"""The networks that tasks put their heads on."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .architecture import Architecture
from .configs import ArchitectureConfig, CNNectomeUNetConfig, DummyArchitectureConfig

__all__ = ["Architecture", "ArchitectureConfig", "CNNectomeUNetConfig", "DummyArchitectureConfig"]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "architectures")
