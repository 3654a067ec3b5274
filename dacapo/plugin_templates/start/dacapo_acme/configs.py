"""What can be said about the start; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.starts import StartConfig


@attrs.define
class AcmeStartConfig(StartConfig):
    """Begin with the weights of another run, and leave those of some layers as they are."""

    start_type = implemented_by("dacapo_acme.start:AcmeStart")

    frozen: str = field(
        "How the names of the tensors begin that stay: chain.0. is the backbone.", default="chain.0."
    )

    def check(self) -> None:
        super().check()
        if not self.frozen:
            self.refuse("frozen", "should be the beginning of a name; nothing would be trained")
