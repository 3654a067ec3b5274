"""What evaluators measure: each score, what it can be, and which direction is better.

Of the truth and of what is tested, *positives* are the voxels of the class.  TP, FP, FN and TN
count true and false positives and negatives; "tolerant" scores forgive a false voxel that is at
most ``tol_distance`` from the other's nearest positive.  Distances are between voxel centres,
in world units.  A ratio of 0 to 0 is NaN.  Unless their help says otherwise, scores are NaN
where truth or test have no positives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

import attrs

from dacapo.config import Config, field
from dacapo.errors import InvalidRequest, did_you_mean

Bounds = tuple[float, float]
FRACTION: Bounds = (0.0, 1.0)
LENGTH: Bounds = (0.0, math.inf)
BITS: Bounds = (0.0, 2.0)  # of two binary volumes: that of two independent fair coins


@attrs.frozen
class Meaning:
    """How the values of a score are to be read."""

    bounds: Bounds
    higher_is_better: bool
    store_best: bool = False


def score(help_text: str, bounds: Bounds, better: str, store_best: bool = False) -> Any:
    """Declare a score: a float, NaN until it is measured; ``better`` is "high" or "low"."""
    meaning = Meaning(bounds, better == "high", store_best)
    return attrs.field(default=math.nan, metadata={"help_text": help_text, "meaning": meaning})


class _Criteria:
    """The names of all scores of a class, in the order of their declaration."""

    def __get__(self, scores: object | None, owner: type) -> list[str]:
        return [f.name for f in attrs.fields(owner) if "meaning" in f.metadata]


@attrs.define(kw_only=True)
class EvaluationScores(Config, kind="evaluation_scores"):
    """The scores of one segmentation; subclasses declare each with ``score(...)``."""

    name: str = field("Scores need no name.", init=False, default="", repr=False)

    criteria = _Criteria()

    @classmethod
    def meaning(cls, criterion: str) -> Meaning:
        """Return how to read a score; raises ``InvalidRequest`` for an unknown one."""
        if criterion not in cls.criteria:
            hint = did_you_mean(criterion, cls.criteria, f"choose from {', '.join(cls.criteria)}")
            raise InvalidRequest(f"{cls.__name__} has no criterion {criterion!r}; {hint}")
        found: Meaning = getattr(attrs.fields(cls), criterion).metadata["meaning"]
        return found

    @classmethod
    def higher_is_better(cls, criterion: str) -> bool:
        """Say whether larger values of a score are better."""
        return cls.meaning(criterion).higher_is_better

    @classmethod
    def bounds(cls, criterion: str) -> Bounds:
        """Return the least and the greatest value a score can have."""
        return cls.meaning(criterion).bounds

    @classmethod
    def store_best(cls, criterion: str) -> bool:
        """Say whether the checkpoint that is best by this score deserves to be kept."""
        return cls.meaning(criterion).store_best


@attrs.define(kw_only=True)
class BinarySegmentationEvaluationScores(EvaluationScores):
    """How well one class was found, voxel by voxel."""

    dice: float = score("2 TP / (2 TP + FP + FN); NaN only if both are empty.", FRACTION, "high")
    jaccard: float = score(
        "Intersection over union (IoU), TP / (TP + FP + FN); NaN only if both are empty.", FRACTION, "high"
    )
    hausdorff: float = score(
        "The largest distance of any positive to the nearest of the other; 0 if both are empty.",
        LENGTH,
        "low",
    )
    false_negative_rate: float = score("FN / positives of the truth.", FRACTION, "low")
    false_negative_rate_with_tolerance: float = score("The same, tolerant.", FRACTION, "low")
    false_positive_rate: float = score("FP / negatives of the truth.", FRACTION, "low")
    false_discovery_rate: float = score(
        "FP / positives of the test; NaN only if there are none.", FRACTION, "low"
    )
    false_positive_rate_with_tolerance: float = score(
        "Tolerant FP / negatives of the truth.", FRACTION, "low"
    )
    voi: float = score(
        "Variation of information: H(truth | test) + H(test | truth), in bits.", BITS, "low", store_best=True
    )
    mean_false_distance: float = score("The mean of the next two.", LENGTH, "low")
    mean_false_negative_distance: float = score(
        "Mean distance of the truth's positives to the test's; 0 where they agree.", LENGTH, "low"
    )
    mean_false_positive_distance: float = score(
        "Mean distance of the test's positives to the truth's; 0 where they agree.", LENGTH, "low"
    )
    mean_false_distance_clipped: float = score("The mean of the next two.", LENGTH, "low")
    mean_false_negative_distance_clipped: float = score(
        "As unclipped, every distance at most clip_distance.", LENGTH, "low"
    )
    mean_false_positive_distance_clipped: float = score(
        "As unclipped, every distance at most clip_distance.", LENGTH, "low"
    )
    precision_with_tolerance: float = score(
        "TP / (TP + FP), tolerant: whatever is forgiven is a true positive.", FRACTION, "high"
    )
    recall_with_tolerance: float = score("TP / (TP + FN), tolerant.", FRACTION, "high")
    f1_score_with_tolerance: float = score(
        "Harmonic mean of the two before; NaN if both are 0.", FRACTION, "high"
    )
    precision: float = score("TP / (TP + FP).", FRACTION, "high")
    recall: float = score("TP / (TP + FN).", FRACTION, "high")
    f1_score: float = score(
        "Harmonic mean of precision and recall; NaN if both are 0.", FRACTION, "high", store_best=True
    )


@attrs.define(kw_only=True)
class InstanceEvaluationScores(EvaluationScores):
    """How well objects were told apart.

    Variation of information and Rand error compare voxels, and leave out those that the truth calls
    background (id 0), unless it counts as an object.  All others match objects: a true and a found
    object match if they share more than a threshold of their union (IoU), by default 0.5; TP, FP and
    FN count matches, found objects without one, and true objects without one.  They are NaN only if
    there are no objects at all.
    """

    voi_split: float = score(
        "H(test | truth), in bits: objects that were cut.", LENGTH, "low", store_best=True
    )
    voi_merge: float = score(
        "H(truth | test), in bits: objects that were joined.", LENGTH, "low", store_best=True
    )
    voi: float = score("Variation of information: the sum of both.", LENGTH, "low", store_best=True)
    adapted_rand_error: float = score(
        "1 - F1 of pairs of voxels: which lie in one object, and which were said to.", FRACTION, "low"
    )
    precision: float = score("TP / (TP + FP); NaN if none were found.", FRACTION, "high")
    recall: float = score("TP / (TP + FN); NaN if there are none.", FRACTION, "high")
    f1_score: float = score("2 TP / (2 TP + FP + FN).", FRACTION, "high", store_best=True)
    f1_score_75: float = score("The same for a threshold of 0.75.", FRACTION, "high")
    average_precision_50: float = score("TP / (TP + FP + FN).", FRACTION, "high")
    average_precision: float = score(
        "The mean of TP / (TP + FP + FN) over thresholds of 0.5, 0.55 ... 0.95.", FRACTION, "high"
    )
    panoptic_quality: float = score("Sum of the IoU of matches / (TP + FP / 2 + FN / 2).", FRACTION, "high")


SEPARATOR = "__"


@attrs.define(kw_only=True)
class MultiChannelBinarySegmentationEvaluationScores(EvaluationScores):
    """The scores of several classes; a criterion is called ``<channel>__<score>``."""

    channel_scores: list[tuple[str, BinarySegmentationEvaluationScores]] = field(
        "The name of each channel and its scores."
    )

    @property
    def criteria(self) -> list[str]:  # type: ignore[override]
        """All scores of the first channel, all of the second, and so on."""
        return [
            f"{channel}{SEPARATOR}{criterion}"
            for channel, scores in self.channel_scores
            for criterion in scores.criteria
        ]

    @classmethod
    def meaning(cls, criterion: str) -> Meaning:
        """Return how to read a score, whatever its channel is called."""
        return BinarySegmentationEvaluationScores.meaning(criterion.rpartition(SEPARATOR)[2])

    def __getattr__(self, criterion: str) -> float:
        channel, _, single = criterion.rpartition(SEPARATOR)
        if channel and not criterion.startswith(SEPARATOR):
            for name, scores in self.channel_scores:
                if name == channel and single in scores.criteria:
                    value: float = getattr(scores, single)
                    return value
        raise AttributeError(f"{type(self).__name__} has no score {criterion!r}")

    @classmethod
    def example(cls) -> Self:
        """Return the scores of one channel."""
        return cls(channel_scores=[("a", BinarySegmentationEvaluationScores())])


AS = f"{SEPARATOR}as_"


def confused_classes(criteria: Iterable[str]) -> list[str]:
    """Return the classes whose confusion matrix is among criteria, in its order; none if it is not."""
    names = list(criteria)
    classes = list(dict.fromkeys(name.partition(AS)[0] for name in names if AS in name))
    return classes if {f"{true}{AS}{said}" for true in classes for said in classes} <= set(names) else []


@attrs.define(kw_only=True)
class OneHotEvaluationScores(MultiChannelBinarySegmentationEvaluationScores):
    """How well voxels were told apart by class: each class against all others, and all of them.

    Means are over the classes that truth or test have, the background like any other; NaN if nothing
    counts.  The confusion matrix has a criterion ``<class>__as_<class>`` for each of its elements: how
    many voxels that are of the first class, by the truth, were said to be of the second.
    """

    confusion: list[list[int]] = field(
        "Voxels of each class of the truth (rows) and the test (columns).", factory=list
    )
    mean_dice: float = score("The mean of dice over classes.", FRACTION, "high", store_best=True)
    mean_iou: float = score("The mean of jaccard over classes.", FRACTION, "high", store_best=True)

    @property
    def criteria(self) -> list[str]:  # type: ignore[override]
        """The means, which rank checkpoints first, all scores of each class, and the confusion matrix."""
        classes = [channel for channel, _ in self.channel_scores]
        pairs = [f"{true}{AS}{found}" for true in classes for found in classes]
        return ["mean_dice", "mean_iou", *super().criteria, *pairs]

    @classmethod
    def meaning(cls, criterion: str) -> Meaning:
        """Return how to read a score, whatever the classes are called."""
        single = criterion.rpartition(SEPARATOR)[2]
        if criterion in ("mean_dice", "mean_iou"):
            found: Meaning = getattr(attrs.fields(cls), criterion).metadata["meaning"]
            return found
        if AS in criterion and single not in BinarySegmentationEvaluationScores.criteria:
            true, _, said = criterion.partition(AS)
            return Meaning((0.0, math.inf), higher_is_better=true == said)
        return super().meaning(criterion)

    def __getattr__(self, criterion: str) -> float:
        classes = [channel for channel, _ in self.channel_scores]
        true, _, said = criterion.partition(AS)
        if true in classes and said in classes:
            row = self.confusion[classes.index(true)] if self.confusion else [math.nan] * len(classes)
            return float(row[classes.index(said)])
        return super().__getattr__(criterion)

    @classmethod
    def example(cls) -> Self:
        """Return the scores of two classes."""
        return cls(channel_scores=[(name, BinarySegmentationEvaluationScores()) for name in ("a", "b")])


@attrs.define(kw_only=True)
class DummyEvaluationScores(EvaluationScores):
    """Two numbers without a meaning: for tests of the parts around an evaluator."""

    frizz_level: float = score("How much of the test is set.", FRACTION, "high", store_best=True)
    blipp_score: float = score("How much of test and truth differs.", FRACTION, "low", store_best=True)
