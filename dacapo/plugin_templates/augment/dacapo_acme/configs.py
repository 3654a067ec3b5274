"""What can be said about the augment; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.trainers import AugmentConfig


@attrs.define(kw_only=True)
class AcmeAugmentConfig(AugmentConfig):
    """Blank one section of the image, as if it had been lost in the microscope."""

    augment_type = implemented_by("dacapo_acme.augment:AcmeAugment")

    axis: int = field("The axis along which sections were cut, counted from 0.", default=0)
    brightness: float = field("What a lost section looks like.", default=0.0)

    def check(self) -> None:
        super().check()
        if self.axis < 0:
            self.refuse("axis", "should be 0 or more")
