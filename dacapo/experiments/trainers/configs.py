"""How a network is trained, and how its training patches are varied, on one page."""

from __future__ import annotations

from typing import Any, Literal, Self

import attrs

from dacapo.config import Config, field, implemented_by

SampleStrategy = Literal["uniform", "mask", "integral_mask", "reject", "sample_points"]

_STRATEGY_HELP = (
    "Where patches are taken: 'uniform', anywhere in the ground truth; 'reject', the same, drawn anew until "
    "min_masked holds; 'mask' (or 'integral_mask'), directly among the places where it holds, for sparse "
    "masks; 'sample_points', around the points of the dataset. None: at points where a dataset has them, "
    "else by 'mask' where it has a mask, else 'uniform'."
)
_MIN_MASKED_HELP = "The smallest fraction of an output patch that the mask must let count."
_GT_MIN_REJECT_HELP = "Patches with a smaller fraction of foreground than this are rejected; None keeps all."
_CLIP_RAW_HELP = "Use no image beyond the ground truth; what the network sees there is zero."
_SNAPSHOT_HELP = "Every how many iterations what the network sees and makes is stored; None for never."


@attrs.define(kw_only=True)
class TrainerConfig(Config, kind="trainers", builds="trainer_type"):
    """How a network is trained on a datasplit for a task."""

    batch_size: int = field("How many patches make a batch.", default=1)
    learning_rate: float = field("The step size of the optimizer, once warmed up.", default=1e-3)

    def check(self) -> None:
        if self.batch_size < 1:
            self.refuse("batch_size", "should be 1 or more")
        if not self.learning_rate > 0:
            self.refuse("learning_rate", "should be above 0")

    def _check_sampling(self) -> None:
        for name in ("min_masked", "gt_min_reject"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                self.refuse(name, "should be a fraction, between 0 and 1")
        interval = getattr(self, "snapshot_interval", None)
        if interval is not None and interval < 1:
            self.refuse("snapshot_interval", "should be 1 or more, or None")


@attrs.define(kw_only=True)
class AugmentConfig(Config, kind="augments", builds="augment_type"):
    """One way in which training patches are varied at random."""

    name: str = field("How the augment is called; it needs no name.", default="")
    augmentation_probability: float = field("How often it is applied.", default=1.0)

    def check(self) -> None:
        if not 0 <= self.augmentation_probability <= 1:
            self.refuse("augmentation_probability", "should be between 0 and 1")


@attrs.define(kw_only=True)
class PatchTrainerConfig(TrainerConfig):
    """Train on random patches, augmented and prepared by threads while the network works."""

    trainer_type = implemented_by("dacapo.experiments.trainers.patch_trainer:PatchTrainer")

    augments: list[AugmentConfig] = field("How patches are varied, one after the other.", factory=list)
    sample_strategy: SampleStrategy | None = field(_STRATEGY_HELP, default=None)
    min_masked: float = field(_MIN_MASKED_HELP, default=0.15)
    gt_min_reject: float | None = field(_GT_MIN_REJECT_HELP, default=None)
    reject_probability: float = field("How often gt_min_reject is enforced.", default=1.0)
    clip_raw: bool = field(_CLIP_RAW_HELP, default=False)
    snapshot_interval: int | None = field(_SNAPSHOT_HELP, default=None)
    warmup_iterations: int = field(
        "Over how many iterations the learning rate rises from 1 % of its value.", default=1000
    )
    decay_until: int | None = field(
        "Let the learning rate fall to 1 % of its value along a half cosine, from the end of the warm-up to "
        "this iteration; None keeps it.",
        default=None,
    )
    weight_decay: float = field("How strongly weights are drawn to 0, apart from the gradient.", default=0.0)
    max_gradient_norm: float | None = field(
        "Longer gradients are shortened to this; None leaves them as they are.", default=None
    )
    precision: Literal["auto", "fp32", "bf16"] = field(
        "'fp32', 'bf16' (mixed with fp32, where the device computes in it), or 'auto': bf16 on GPUs that "
        "have it, else fp32.",
        default="auto",
    )
    num_workers: int = field("How many threads make batches; 0 makes them between the steps.", default=2)
    prefetch: int = field("How many batches are kept ready, besides those in the making.", default=2)
    seed: int = field("Another number gives other patches to the same run.", default=0)
    balance_window: int = field(
        "In how many patches, the last ones of every fourth, voxels are counted by class for tasks that "
        "balance classes; what lies further back is forgotten.",
        default=32,
    )

    def check(self) -> None:
        TrainerConfig.check(self)
        self._check_sampling()
        for name in ("warmup_iterations", "num_workers", "prefetch", "seed", "weight_decay"):
            if getattr(self, name) < 0:
                self.refuse(name, "should be 0 or more")
        if self.decay_until is not None and self.decay_until <= self.warmup_iterations:
            self.refuse("decay_until", f"should lie beyond warmup_iterations ({self.warmup_iterations})")
        if not 0 <= self.reject_probability <= 1:
            self.refuse("reject_probability", "should be between 0 and 1")
        if self.max_gradient_norm is not None and not self.max_gradient_norm > 0:
            self.refuse("max_gradient_norm", "should be above 0, or None")
        if self.balance_window < 1:
            self.refuse("balance_window", "should be 1 or more")


@attrs.define(kw_only=True)
class GunpowderTrainerConfig(TrainerConfig):
    """The trainer of earlier experiments: a ``PatchTrainerConfig`` with fewer choices."""

    trainer_type = implemented_by("dacapo.experiments.trainers.patch_trainer:PatchTrainer")

    num_data_fetchers: int = field("How many threads make batches.", default=5)
    augments: list[AugmentConfig] = field("How patches are varied, one after the other.", factory=list)
    snapshot_interval: int | None = field(_SNAPSHOT_HELP, default=None)
    min_masked: float = field(_MIN_MASKED_HELP, default=0.15)
    clip_raw: bool = field(_CLIP_RAW_HELP, default=False)
    gt_min_reject: float | None = field(_GT_MIN_REJECT_HELP, default=None)
    sample_strategy: SampleStrategy | None = field(_STRATEGY_HELP, default=None)

    def check(self) -> None:
        TrainerConfig.check(self)
        self._check_sampling()
        if self.num_data_fetchers < 0:
            self.refuse("num_data_fetchers", "should be 0 or more")

    def as_patch_trainer(self) -> PatchTrainerConfig:
        """Return the same in the terms of ``PatchTrainerConfig``."""
        fields = {f.name: getattr(self, f.name) for f in attrs.fields(type(self))}
        return PatchTrainerConfig(num_workers=fields.pop("num_data_fetchers"), **fields)


@attrs.define(kw_only=True)
class DummyTrainerConfig(TrainerConfig):
    """Train on noise: for tests of the parts around a trainer."""

    trainer_type = implemented_by("dacapo.experiments.trainers.dummy:DummyTrainer")

    mirror_augment: bool = field("Mirror the noise at random.", default=False)
    dummy_attr: bool = field("Does nothing.", default=True)


@attrs.define(kw_only=True)
class SimpleAugmentConfig(AugmentConfig):
    """Mirror and transpose patches at random."""

    augment_type = implemented_by("dacapo.experiments.trainers.spatial:SimpleAugment")

    mirror_axes: list[int] | None = field("Axes to mirror, counted from 0; None for all.", default=None)
    transpose_axes: list[int] | None = field(
        "Axes to exchange with each other; None for those in which patches and voxels are equally long.",
        default=None,
    )


@attrs.define(kw_only=True)
class ElasticAugmentConfig(AugmentConfig):
    """Rotate patches and deform them smoothly, in one pass."""

    augment_type = implemented_by("dacapo.experiments.trainers.spatial:ElasticAugment")

    control_point_spacing: list[int] = field("How many voxels lie between control points, per axis.")
    control_point_displacement_sigma: list[float] = field(
        "By how much control points are displaced, per axis, in world units: the standard deviation of a "
        "normal distribution, cut off at three times that."
    )
    rotation_interval: tuple[float, float] = field(
        "Smallest and largest angle, in radians, of the rotation in the plane of the last two axes."
    )
    subsample: int = field(
        "Compute the displacement at every n-th voxel along each axis and interpolate linearly between.",
        default=1,
    )
    uniform_3d_rotation: bool = field(
        "Rotate to any orientation, all equally likely, instead of within rotation_interval.", default=False
    )

    def check(self) -> None:
        AugmentConfig.check(self)
        if not self.control_point_spacing or min(self.control_point_spacing) < 1:
            self.refuse("control_point_spacing", "should be 1 or more in each axis")
        if len(self.control_point_displacement_sigma) != len(self.control_point_spacing):
            self.refuse("control_point_displacement_sigma", "should have a value per control_point_spacing")
        if min(self.control_point_displacement_sigma) < 0:
            self.refuse("control_point_displacement_sigma", "should be 0 or more in each axis")
        if self.subsample < 1:
            self.refuse("subsample", "should be 1 or more")
        _check_interval(self, "rotation_interval")

    @classmethod
    def example(cls) -> Self:
        """Return one that turns and bends volumes."""
        return cls(
            control_point_spacing=[10, 10, 10],
            control_point_displacement_sigma=[4.0, 4.0, 4.0],
            rotation_interval=(0.0, 1.0),
        )


@attrs.define(kw_only=True)
class IntensityAugmentConfig(AugmentConfig):
    """Stretch the contrast around the mean of the patch, and shift its brightness."""

    augment_type = implemented_by("dacapo.experiments.trainers.intensity:IntensityAugment")

    scale: tuple[float, float] = field("Smallest and largest factor of the contrast.")
    shift: tuple[float, float] = field("Smallest and largest shift of the brightness.")
    clip: bool = field("Keep values between 0 and 1.", default=True)

    def check(self) -> None:
        AugmentConfig.check(self)
        _check_interval(self, "scale")
        _check_interval(self, "shift")

    @classmethod
    def example(cls) -> Self:
        """Return one that changes little."""
        return cls(scale=(0.9, 1.1), shift=(-0.1, 0.1))


@attrs.define(kw_only=True)
class GammaAugmentConfig(AugmentConfig):
    """Bend the brightness by a power, between the darkest and the brightest voxel of the patch."""

    augment_type = implemented_by("dacapo.experiments.trainers.intensity:GammaAugment")

    gamma_range: tuple[float, float] = field("Smallest and largest exponent; above 1 darkens.")

    def check(self) -> None:
        AugmentConfig.check(self)
        _check_interval(self, "gamma_range")
        if not self.gamma_range[0] > 0:
            self.refuse("gamma_range", "should be above 0")

    @classmethod
    def example(cls) -> Self:
        """Return one that darkens or brightens."""
        return cls(gamma_range=(0.5, 2.0))


@attrs.define(kw_only=True)
class IntensityScaleShiftAugmentConfig(AugmentConfig):
    """Multiply the image by a factor and add a constant, always the same."""

    augment_type = implemented_by("dacapo.experiments.trainers.intensity:IntensityScaleShiftAugment")

    scale: float = field("What the image is multiplied by.")
    shift: float = field("What is added to it then.")

    @classmethod
    def example(cls) -> Self:
        """Return one that brings 0 to 1 to -1 to 1."""
        return cls(scale=2.0, shift=-1.0)


NOISE_PARAMETERS: dict[str, dict[str, float]] = {
    "gaussian": {"mean": 0.0, "var": 0.01},
    "speckle": {"mean": 0.0, "var": 0.01},
    "poisson": {},
    "salt": {"amount": 0.05},
    "pepper": {"amount": 0.05},
    "s&p": {"amount": 0.05, "salt_vs_pepper": 0.5},
}


@attrs.define(kw_only=True)
class NoiseAugmentConfig(AugmentConfig):
    """Add noise to the image."""

    augment_type = implemented_by("dacapo.experiments.trainers.intensity:NoiseAugment")

    kwargs: dict[str, Any] = field(
        "The noise: mode ('gaussian', 'speckle', 'poisson', 'salt', 'pepper', 's&p'), its mean and var (or "
        "sigma), amount, salt_vs_pepper, and clip (true: keep values between 0, or -1 if there are negative "
        "ones, and 1).",
        factory=dict,
    )

    def check(self) -> None:
        AugmentConfig.check(self)
        mode = self.kwargs.get("mode", "gaussian")
        if mode not in NOISE_PARAMETERS:
            self.refuse("kwargs", f"mode should be one of {', '.join(NOISE_PARAMETERS)}")
        allowed = {"mode", "clip", *NOISE_PARAMETERS[mode]}
        if "var" in allowed:
            allowed.add("sigma")
        if strangers := self.kwargs.keys() - allowed:
            self.refuse(
                "kwargs", f"{', '.join(sorted(strangers))}: {mode} noise knows {', '.join(sorted(allowed))}"
            )
        if self.kwargs.keys() >= {"var", "sigma"}:
            self.refuse("kwargs", "should have either var or sigma, not both")
        for name in self.kwargs.keys() & {"var", "sigma", "amount", "salt_vs_pepper"}:
            if not float(self.kwargs[name]) >= 0:
                self.refuse("kwargs", f"{name} should be 0 or more")


def _check_interval(config: AugmentConfig, name: str) -> None:
    low, high = getattr(config, name)
    if not low <= high:
        config.refuse(name, "should be a smallest and a largest value, in this order")
