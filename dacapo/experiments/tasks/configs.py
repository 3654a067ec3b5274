"""The tasks a network can be trained for, on one page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Self

import attrs
from funlib.geometry import Coordinate

from dacapo.config import Config, field, implemented_by

from .post_processors.parameters import PostProcessorParameters


@attrs.define(kw_only=True)
class TaskConfig(Config, kind="tasks", builds="task_type"):
    """What to predict, how to score it, and how to turn it into a segmentation."""

    sweep: dict[str, list[Any]] = field(
        "Values of post-processing parameters, by name: validation tries all combinations, with those that "
        "the task tries by itself for all other parameters.",
        factory=dict,
    )


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


@attrs.define
class DiceLossConfig(LossConfig):
    """What softmax probabilities and a one-hot target lack of full overlap, as a mean over classes."""

    loss_type = implemented_by("dacapo.experiments.tasks.losses:DiceLoss")


@attrs.define
class CrossEntropyDiceLossConfig(LossConfig):
    """Cross-entropy and Dice, added up: the one learns evenly, the other cares for small classes."""

    loss_type = implemented_by("dacapo.experiments.tasks.losses:CrossEntropyDiceLoss")

    dice_to_cross_entropy_ratio: float = field("How much Dice counts beside cross-entropy.", default=1.0)

    def check(self) -> None:
        if not 0 <= self.dice_to_cross_entropy_ratio < math.inf:
            self.refuse("dice_to_cross_entropy_ratio", "should be 0 or more")


@attrs.define(kw_only=True)
class SurfaceTaskConfig(TaskConfig):
    """What all tasks have in common that predict how far voxels are from the surfaces of classes."""

    channels: list[str] = field("The classes to predict.")
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
        "Leave out distances of voxels that are nearer to unknown territory than to a known surface.",
        default=True,
    )
    clipmin: float = field("The smallest fraction a class is taken to fill when balancing.", default=0.05)
    clipmax: float = field("The largest fraction a class is taken to fill when balancing.", default=0.95)
    thresholds: list[float] = field(
        "Where to cut the prediction, which is between -1 and 1: validation tries each of them.",
        factory=lambda: [-0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5],
    )
    post_processing: PostProcessorParameters | None = field(
        "How to find objects in the prediction, at each of the thresholds; the ground truth then holds their "
        "ids. None cuts at the thresholds, and the ground truth is binary.",
        default=None,
    )

    lowest: ClassVar[float] = -1.0  # the least that a prediction can be

    def check(self) -> None:
        _check_names(self, "channels", 1)
        if not 0 < self.scale_factor < math.inf:
            self.refuse("scale_factor", "should be above 0")
        _check_distances(self)
        _check_clips(self)
        if not self.thresholds or len(set(self.thresholds)) < len(self.thresholds):
            self.refuse("thresholds", "should hold at least one threshold, each once")
        if not all(self.lowest <= threshold < 1 for threshold in self.thresholds):
            self.refuse("thresholds", f"should lie between {self.lowest:g} and 1, where predictions do")
        self._check_post_processing()

    def _check_post_processing(self) -> None:
        chosen = self.post_processing
        if not isinstance(chosen, PostProcessorParameters):
            return
        if not chosen.builds:
            self.refuse(
                "post_processing",
                "should be parameters of a post-processor that can be chosen, such as "
                "SeededWatershedPostProcessorParameters(0)",
            )
        if chosen.makes_objects and len(self.channels) > 1:
            self.refuse("channels", "should name one class, of which objects are found; make a task for each")

    @classmethod
    def example(cls) -> Self:
        """Return two classes."""
        return cls(name="example", channels=["a", "b"], clip_distance=40, tol_distance=8, scale_factor=16)


@attrs.define(kw_only=True)
class DistanceTaskConfig(SurfaceTaskConfig):
    """Predict, for every voxel, how far it is from the surface of each class."""

    task_type = implemented_by("dacapo.experiments.tasks.distance:DistanceTask")

    loss_config: LossConfig = field("What training minimises.", factory=MSELossConfig)


@attrs.define(kw_only=True)
class AffinitiesTaskConfig(TaskConfig):
    """Predict, for every voxel, which of its neighbours belong to the same object, to part objects."""

    task_type = implemented_by("dacapo.experiments.tasks.affinities:AffinitiesTask")

    neighborhood: list[Coordinate] = field(
        "The offsets, in voxels, to the neighbours of a voxel; of any length and sign, each once."
    )
    lsds: bool = field("Learn local shape descriptors too, which help to tell objects apart.", default=False)
    num_lsd_voxels: int = field(
        "How far descriptors see: the width of a Gaussian in units of the largest voxel size.", default=10
    )
    downsample_lsds: int = field(
        "Make descriptors from every so many-th voxel along each axis, which is faster.", default=1
    )
    lsds_to_affs_weight_ratio: float = field(
        "How much the loss of descriptors counts beside that of affinities.", default=1.0
    )
    affs_weight_clipmin: float = field(
        "The smallest fraction that affinities of 0 or 1 are taken to have when balancing.", default=0.05
    )
    affs_weight_clipmax: float = field("The largest fraction they are taken to have.", default=0.95)
    lsd_weight_clipmin: float = field(
        "The smallest fraction that objects are taken to fill when balancing descriptors.", default=0.05
    )
    lsd_weight_clipmax: float = field("The largest fraction they are taken to fill.", default=0.95)
    background_as_object: bool = field(
        "Take voxels of id 0 for one more object instead of leaving them without affinities.", default=False
    )
    biases: list[float] = field(
        "Affinities above it hold voxels together, those below part them: validation tries each of them.",
        factory=lambda: [0.1, 0.25, 0.5, 0.75, 0.9],
    )
    min_size: int = field("Objects of fewer voxels are left out of segmentations.", default=10)

    def check(self) -> None:
        dims = {len(offset) for offset in self.neighborhood}
        if dims not in ({2}, {3}) or len(set(self.neighborhood)) < len(self.neighborhood):
            self.refuse("neighborhood", "should hold at least one offset of 2 or 3 numbers, each once")
        if not all(map(any, self.neighborhood)):
            self.refuse("neighborhood", "every voxel has an affinity of 1 to itself; leave out the offset 0")
        for name in ("num_lsd_voxels", "downsample_lsds"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be 1 or more")
        if not 0 <= self.lsds_to_affs_weight_ratio < math.inf:
            self.refuse("lsds_to_affs_weight_ratio", "should be 0 or more")
        for name in ("affs_weight", "lsd_weight"):
            if not 0 < getattr(self, f"{name}_clipmin") <= getattr(self, f"{name}_clipmax") < 1:
                self.refuse(f"{name}_clipmin", f"should be above 0 and at most {name}_clipmax, below 1")
        if not self.biases or len(set(self.biases)) < len(self.biases):
            self.refuse("biases", "should hold at least one bias, each once")
        if not all(0 < bias < 1 for bias in self.biases):
            self.refuse("biases", "should lie between 0 and 1, where affinities do")
        if self.min_size < 0:
            self.refuse("min_size", "should be 0 or more")

    @classmethod
    def example(cls) -> Self:
        """Return the nearest neighbour along each axis, and one farther away."""
        offsets = [Coordinate(1, 0, 0), Coordinate(0, 1, 0), Coordinate(0, 0, 1), Coordinate(0, -3, 0)]
        return cls(name="example", neighborhood=offsets)


@attrs.define(kw_only=True)
class HotDistanceTaskConfig(SurfaceTaskConfig):
    """Predict, for every voxel, both which classes are there and how far it is from their surfaces.

    The prediction that is cut by thresholds is the mean of 2 p - 1, p the probability, and the distance.
    """

    task_type = implemented_by("dacapo.experiments.tasks.hot_distance:HotDistanceTask")

    mask_distances: bool = field(
        "Leave out distances of voxels that are nearer to unknown territory than to a known surface.",
        default=False,
    )
    kernel_size: int | None = field("Width in voxels of the last convolution; None means 1.", default=None)

    def check(self) -> None:
        SurfaceTaskConfig.check(self)
        _check_kernel(self)


@attrs.define(kw_only=True)
class InnerDistanceTaskConfig(SurfaceTaskConfig):
    """Predict, for every voxel inside of a class, how far it is from the surface; 0 outside."""

    task_type = implemented_by("dacapo.experiments.tasks.inner_distance:InnerDistanceTask")

    thresholds: list[float] = field(
        "Where to cut the prediction, which is between 0 and 1: validation tries each of them.",
        factory=lambda: [0.02, 0.05, 0.1, 0.2, 0.3, 0.5],
    )

    lowest = 0.0


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

    balance_classes: bool = field(
        "Let rare classes count as much as frequent ones, unless class_weights are given.", default=True
    )
    clipmin: float = field("The smallest fraction a class is taken to fill when balancing.", default=0.05)
    clipmax: float = field("The largest fraction a class is taken to fill when balancing.", default=0.95)
    loss_config: LossConfig = field(
        "What training minimises, between logits and a one-hot target: cross-entropy, Dice, or both.",
        factory=CrossEntropyLossConfig,
    )
    class_weights: dict[str, float] | list[float] | None = field(
        "How much a voxel of each class counts in training, by the name of the class (1 if it is not named) "
        "or in the order of the classes; None balances them, if balance_classes says so.",
        default=None,
    )
    ignore_label: int | None = field(
        "Voxels of this label are neither learned nor scored, as if they were masked out.", default=None
    )

    def check(self) -> None:
        _check_names(self, "classes", 2)
        _check_kernel(self)
        _check_distances(self)
        _check_clips(self)
        if self.class_weights is not None:
            self._check_weights(self.class_weights)

    def _check_weights(self, weights: dict[str, float] | list[float]) -> None:
        named = isinstance(weights, dict)
        if not (set(weights) <= set(self.classes) if named else len(weights) == len(self.classes)):
            self.refuse("class_weights", f"should be those of the classes {', '.join(self.classes)}")
        by_class = self.weights_by_class or []
        if not all(0 <= weight < math.inf for weight in by_class) or not any(by_class):
            self.refuse("class_weights", "should be 0 or more, and not 0 for all classes")

    @property
    def weights_by_class(self) -> list[float] | None:
        """The class weights in the order of the classes; None where none are given."""
        if isinstance(self.class_weights, dict):
            return [self.class_weights.get(name, 1.0) for name in self.classes]
        return self.class_weights

    @classmethod
    def example(cls) -> Self:
        """Return three classes."""
        return cls(name="example", classes=["background", "a", "b"])


@attrs.define(kw_only=True)
class PretrainedTaskConfig(TaskConfig):
    """Another task, whose models begin with the weights, backbone and head, that are in a file.

    Everything else is as that task says.  The file is needed until there is a checkpoint.
    """

    task_type = implemented_by("dacapo.experiments.tasks.pretrained:PretrainedTask")

    sub_task_config: TaskConfig = field("What to predict.")
    weights: Path = field(
        "The file: of safetensors, or of torch, with a state dict or a checkpoint that holds one as model."
    )


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


def _check_kernel(config: HotDistanceTaskConfig | OneHotTaskConfig) -> None:
    if config.kernel_size is not None and (config.kernel_size < 1 or config.kernel_size % 2 == 0):
        config.refuse("kernel_size", "should be an odd number of voxels")


def _check_distances(config: SurfaceTaskConfig | OneHotTaskConfig) -> None:
    if not config.clip_distance > 0:
        config.refuse("clip_distance", "should be above 0")
    if not config.tol_distance >= 0:
        config.refuse("tol_distance", "should be 0 or more")


def _check_clips(config: SurfaceTaskConfig | OneHotTaskConfig) -> None:
    if not 0 < config.clipmin <= config.clipmax < 1:
        config.refuse("clipmin", f"should be above 0 and at most clipmax ({config.clipmax}), below 1")
