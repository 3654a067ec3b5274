"""The task and what can be chosen when its predictions are parted, on one page."""

from __future__ import annotations

import math
from typing import Literal

import attrs

from dacapo.config import field, implemented_by
from dacapo.experiments.tasks import TaskConfig
from dacapo.experiments.tasks.post_processors import PostProcessorParameters


@attrs.define(kw_only=True)
class FlowsTaskConfig(TaskConfig):
    """Predict, for every voxel, the way to the centre of its object, and whether there is one."""

    task_type = implemented_by("dacapo_flows.task:FlowsTask")

    dims: Literal[2, 3] = field("How many spatial axes the data has.", default=3)
    diameter: float = field(
        "How large objects are, in world units: ground truth is looked at so far beyond a patch, since "
        "the centre of an object that is cut off lies elsewhere.",
        default=0.0,
    )
    flow_weight: float = field(
        "How much the squared error of the flow counts beside the cross-entropy of the foreground.",
        default=5.0,
    )
    clipmin: float = field(
        "The smallest fraction that objects are taken to fill when balancing.", default=0.05
    )
    clipmax: float = field(
        "The largest fraction that objects are taken to fill when balancing.", default=0.95
    )
    foreground_thresholds: list[float] = field(
        "Voxels that are more probably in an object than this follow the flow: validation tries each.",
        factory=lambda: [0.3, 0.5, 0.7],
    )
    flow_thresholds: list[float | None] = field(
        "Objects whose flow differs more from the predicted one, in mean squares, are left out; None "
        "keeps all. Validation tries each.",
        factory=lambda: [None, 0.8],
    )
    min_size: int = field("Objects of fewer voxels are left out.", default=10)

    @classmethod
    def example(cls) -> FlowsTaskConfig:
        """Return one that can be tried on a small volume."""
        return cls("example", diameter=200, foreground_thresholds=[0.5], flow_thresholds=[None, 0.8])

    def check(self) -> None:
        if not 0 <= self.diameter < math.inf:
            self.refuse("diameter", "should be 0 or more")
        if not 0 <= self.flow_weight < math.inf:
            self.refuse("flow_weight", "should be 0 or more")
        if not 0 < self.clipmin <= self.clipmax < 1:
            self.refuse("clipmin", f"should be above 0 and at most clipmax ({self.clipmax}), below 1")
        for name in ("foreground_thresholds", "flow_thresholds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                self.refuse(name, "should hold at least one threshold, each once")
        if not all(0 < one < 1 for one in self.foreground_thresholds):
            self.refuse("foreground_thresholds", "should lie between 0 and 1, where probabilities do")
        if not all(one is None or one > 0 for one in self.flow_thresholds):
            self.refuse("flow_thresholds", "should be above 0, or None")
        if self.min_size < 0:
            self.refuse("min_size", "should be 0 or more")


@attrs.frozen
class FlowsPostProcessorParameters(PostProcessorParameters):
    """Which voxels follow the flow, and which objects are kept."""

    vary_slowest = ("foreground_threshold",)

    foreground_threshold: float = field("Voxels more probable than this follow the flow.", default=0.5)
    flow_threshold: float | None = field(
        "Objects whose flow differs more from the predicted one are left out; None keeps all.", default=None
    )
    min_size: int = field("Objects of fewer voxels are left out.", default=10)

    def words(self) -> str:
        """Say the values."""
        flow = "any" if self.flow_threshold is None else f"{self.flow_threshold}"
        return f"foreground_{self.foreground_threshold}_flow_{flow}_min_size_{self.min_size}"
