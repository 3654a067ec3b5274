"""Whose weights a run begins with."""

from .configs import InitialWeightsConfig, StartConfig
from .start import InitialWeights, LoadedWeights, Start

__all__ = ["InitialWeights", "InitialWeightsConfig", "LoadedWeights", "Start", "StartConfig"]
