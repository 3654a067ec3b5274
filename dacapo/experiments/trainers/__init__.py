"""How networks are trained."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .augment import Augment, Extent, Patch, SpatialAugment
from .configs import (
    AugmentConfig,
    DummyTrainerConfig,
    ElasticAugmentConfig,
    GammaAugmentConfig,
    GunpowderTrainerConfig,
    IntensityAugmentConfig,
    IntensityScaleShiftAugmentConfig,
    NoiseAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
    TrainerConfig,
)
from .deformation import ControlGrid, Deformation
from .trainer import Trainer

__all__ = [
    "Augment",
    "AugmentConfig",
    "ControlGrid",
    "Deformation",
    "DummyTrainerConfig",
    "ElasticAugmentConfig",
    "Extent",
    "GammaAugmentConfig",
    "GunpowderTrainerConfig",
    "IntensityAugmentConfig",
    "IntensityScaleShiftAugmentConfig",
    "NoiseAugmentConfig",
    "Patch",
    "PatchTrainerConfig",
    "SimpleAugmentConfig",
    "SpatialAugment",
    "Trainer",
    "TrainerConfig",
]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "trainers", "augments")
