"""How segmentations are compared with the truth."""

from .binary_segmentation_evaluator import BinarySegmentationEvaluator
from .dummy_evaluator import DummyEvaluator
from .evaluator import BestScore, Evaluator
from .one_hot_evaluator import OneHotEvaluator
from .scores import (
    BinarySegmentationEvaluationScores,
    DummyEvaluationScores,
    EvaluationScores,
    MultiChannelBinarySegmentationEvaluationScores,
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
    "MultiChannelBinarySegmentationEvaluationScores",
    "OneHotEvaluator",
    "score",
]
