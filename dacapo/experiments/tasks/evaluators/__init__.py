"""How segmentations are compared with the truth."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .binary_segmentation_evaluator import BinarySegmentationEvaluator
from .dummy_evaluator import DummyEvaluator
from .evaluator import BestScore, Evaluator
from .instance_evaluator import InstanceEvaluator
from .one_hot_evaluator import OneHotEvaluator
from .scores import (
    BinarySegmentationEvaluationScores,
    DummyEvaluationScores,
    EvaluationScores,
    InstanceEvaluationScores,
    MultiChannelBinarySegmentationEvaluationScores,
    OneHotEvaluationScores,
    score,
)

__all__ = [
    "BestScore",
    "BinarySegmentationEvaluationScores",
    "BinarySegmentationEvaluator",
    "DummyEvaluationScores",
    "DummyEvaluator",
    "EvaluationScores",
    "Evaluator",
    "InstanceEvaluationScores",
    "InstanceEvaluator",
    "MultiChannelBinarySegmentationEvaluationScores",
    "OneHotEvaluationScores",
    "OneHotEvaluator",
    "score",
]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "evaluation_scores")
