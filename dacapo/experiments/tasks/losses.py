"""What training minimises.

All losses are weighted means, sum(w * error) / sum(w): a weight acts once, and what weighs 0
counts neither in the sum nor in the mean, whatever is predicted there.  Where everything
weighs 0 the loss is 0, with a gradient of 0.  Predictions, targets and weights are
(batch, channel, spatial...); sums are in float32, also under autocast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .configs import CrossEntropyDiceLossConfig

_SMALLEST = torch.finfo(torch.float32).tiny


class Loss(ABC):
    """How wrong a prediction is; made from its config, where it has one."""

    def __init__(self, config: Any = None) -> None:
        self.config = config

    @abstractmethod
    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss, a scalar; without weights everything counts the same."""

    def compute_all(
        self,
        predictions: torch.Tensor | Sequence[torch.Tensor],
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of one prediction, or the mean over the several of deep supervision.

        The first is the one of full resolution.  The others are brought to the shape of the target
        by linear interpolation, and each counts half as much as the one before it, as in nnU-Net
        (Isensee et al. 2021).
        """
        if isinstance(predictions, torch.Tensor):
            predictions = (predictions,)
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[target.dim() - 2]
        losses: list[torch.Tensor] = []
        for prediction in predictions:
            prediction = prediction.float()
            if prediction.shape[2:] != target.shape[2:] and losses:
                prediction = torch.nn.functional.interpolate(prediction, target.shape[2:], mode=mode)
            losses.append(self.compute(prediction, target, weight) / 2 ** len(losses))
        return torch.stack(losses).sum() / sum(2.0**-level for level in range(len(losses)))


class MSELoss(Loss):
    """The weighted mean of the squared error."""

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w * (p - t)^2) / sum(w)."""
        return _mean(_difference(prediction, target, weight).square(), weight)


class CrossEntropyLoss(Loss):
    """The weighted mean, over voxels, of the cross-entropy between logits and a one-hot target.

    The weight of a voxel is that of its own class's channel; voxels of no class do not count.
    """

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w * -t * log_softmax(p)) / sum(w * t)."""
        counted = target if weight is None else target * weight
        # What does not count is taken out before the exponential: not even NaN there gets through.
        logits = torch.where(counted.sum(dim=1, keepdim=True) > 0, prediction.float(), 0.0)
        return _mean(-torch.log_softmax(logits, dim=1), counted)


class DiceLoss(Loss):
    """What softmax probabilities and a one-hot target lack of full overlap, as a mean over classes.

    The overlap of a class is soft Dice as in V-Net (Milletari et al. 2016), 2 sum(p t) / (sum(p^2) +
    sum(t^2)), summed over all voxels of the batch.  A voxel whose own class's channel weighs 0 does not
    count, nor does one of no class; all others count alike, since Dice is a ratio of voxels: a class
    counts in the mean by the mean weight of its voxels, and one that the batch does not have not at all.
    """

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w * (1 - dice)) / sum(w) over classes, w the mean weight of the voxels of a class."""
        counted = target.float() if weight is None else target * weight
        known = counted.sum(dim=1, keepdim=True) > 0
        logits = torch.where(known, prediction.float(), 0.0)
        found, truth = torch.softmax(logits, dim=1) * known, target.float() * known
        axes = (0, *range(2, target.dim()))
        overlap, sizes = 2 * (found * truth).sum(axes), (found.square() + truth.square()).sum(axes)
        per_class = counted.sum(axes) / truth.sum(axes).clamp(min=_SMALLEST)
        return _mean(1 - overlap / sizes.clamp(min=_SMALLEST), per_class)


class CrossEntropyDiceLoss(CrossEntropyLoss):
    """Cross-entropy and Dice, added up as in nnU-Net (Isensee et al. 2021).

    There both count the same, and Dice leaves out the background; here no class is left out.
    """

    def __init__(self, config: CrossEntropyDiceLossConfig) -> None:
        super().__init__(config)
        self.ratio = config.dice_to_cross_entropy_ratio
        self.dice = DiceLoss()

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the one plus ratio times the other."""
        entropy = super().compute(prediction, target, weight)
        return entropy + self.ratio * self.dice.compute(prediction, target, weight)


class AffinitiesLoss(Loss):
    """Cross-entropy of affinities, and the squared error of what comes behind them, if anything does.

    The first ``num_affinities`` channels are affinities; what follows are shape descriptors.
    """

    def __init__(self, num_affinities: int, lsds_to_affs_weight_ratio: float = 1.0) -> None:
        super().__init__()
        self.num_affinities = num_affinities
        self.ratio = lsds_to_affs_weight_ratio

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w * bce(p, t)) / sum(w) + ratio * sum(w * (sigmoid(p) - t)^2) / sum(w), of logits p."""
        affs, behind = slice(self.num_affinities), slice(self.num_affinities, None)
        first, last = (None, None) if weight is None else (weight[:, affs], weight[:, behind])
        loss = _entropy(prediction[:, affs], target[:, affs], first)
        if prediction.shape[1] == self.num_affinities:
            return loss
        described = _counted(prediction[:, behind], last).sigmoid()
        squared = _difference(described, target[:, behind], last).square()
        return loss + self.ratio * _mean(squared, last)


class HotDistanceLoss(Loss):
    """Cross-entropy of the first half of the channels, plus the squared error of the second half.

    Both are weighted means, over the channels of their half.
    """

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w * bce(p, t)) / sum(w) over logits, plus sum(w * (p - t)^2) / sum(w) over distances."""
        (logits, distance), (present, truth) = prediction.chunk(2, dim=1), target.chunk(2, dim=1)
        first, last = (None, None) if weight is None else weight.chunk(2, dim=1)
        squared = _difference(distance, truth, last).square()
        return _entropy(logits, present, first) + _mean(squared, last)


class DummyLoss(Loss):
    """The weighted mean of the absolute error."""

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return sum(w * |p - t|) / sum(w)."""
        return _mean(_difference(prediction, target, weight).abs(), weight)


def _entropy(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Return the weighted mean of the binary cross-entropy."""
    errors = torch.nn.functional.binary_cross_entropy_with_logits(
        _counted(logits, weight), target.float(), reduction="none"
    )
    return _mean(errors, weight)


def _counted(prediction: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Return what counts of a prediction, and 0 elsewhere: not even NaN there gets through."""
    return prediction.float() if weight is None else torch.where(weight > 0, prediction.float(), 0.0)


def _difference(prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    difference = prediction.float() - target
    # Not left to the multiplication by 0, which would let infinities and NaN through.
    return difference if weight is None else torch.where(weight > 0, difference, 0.0)


def _mean(errors: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    if weight is None:
        return errors.mean()
    # No test of the sum, which would make the device wait for it.
    return (errors * weight).sum() / weight.sum(dtype=torch.float32).clamp(min=_SMALLEST)
