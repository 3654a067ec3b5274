"""How predictions become segmentations, and the parameters that can be chosen."""

from .argmax_post_processor import ArgmaxPostProcessor
from .dummy_post_processor import DummyPostProcessor
from .parameters import (
    ArgmaxPostProcessorParameters,
    DummyPostProcessorParameters,
    PostProcessorParameters,
    ThresholdPostProcessorParameters,
    WatershedPostProcessorParameters,
)
from .post_processor import PostProcessor
from .threshold_post_processor import HotDistancePostProcessor, ThresholdPostProcessor
from .watershed_post_processor import WatershedPostProcessor

__all__ = [
    "ArgmaxPostProcessor",
    "ArgmaxPostProcessorParameters",
    "DummyPostProcessor",
    "DummyPostProcessorParameters",
    "HotDistancePostProcessor",
    "PostProcessor",
    "PostProcessorParameters",
    "ThresholdPostProcessor",
    "ThresholdPostProcessorParameters",
    "WatershedPostProcessor",
    "WatershedPostProcessorParameters",
]
