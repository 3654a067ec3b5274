"""The smallest run that really trains: for tests of whatever is a part of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dacapo.experiments.architectures import ArchitectureConfig, CNNectomeUNetConfig
from dacapo.experiments.datasplits import DataSplitConfig, TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import DatasetConfig, RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    IntensitiesArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DistanceTaskConfig, TaskConfig
from dacapo.experiments.trainers import (
    ElasticAugmentConfig,
    IntensityAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
    TrainerConfig,
)

VOXEL = (8, 8, 8)


def tiny_run(
    folder: Path,
    *,
    task: TaskConfig | None = None,
    architecture: ArchitectureConfig | None = None,
    trainer: TrainerConfig | None = None,
    datasplit: DataSplitConfig | None = None,
    **changes: Any,
) -> RunConfig:
    """Return a run of a few seconds over two volumes that are written into ``folder``.

    Its image has one channel and voxels of 8 nm, its ground truth one of zeros and ones called
    ``ball``, patches have 24 voxels.  Give the parts that are to be tried; ``changes`` are other
    fields of the ``RunConfig``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {
        "task_config": task or _task(),
        "architecture_config": architecture or _architecture(),
        "trainer_config": trainer or _trainer(),
        "datasplit_config": datasplit or tiny_datasplit(folder),
    }
    numbers = {"name": "tiny", "repetition": 0, "num_iterations": 8, "validation_interval": 4}
    return RunConfig(**parts | numbers | changes)


def tiny_datasplit(folder: Path, ids: bool = False) -> TrainValidateDataSplitConfig:
    """Return a volume to train on and one to validate on; see ``tiny_dataset``."""
    parts: dict[str, list[DatasetConfig]] = {}
    for seed, (use, name) in enumerate((("train_configs", "train"), ("validate_configs", "validate"))):
        container = folder / f"{name}.zarr"
        if not container.exists():
            tiny_volume(container, seed)
        parts[use] = [tiny_dataset(name, container, ids)]
    return TrainValidateDataSplitConfig(
        name="volumes", train_configs=parts["train_configs"], validate_configs=parts["validate_configs"]
    )


def tiny_volume(path: Path, seed: int = 0, size: int = 40) -> Path:
    """Write an image of bright balls, ``raw``, and their ``labels``, 1 inside; return the container."""
    # Imported here: it imports tensorstore, which the checks of most plugins do without.
    from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr

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


def tiny_dataset(name: str, container: Path, ids: bool = False) -> RawGTDatasetConfig:
    """Return the dataset of a ``tiny_volume``; ``ids`` leaves labels as they are, without a channel axis."""
    raw = ZarrArrayConfig(f"{name}_raw_uint8", file_name=container, dataset="raw")
    gt = ZarrArrayConfig(f"{name}_ids", file_name=container, dataset="labels")
    binary = BinarizeArrayConfig(f"{name}_gt", source_array_config=gt, groupings=[("ball", [1])])
    return RawGTDatasetConfig(
        name,
        raw_config=IntensitiesArrayConfig(f"{name}_raw", source_array_config=raw, min=0, max=255),
        gt_config=gt if ids else binary,
    )


def _task() -> DistanceTaskConfig:
    return DistanceTaskConfig("balls", channels=["ball"], clip_distance=40, tol_distance=8, scale_factor=16)


def _architecture() -> CNNectomeUNetConfig:
    return CNNectomeUNetConfig(
        "small",
        input_shape=(24, 24, 24),
        fmaps_in=1,
        fmaps_out=4,
        num_fmaps=4,
        fmap_inc_factor=2,
        downsample_factors=[(2, 2, 2)],
        padding="same",
    )


def _trainer() -> PatchTrainerConfig:
    elastic = ElasticAugmentConfig(
        control_point_spacing=[8, 8, 8],
        control_point_displacement_sigma=[4.0, 4.0, 4.0],
        rotation_interval=(0, 1.5),
    )
    return PatchTrainerConfig(
        "patches",
        batch_size=1,
        learning_rate=1e-2,
        warmup_iterations=5,
        augments=[
            SimpleAugmentConfig(),
            elastic,
            IntensityAugmentConfig(scale=(0.8, 1.2), shift=(-0.1, 0.1)),
        ],
    )
