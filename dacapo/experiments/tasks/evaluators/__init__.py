"""How segmentations are compared with the truth."""

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
    "OneHotEvaluator",
    "score",
]
