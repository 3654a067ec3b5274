"""How tasks that predict distances find a segmentation in them, and score it."""

from __future__ import annotations

from typing import TypeAlias

from dacapo.config import build

from .configs import DistanceTaskConfig, HotDistanceTaskConfig, InnerDistanceTaskConfig
from .evaluators import BinarySegmentationEvaluator, InstanceEvaluator
from .post_processors import PostProcessor, ThresholdPostProcessor
from .task import Task

OfDistances: TypeAlias = DistanceTaskConfig | HotDistanceTaskConfig | InnerDistanceTaskConfig


def finds_objects(config: OfDistances) -> bool:
    """Say whether the ground truth holds ids of objects, and not the labels of a class."""
    return config.post_processing is not None and config.post_processing.makes_objects


def segment_and_score(task: Task, config: OfDistances, default: type[ThresholdPostProcessor]) -> None:
    """Give a task the post-processor that its config chooses, or the default, and the evaluator to it."""
    if finds_objects(config):
        task.evaluator = InstanceEvaluator()
    else:
        task.evaluator = BinarySegmentationEvaluator(
            config.clip_distance, config.tol_distance, config.channels
        )
    if config.post_processing is None:
        task.post_processor = default(config.thresholds)
        return
    chosen: PostProcessor = build(config.post_processing)
    chosen.evidence = default.evidence
    task.post_processor = chosen
    if hasattr(config.post_processing, "threshold") and "threshold" not in config.sweep:
        task.sweep = {**config.sweep, "threshold": config.thresholds}
