"""What can be said about the network; imports nothing that computes."""

import attrs
from funlib.geometry import Coordinate

from dacapo.config import field, implemented_by
from dacapo.experiments.architectures import ArchitectureConfig


@attrs.define(kw_only=True)
class AcmeArchitectureConfig(ArchitectureConfig):
    """Convolutions of 3 voxels one after the other, without padding: each takes a voxel off every side."""

    architecture_type = implemented_by("dacapo_acme.network:AcmeArchitecture")

    input_shape: Coordinate = field(
        "Voxels of one training input, without batch and channels.", factory=lambda: Coordinate(32, 32, 32)
    )
    num_in_channels: int = field("Channels of the raw image.", default=1)
    num_out_channels: int = field("Feature maps that come out.", default=8)
    width: int = field("Feature maps in between.", default=8)
    depth: int = field("How many convolutions there are.", default=3)

    @property
    def stride(self) -> Coordinate:
        """Any input shape does: shapes that work are a voxel apart."""
        return Coordinate((1,) * self.dims)

    def check(self) -> None:
        for name in ("num_in_channels", "num_out_channels", "width", "depth"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be at least 1")
        if self.dims not in (2, 3) or min(self.input_shape) <= 2 * self.depth:
            self.refuse("input_shape", f"should be 2 or 3 numbers, each above twice the depth ({self.depth})")
