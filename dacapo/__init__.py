"""Train, validate and apply segmentation networks on very large microscopy volumes."""

from .options import Options
from .predict import predict
from .train import train, train_run
from .validate import validate, validate_run

__version__ = "1.0.0"
__version_info__ = tuple(int(part) for part in __version__.split("."))

__all__ = ["Options", "predict", "train", "train_run", "validate", "validate_run"]
