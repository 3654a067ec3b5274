"""What can be said about the array; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.datasplits.datasets.arrays import ArrayConfig, DummyArrayConfig


@attrs.define(kw_only=True)
class AcmeArrayConfig(ArrayConfig):
    """Another array with bright and dark swapped."""

    array_type = implemented_by("dacapo_acme.array:AcmeArray")

    source_array_config: ArrayConfig = field("The array to invert.")
    white: float = field("The value that becomes 0.", default=1.0)

    def check(self) -> None:
        if not self.white > 0:
            self.refuse("white", "should be above 0")

    @classmethod
    def example(cls) -> "AcmeArrayConfig":
        """Return a small one for checks."""
        return cls("acme", source_array_config=DummyArrayConfig("dummy"))
