"""How networks are trained."""

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
