"""The smallest run that really trains, for the tests of run and verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    IntensitiesArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.trainers import (
    ElasticAugmentConfig,
    IntensityAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)

VOXEL = (8, 8, 8)


def volume(path: Path, seed: int = 0, size: int = 40) -> Path:
    """Write a volume of bright balls and its labels; return the container."""
    rng = np.random.default_rng(seed)
    grid = np.mgrid[:size, :size, :size]
    labels = np.zeros((size,) * 3, np.uint8)
    for centre in rng.integers(4, size - 4, (14, 3)):
        distance = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        labels[distance < rng.integers(3, 6) ** 2] = 1
    raw = np.clip(80 + 100 * labels + rng.normal(0, 12, labels.shape), 0, 255).astype(np.uint8)
    for name, data in (("raw", raw), ("labels", labels)):
        array = create_zarr(path, name, data.shape, data.dtype, VOXEL, chunk_shape=(16, 16, 16))
        array[array.roi] = data
    return path


def dataset(name: str, container: Path) -> RawGTDatasetConfig:
    raw = ZarrArrayConfig(f"{name}_raw_uint8", file_name=container, dataset="raw")
    gt = ZarrArrayConfig(f"{name}_ids", file_name=container, dataset="labels")
    return RawGTDatasetConfig(
        name,
        raw_config=IntensitiesArrayConfig(f"{name}_raw", source_array_config=raw, min=0, max=255),
        gt_config=BinarizeArrayConfig(f"{name}_gt", source_array_config=gt, groupings=[("ball", [1])]),
    )


def tiny_run(folder: Path, **changes: Any) -> RunConfig:
    """Return a run of a few seconds over two volumes in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    containers = [folder / "train.zarr", folder / "validate.zarr"]
    for seed, container in enumerate(containers):
        if not container.exists():
            volume(container, seed)
    values: dict[str, Any] = {
        "task_config": DistanceTaskConfig(
            "balls", channels=["ball"], clip_distance=40, tol_distance=8, scale_factor=16
        ),
        "architecture_config": CNNectomeUNetConfig(
            "small",
            input_shape=(24, 24, 24),
            fmaps_in=1,
            fmaps_out=4,
            num_fmaps=4,
            fmap_inc_factor=2,
            downsample_factors=[(2, 2, 2)],
            padding="same",
        ),
        "trainer_config": PatchTrainerConfig(
            "patches",
            batch_size=1,
            learning_rate=1e-2,
            warmup_iterations=5,
            augments=[
                SimpleAugmentConfig(),
                ElasticAugmentConfig(
                    control_point_spacing=(8, 8, 8),
                    control_point_displacement_sigma=(4, 4, 4),
                    rotation_interval=(0, 1.5),
                ),
                IntensityAugmentConfig(scale=(0.8, 1.2), shift=(-0.1, 0.1)),
            ],
        ),
        "datasplit_config": TrainValidateDataSplitConfig(
            "volumes",
            train_configs=[dataset("train", containers[0])],
            validate_configs=[dataset("validate", containers[1])],
        ),
        "name": "tiny",
        "repetition": 0,
        "num_iterations": 8,
        "validation_interval": 4,
    }
    return RunConfig(**values | changes)
