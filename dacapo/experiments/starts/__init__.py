"""Whose weights a run begins with."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .configs import InitialWeightsConfig, StartConfig
from .start import InitialWeights, LoadedWeights, Start

__all__ = ["InitialWeights", "InitialWeightsConfig", "LoadedWeights", "Start", "StartConfig"]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "starts")
