"""Whose weights a run begins with."""

from .configs import StartConfig
from .start import LoadedWeights, Start

__all__ = ["LoadedWeights", "Start", "StartConfig"]
