"""The configs of trainers and augments: defaults, checks, old names, documents."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import pytest

from dacapo.config import build
from dacapo.documents import documents
from dacapo.errors import InvalidConfig
from dacapo.experiments.trainers import (
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
    gp_augments,
)

ELASTIC = ElasticAugmentConfig(
    control_point_spacing=(100, 100, 100),
    control_point_displacement_sigma=[10.0, 10.0, 10.0],
    rotation_interval=[0, 1.5],
)
AUGMENTS = [
    SimpleAugmentConfig(augmentation_probability=0.5),
    ELASTIC,
    IntensityAugmentConfig(scale=(0.25, 1.75), shift=(-0.5, 0.35)),
    GammaAugmentConfig(gamma_range=(0.5, 2)),
    IntensityScaleShiftAugmentConfig(scale=2, shift=-1),
    NoiseAugmentConfig(kwargs={"mode": "gaussian", "var": 0.01}),
]


@pytest.mark.parametrize("cls", [PatchTrainerConfig, GunpowderTrainerConfig])
def test_documents_hold_all_augments(cls: type) -> None:
    config = cls("trainer", batch_size=2, learning_rate=1e-4, augments=AUGMENTS)
    assert documents.read(documents.write(config), TrainerConfig) == config


def test_every_type_has_its_component() -> None:
    for augment in AUGMENTS:
        assert build(augment).config is augment
    for trainer in (PatchTrainerConfig("a"), GunpowderTrainerConfig("b"), DummyTrainerConfig("c")):
        assert build(trainer).config.name == trainer.name


def test_documents_of_both_eras_of_the_gunpowder_trainer() -> None:
    augments = [{"__type__": "SimpleAugmentConfig", "augmentation_probability": 1.0}]
    old = {
        "__type__": "GunpowderTrainerConfig", "name": "old", "batch_size": 4, "learning_rate": 0.0001,
        "num_data_fetchers": 20, "augments": augments, "snapshot_interval": 10000, "min_masked": 0.05,
        "clip_raw": True, "gt_min_reject": 0.1,
    }  # fmt: skip
    new = {
        "__type__": "GunpowderTrainerConfig", "name": "new", "augments": [], "min_masked": 0.15,
        "clip_raw": False, "sample_strategy": "integral_mask",
    }  # fmt: skip
    read = documents.read(old, TrainerConfig).as_patch_trainer()
    assert (read.batch_size, read.num_workers, read.snapshot_interval, read.gt_min_reject) == (
        4,
        20,
        10000,
        0.1,
    )
    assert read.augments == [SimpleAugmentConfig()] and read.min_masked == 0.05 and read.clip_raw
    assert documents.read(new, TrainerConfig).as_patch_trainer().sample_strategy == "integral_mask"


def test_defaults_are_those_that_scripts_rely_on() -> None:
    config = GunpowderTrainerConfig("trainer")
    assert (config.num_data_fetchers, config.min_masked, config.snapshot_interval) == (5, 0.15, None)
    assert ELASTIC.subsample == 1 and not ELASTIC.uniform_3d_rotation and ELASTIC.name == ""
    assert gp_augments.ElasticAugmentConfig is ElasticAugmentConfig


def test_every_field_explains_itself() -> None:
    for cls in (PatchTrainerConfig, GunpowderTrainerConfig, DummyTrainerConfig, *map(type, AUGMENTS)):
        assert all(f.metadata["help_text"] for f in attrs.fields(cls))


@pytest.mark.parametrize(
    ("cls", "values", "field"),
    [
        (PatchTrainerConfig, {"batch_size": 0}, "batch_size"),
        (PatchTrainerConfig, {"learning_rate": 0}, "learning_rate"),
        (PatchTrainerConfig, {"min_masked": 1.5}, "min_masked"),
        (PatchTrainerConfig, {"gt_min_reject": -0.1}, "gt_min_reject"),
        (PatchTrainerConfig, {"reject_probability": 2}, "reject_probability"),
        (PatchTrainerConfig, {"snapshot_interval": 0}, "snapshot_interval"),
        (PatchTrainerConfig, {"num_workers": -1}, "num_workers"),
        (PatchTrainerConfig, {"max_gradient_norm": 0}, "max_gradient_norm"),
        (PatchTrainerConfig, {"precision": "fp16"}, "precision"),
        (PatchTrainerConfig, {"sample_strategy": "anywhere"}, "sample_strategy"),
        (GunpowderTrainerConfig, {"num_data_fetchers": -1}, "num_data_fetchers"),
        (GunpowderTrainerConfig, {"snapshot_interval": -5}, "snapshot_interval"),
    ],
)
def test_trainers_refuse(cls: type, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{cls.__name__} 'mine': {field} = "):
        cls("mine", **values)


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (AUGMENTS[0], {"augmentation_probability": 1.1}, "between 0 and 1"),
        (ELASTIC, {"control_point_spacing": [0, 1, 1]}, "1 or more in each axis"),
        (ELASTIC, {"control_point_displacement_sigma": [1.0]}, "a value per control_point_spacing"),
        (ELASTIC, {"control_point_displacement_sigma": [1, 1, -1]}, "0 or more in each axis"),
        (ELASTIC, {"rotation_interval": (1, 0)}, "a smallest and a largest value"),
        (ELASTIC, {"subsample": 0}, "1 or more"),
        (AUGMENTS[2], {"shift": (1, 0)}, "a smallest and a largest value"),
        (AUGMENTS[3], {"gamma_range": (0, 1)}, "above 0"),
        (AUGMENTS[5], {"kwargs": {"mode": "perlin"}}, "mode should be one of gaussian"),
        (AUGMENTS[5], {"kwargs": {"mode": "salt", "var": 1}}, "var: salt noise knows amount"),
        (AUGMENTS[5], {"kwargs": {"var": 1, "sigma": 1}}, "either var or sigma"),
        (AUGMENTS[5], {"kwargs": {"var": -1}}, "var should be 0 or more"),
    ],
)
def test_augments_refuse(config: AugmentConfig, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        config.replace(**values)


def test_configs_import_nothing_heavy() -> None:
    heavy = "{'torch', 'numba', 'scipy', 'zarr'} & set(sys.modules)"
    code = f"import sys, dacapo.experiments.trainers; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
