"""What can be chosen when a prediction is turned into a segmentation."""

from __future__ import annotations

import attrs
from funlib.geometry import Coordinate

from dacapo.config import Config, field


@attrs.frozen
class PostProcessorParameters(Config, kind="post_processors"):
    """One choice among those a post-processor tries.

    Two sets are the same if all their values are: they may be keys of a dictionary.
    """

    id: int = field("Tells apart the sets that one post-processor enumerates.")
    name: str = field(
        "The values in words, as str() gives them.", init=False, eq=False, repr=False, default=""
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        object.__setattr__(self, "name", self.words())  # frozen for everyone else

    def words(self) -> str:
        """Say the values shortly, in letters, digits, dots, dashes and underscores: fit for a path."""
        return f"parameters_{self.id}"

    def __str__(self) -> str:
        return self.name


@attrs.frozen
class ThresholdPostProcessorParameters(PostProcessorParameters):
    """Where to cut a prediction in two."""

    threshold: float = field("Predictions above it are foreground.", default=0.0)

    def words(self) -> str:
        """Say the threshold."""
        return f"threshold_{self.threshold}"


@attrs.frozen
class ArgmaxPostProcessorParameters(PostProcessorParameters):
    """Nothing to choose: the most probable class wins."""

    def words(self) -> str:
        """Say that there is nothing to choose."""
        return "argmax"


@attrs.frozen
class WatershedPostProcessorParameters(PostProcessorParameters):
    """How readily voxels are held together."""

    bias: float = field("Affinities above it hold voxels together, those below part them.", default=0.5)
    context: Coordinate = field(
        "Voxels around a block; not needed, since volumes are parted as a whole.",
        factory=lambda: Coordinate(32, 32, 32),
    )
    min_size: int = field("Objects of fewer voxels are left out.", default=0)

    def words(self) -> str:
        """Say the bias, and what size is too small."""
        return f"bias_{self.bias}" + (f"_min_size_{self.min_size}" if self.min_size else "")


@attrs.frozen
class DummyPostProcessorParameters(PostProcessorParameters):
    """A number without a meaning."""

    min_size: int = field("How many channels must be detected for foreground.")

    def words(self) -> str:
        """Say the size."""
        return f"min_size_{self.min_size}"
