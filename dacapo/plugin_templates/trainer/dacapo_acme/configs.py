"""What can be said about the trainer; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.trainers import PatchTrainerConfig


@attrs.define(kw_only=True)
class AcmeTrainerConfig(PatchTrainerConfig):
    """Train on random patches by gradient descent with momentum."""

    trainer_type = implemented_by("dacapo_acme.trainer:AcmeTrainer")

    momentum: float = field("How much of the last step goes into the next.", default=0.9)

    def check(self) -> None:
        super().check()
        if not 0 <= self.momentum < 1:
            self.refuse("momentum", "should be 0 or more, and below 1")
