"""Train, validate and apply segmentation networks on very large microscopy volumes."""

from .options import Options

__version__ = "1.0.0"
__version_info__ = tuple(int(part) for part in __version__.split("."))

__all__ = ["Options"]
