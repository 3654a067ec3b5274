"""The loss itself."""

import torch

from dacapo.experiments.tasks.losses import Loss


class AcmeLoss(Loss):
    """sum(w * huber(p - t)) / sum(w); what weighs 0 does not count, whatever is predicted there."""

    def compute(self, prediction, target, weight=None):
        weight = torch.ones_like(target) if weight is None else weight
        prediction = torch.where(weight > 0, prediction.float(), target)
        errors = torch.nn.functional.huber_loss(prediction, target, reduction="none", delta=self.config.bend)
        return (weight * errors).sum() / weight.sum().clamp(min=1e-9)
