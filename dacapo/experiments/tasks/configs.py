"""The tasks a network can be trained for, on one page."""

from __future__ import annotations

import math
from typing import Self

import attrs

from dacapo.config import Config, field, implemented_by


@attrs.define(kw_only=True)
class TaskConfig(Config, kind="tasks", builds="task_type"):
    """What to predict, how to score it, and how to turn it into a segmentation."""


@attrs.define
class LossConfig(Config, kind="losses", builds="loss_type"):
    """How wrong a prediction is: what training minimises."""

    name: str = field("How the config is called; not needed.", default="")


@attrs.define
class MSELossConfig(LossConfig):
    """The weighted mean of the squared error."""

    loss_type = implemented_by("dacapo.experiments.tasks.losses:MSELoss")


@attrs.define
class CrossEntropyLossConfig(LossConfig):
    """The weighted mean of the cross-entropy between logits and a one-hot target."""

    loss_type = implemented_by("dacapo.experiments.tasks.losses:CrossEntropyLoss")


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
    thresholds: list[float] = field(
        "Where to cut the prediction, which is between -1 and 1: validation tries each of them.",
        factory=lambda: [-0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5],
    )
    loss_config: LossConfig = field("What training minimises.", factory=MSELossConfig)

    def check(self) -> None:
        _check_names(self, "channels", 1)
        if not 0 < self.scale_factor < math.inf:
            self.refuse("scale_factor", "should be above 0")
        _check_distances(self)
        _check_clips(self)
        if not self.thresholds or len(set(self.thresholds)) < len(self.thresholds):
            self.refuse("thresholds", "should hold at least one threshold, each once")
        if not all(-1 <= threshold < 1 for threshold in self.thresholds):
            self.refuse("thresholds", "should lie between -1 and 1, where predictions do")

    @classmethod
    def example(cls) -> Self:
        """Return two classes."""
        return cls(name="example", channels=["a", "b"], clip_distance=40, tol_distance=8, scale_factor=16)


@attrs.define(kw_only=True)
class OneHotTaskConfig(TaskConfig):
    """Predict, for every voxel, which of several classes it belongs to."""

    task_type = implemented_by("dacapo.experiments.tasks.one_hot:OneHotTask")

    classes: list[str] = field("The classes; a voxel of label i belongs to the i-th, counting from 0.")
    kernel_size: int | None = field("Width in voxels of the last convolution; None means 1.", default=None)
    clip_distance: float = field(
        "Distances beyond this, in world units, all count the same in the clipped scores.", default=200.0
    )
    tol_distance: float = field(
        "Errors nearer than this to the truth, in world units, are forgiven in tolerant scores.",
        default=40.0,
    )

    balance_classes: bool = field("Let rare classes count as much as frequent ones.", default=True)
    clipmin: float = field("The smallest fraction a class is taken to fill when balancing.", default=0.05)
    clipmax: float = field("The largest fraction a class is taken to fill when balancing.", default=0.95)
    loss_config: LossConfig = field(
        "What training minimises, between logits and a one-hot target.", factory=CrossEntropyLossConfig
    )

    def check(self) -> None:
        _check_names(self, "classes", 2)
        if self.kernel_size is not None and (self.kernel_size < 1 or self.kernel_size % 2 == 0):
            self.refuse("kernel_size", "should be an odd number of voxels")
        _check_distances(self)
        _check_clips(self)

    @classmethod
    def example(cls) -> Self:
        """Return three classes."""
        return cls(name="example", classes=["background", "a", "b"])


@attrs.define(kw_only=True)
class DummyTaskConfig(TaskConfig):
    """Predict nothing of use: for tests of the parts around a task."""

    task_type = implemented_by("dacapo.experiments.tasks.dummy:DummyTask")

    embedding_dims: int = field("How many channels to predict.")
    detection_threshold: float = field("Predictions above it count as detected.")

    def check(self) -> None:
        if self.embedding_dims < 1:
            self.refuse("embedding_dims", "should be 1 or more")

    @classmethod
    def example(cls) -> Self:
        """Return two channels."""
        return cls(name="example", embedding_dims=2, detection_threshold=0.5)


def _check_names(config: TaskConfig, field_name: str, at_least: int) -> None:
    names = getattr(config, field_name)
    if len(names) < at_least or len(set(names)) < len(names) or not all(names):
        config.refuse(field_name, f"should name at least {at_least} class(es), each once")


def _check_distances(config: DistanceTaskConfig | OneHotTaskConfig) -> None:
    if not config.clip_distance > 0:
        config.refuse("clip_distance", "should be above 0")
    if not config.tol_distance >= 0:
        config.refuse("tol_distance", "should be 0 or more")


def _check_clips(config: DistanceTaskConfig | OneHotTaskConfig) -> None:
    if not 0 < config.clipmin <= config.clipmax < 1:
        config.refuse("clipmin", f"should be above 0 and at most clipmax ({config.clipmax}), below 1")
