"""The networks that tasks put their heads on."""

from .architecture import Architecture
from .configs import ArchitectureConfig, CNNectomeUNetConfig, DummyArchitectureConfig

__all__ = ["Architecture", "ArchitectureConfig", "CNNectomeUNetConfig", "DummyArchitectureConfig"]
