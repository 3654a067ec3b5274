"""Configs of small runs, to be exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dacapo.experiments import RunConfig
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import DataSplitConfig, TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.tasks import OneHotTaskConfig
from dacapo.experiments.trainers import PatchTrainerConfig


def crops(folder: Path) -> DataSplitConfig:
    """Write two small volumes, and return the configs of a data split over them."""
    rng, datasets = np.random.default_rng(0), []
    for name in ("train", "validate"):
        arrays = []
        for dataset in ("raw", "labels"):
            data = rng.random((24, 24, 24)).astype(np.float32)
            geometry = {"voxel_size": (8, 4, 4), "offset": (16, 8, 4), "units": ["nm"] * 3}
            array = create_zarr(folder / f"{name}.zarr", dataset, data.shape, data.dtype, **geometry)
            array[array.roi] = data if dataset == "raw" else data > 0.5
            arrays.append(
                ZarrArrayConfig(f"{name}_{dataset}", file_name=folder / f"{name}.zarr", dataset=dataset)
            )
        datasets.append(RawGTDatasetConfig(name, raw_config=arrays[0], gt_config=arrays[1]))
    return TrainValidateDataSplitConfig("crops", train_configs=datasets[:1], validate_configs=datasets[1:])


def config_in(folder: Path, **network: object) -> RunConfig:
    """Return the config of a small run in three dimensions."""
    options = {"input_shape": (18, 18, 18), "fmaps_in": 1, "fmaps_out": 4, "num_fmaps": 3,
               "fmap_inc_factor": 2, "downsample_factors": [(2, 2, 2)]}  # fmt: skip
    return RunConfig(
        OneHotTaskConfig("organelles", classes=["background", "mito"]),
        CNNectomeUNetConfig("unet", **options | network),
        PatchTrainerConfig("patches", batch_size=1, learning_rate=1e-3),
        crops(folder),
        "mito run",
        0,
        4,
    )
