"""Whose weights a run begins with."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .configs import StartConfig
from .start import LoadedWeights, Start

__all__ = ["LoadedWeights", "Start", "StartConfig"]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "starts")
