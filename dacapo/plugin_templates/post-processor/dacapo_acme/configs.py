"""What can be chosen about the post-processor; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.tasks.post_processors import PostProcessorParameters


@attrs.frozen
class AcmePostProcessorParameters(PostProcessorParameters, builds="post_processor_type"):
    """Where to cut, and how far inside of an object the prediction should reach."""

    post_processor_type = implemented_by("dacapo_acme.post_processor:AcmePostProcessor")
    vary_slowest = ("threshold",)

    threshold: float = field("Predictions above it are foreground.", default=0.0)
    peak: float = field("Objects whose prediction is nowhere above it are left out.", default=0.5)

    def words(self) -> str:
        """Say the values, as they go into paths."""
        return f"threshold_{self.threshold}_peak_{self.peak}"
