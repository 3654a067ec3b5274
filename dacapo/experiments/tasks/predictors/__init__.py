"""What networks predict for a task, and the targets and weights that teach it to them."""

from .distance_predictor import DistancePredictor
from .dummy_predictor import DummyPredictor
from .head import convolution
from .one_hot_predictor import OneHotPredictor
from .predictor import Predictor, channels_like

__all__ = [
    "DistancePredictor",
    "DummyPredictor",
    "OneHotPredictor",
    "Predictor",
    "channels_like",
    "convolution",
]
