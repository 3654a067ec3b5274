"""What can be said about the task; imports nothing that computes."""

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.tasks import TaskConfig


@attrs.define(kw_only=True)
class AcmeTaskConfig(TaskConfig):
    """Predict how probably each voxel is inside an object."""

    task_type = implemented_by("dacapo_acme.task:AcmeTask")

    thresholds: list[float] = field("Where to cut the probability.", factory=lambda: [0.3, 0.5, 0.7])

    def check(self) -> None:
        if not self.thresholds or not all(0 < threshold < 1 for threshold in self.thresholds):
            self.refuse("thresholds", "should be numbers between 0 and 1, at least one")
