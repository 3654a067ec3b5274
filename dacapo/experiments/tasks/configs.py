"""The tasks a network can be trained for, on one page."""

from __future__ import annotations

import attrs

from dacapo.config import Config, field, implemented_by


@attrs.define(kw_only=True)
class TaskConfig(Config, kind="tasks", builds="task_type"):
    """What to predict, how to score it, and how to turn it into a segmentation."""


@attrs.define(kw_only=True)
class DistanceTaskConfig(TaskConfig):
    """Predict, for every voxel, how far it is from the surface of each class."""

    task_type = implemented_by("dacapo.experiments.tasks.distance:DistanceTask")

    channels: list[str] = field("The classes to predict, one channel each.")
    clip_distance: float = field(
        "Distances beyond this, in world units, all count the same in the clipped scores."
    )
    tol_distance: float = field(
        "Errors nearer than this to the truth, in world units, are forgiven in tolerant scores."
    )
    scale_factor: float = field(
        "The distance d, in world units, is learned as tanh(d / scale_factor).", default=1.0
    )
    mask_distances: bool = field(
        "Leave out voxels that are nearer to unknown territory than to a known surface.", default=True
    )
    clipmin: float = field("The smallest fraction a class is taken to fill when balancing.", default=0.05)
    clipmax: float = field("The largest fraction a class is taken to fill when balancing.", default=0.95)

    def check(self) -> None:
        if not self.channels or len(set(self.channels)) < len(self.channels):
            self.refuse("channels", "should name at least one class, each once")
        for name in ("clip_distance", "scale_factor"):
            if not getattr(self, name) > 0:
                self.refuse(name, "should be above 0")
        if self.tol_distance < 0:
            self.refuse("tol_distance", "should be 0 or more")
        if not 0 < self.clipmin <= self.clipmax < 1:
            self.refuse("clipmin", f"should be above 0 and at most clipmax ({self.clipmax}), below 1")


@attrs.define(kw_only=True)
class OneHotTaskConfig(TaskConfig):
    """Predict which one of several classes each voxel belongs to."""

    task_type = implemented_by("dacapo.experiments.tasks.one_hot:OneHotTask")

    classes: list[str] = field("The classes; a voxel of label i belongs to the i-th, counting from 0.")
    kernel_size: int | None = field(
        "Width in voxels of the last convolution; None means 1.", default=None
    )
    clip_distance: float = field(
        "Distances beyond this, in world units, all count the same in the clipped scores.", default=200.0
    )
    tol_distance: float = field(
        "Errors nearer than this to the truth, in world units, are forgiven in tolerant scores.",
        default=40.0,
    )

    def check(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            self.refuse("classes", "should name at least two classes, each once")
        if self.kernel_size is not None and (self.kernel_size < 1 or self.kernel_size % 2 == 0):
            self.refuse("kernel_size", "should be an odd number of voxels")
        if not self.clip_distance > 0 or self.tol_distance < 0:
            self.refuse("clip_distance", "should be above 0, and tol_distance 0 or more")


@attrs.define(kw_only=True)
class DummyTaskConfig(TaskConfig):
    """Predict nothing of use: for tests of the parts around a task."""

    task_type = implemented_by("dacapo.experiments.tasks.dummy:DummyTask")

    embedding_dims: int = field("How many channels to predict.")
    detection_threshold: float = field("Predictions above it count as detected.")
