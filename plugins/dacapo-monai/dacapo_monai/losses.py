"""MONAI's losses over the voxels that count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import monai.losses
import torch

from dacapo.errors import InvalidConfig
from dacapo.experiments.tasks.losses import Loss

from . import signatures
from .configs import LOSSES

if TYPE_CHECKING:
    from .configs import MonaiLossConfig

ACTIVATIONS = ("softmax", "use_softmax")


class MonaiLoss(Loss):
    """A loss of MONAI; the mean over the samples of a batch that have voxels that count.

    With batch=True the voxels of all samples are taken together.
    """

    def __init__(self, config: MonaiLossConfig) -> None:
        super().__init__(config)
        known = signatures.signature(LOSSES, config.loss) or {}
        given: dict[str, Any] = dict(config.arguments)
        if not given.keys() & {"sigmoid", "softmax", "use_softmax"}:
            given |= {name: True for name in ACTIVATIONS if name in known}
        if isinstance(given.get("weight"), list):
            given["weight"] = torch.tensor(given["weight"], dtype=torch.float32)
        self._together = bool(given.get("batch"))
        try:
            self.loss = getattr(monai.losses, config.loss)(**given)
        except Exception as error:
            raise InvalidConfig(
                f"MonaiLossConfig: MONAI's {config.loss} does not take its arguments: {error}; they are "
                f"{config.arguments}"
            ) from error

    def compute(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of logits and a one-hot target, all (batch, channels, spatial...)."""
        prediction, target = prediction.float(), target.float()
        counts = torch.ones_like(target) if weight is None else weight
        kept = ((counts > 0) & (target > 0)).any(dim=1)  # voxels of no class do not count either
        samples = [
            (one[:, here], truth[:, here])
            for one, truth, here in zip(prediction, target, kept, strict=True)
            if here.any()
        ]
        if not samples:
            return torch.where(kept[:, None], prediction, 0.0).sum()
        if self._together:
            predicted, true = zip(*samples, strict=True)
            samples = [(torch.cat(predicted, dim=1), torch.cat(true, dim=1))]
        self.loss.to(prediction.device)
        return torch.stack([self.loss(one[None], truth[None]) for one, truth in samples]).mean()
