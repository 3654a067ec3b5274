"""The old import path of ``ResampledArrayConfig``."""

from .configs import ResampledArrayConfig

__all__ = ["ResampledArrayConfig"]
