"""What can be chosen, and the task that tries it; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.tasks.post_processors import PostProcessorParameters


@attrs.frozen
class AcmePostProcessorParameters(PostProcessorParameters):
    """One choice: stored with the scores that it led to."""

    threshold: float = field("Predictions above it are foreground.", default=0.0)
    peak: float = field("Objects whose prediction is nowhere above it are left out.", default=0.5)

    def words(self) -> str:
        """Say the values, as they go into paths."""
        return f"threshold_{self.threshold}_peak_{self.peak}"


@attrs.define(kw_only=True)
class AcmeTaskConfig(DistanceTaskConfig):
    """Predict distances, and leave out objects that are thin everywhere."""

    task_type = implemented_by("dacapo_acme.post_processor:AcmeTask")

    peaks: list[float] = field(
        "How high the prediction should be somewhere in an object: validation tries each.",
        factory=lambda: [0.3, 0.6],
    )

    def check(self) -> None:
        super().check()
        if not self.peaks or len(set(self.peaks)) < len(self.peaks):
            self.refuse("peaks", "should be numbers, at least one, each once")
