"""What can be said about the loss; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.tasks import LossConfig


@attrs.define
class AcmeLossConfig(LossConfig):
    """The weighted mean of the squared error, of the absolute one where that is large (Huber 1964)."""

    loss_type = implemented_by("dacapo_acme.loss:AcmeLoss")

    bend: float = field("Errors above this count by their absolute value.", default=0.5)

    def check(self) -> None:
        if not self.bend > 0:
            self.refuse("bend", "should be above 0")
