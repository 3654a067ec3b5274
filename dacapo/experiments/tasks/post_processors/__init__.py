"""How predictions become segmentations, and the parameters that can be chosen."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .argmax_post_processor import ArgmaxPostProcessor
from .dummy_post_processor import DummyPostProcessor
from .object_post_processors import ConnectedComponentsPostProcessor, SeededWatershedPostProcessor
from .parameters import (
    ArgmaxPostProcessorParameters,
    ConnectedComponentsPostProcessorParameters,
    DummyPostProcessorParameters,
    PostProcessorParameters,
    SeededWatershedPostProcessorParameters,
    ThresholdPostProcessorParameters,
    WatershedPostProcessorParameters,
)
from .post_processor import PostProcessor
from .threshold_post_processor import HotDistancePostProcessor, ThresholdPostProcessor
from .watershed_post_processor import WatershedPostProcessor

__all__ = [
    "ArgmaxPostProcessor",
    "ArgmaxPostProcessorParameters",
    "ConnectedComponentsPostProcessor",
    "ConnectedComponentsPostProcessorParameters",
    "DummyPostProcessor",
    "DummyPostProcessorParameters",
    "HotDistancePostProcessor",
    "PostProcessor",
    "PostProcessorParameters",
    "SeededWatershedPostProcessor",
    "SeededWatershedPostProcessorParameters",
    "ThresholdPostProcessor",
    "ThresholdPostProcessorParameters",
    "WatershedPostProcessor",
    "WatershedPostProcessorParameters",
]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "post_processors")
