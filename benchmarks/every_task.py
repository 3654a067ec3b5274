"""Every task on volumes whose truth is known: how good after a training of minutes on this machine.

    python -m benchmarks.every_task [--iterations 1000] [--minutes 10] [--task TASK] [--write]

Cells of two kinds, pale and dark, are packed so that most touch; nothing but a thin line parts them.  Each
task learns from one volume, for so many iterations or minutes.  Iteration and parameters are chosen on a
second one, and the figures are those of this choice on a third.  ``--write`` puts them into
docs/benchmarks.md.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from funlib.geometry import Coordinate
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from benchmarks.timed_training import Trained, measure_each, options_parser, train
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import ArrayConfig, BinarizeArrayConfig, ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    CrossEntropyDiceLossConfig,
    DistanceTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    OneHotTaskConfig,
    TaskConfig,
)
from dacapo.experiments.tasks.post_processors import SeededWatershedPostProcessorParameters
from dacapo.experiments.trainers import IntensityAugmentConfig, PatchTrainerConfig, SimpleAugmentConfig

CRUMB = 100  # voxels; smaller pieces of cells, most of them cut by the border, have no id
SIZE, SPACING, VOXEL = 96, 16, (8, 8, 8)
CLASSES = ["pale", "dark"]
VOLUMES = {"train": 0, "choose": 1, "score": 2}
DISTANCES: dict[str, Any] = {"channels": CLASSES, "clip_distance": 64, "tol_distance": 8, "scale_factor": 32}
NEIGHBORS = [Coordinate(at) for at in np.eye(3, dtype=int)]
FAR = [Coordinate(at) for at in 6 * np.eye(3, dtype=int)]


def cells(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the image, the kind of every voxel (0 none, 1 pale, 2 dark) and the id of its cell."""
    rng = np.random.default_rng(seed)
    corners = np.argwhere(np.ones((SIZE // SPACING + 2,) * 3)) - 0.5
    centres = (corners + rng.uniform(-0.3, 0.3, corners.shape)) * SPACING
    kinds = rng.choice(3, len(centres), p=[0.25, 0.4, 0.35]).astype(np.uint8)
    reach = rng.uniform(0.55, 0.75, len(centres)) * SPACING
    voxels = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), -1)
    away, which = cKDTree(centres).query(voxels, k=2, workers=-1)
    own = which[..., 0]
    inside = (away[..., 0] < reach[own]) & (kinds[own] > 0)
    kind, ids = np.where(inside, kinds[own], 0), np.where(inside, own + 1, 0)
    ids = cc3d.dust(ids.astype(np.uint32), threshold=CRUMB, connectivity=6)
    line = np.exp(-(np.minimum(away[..., 1] - away[..., 0], np.abs(away[..., 0] - reach[own])) ** 2) / 2)
    clean = gaussian_filter(np.array([0.5, 0.8, 0.4])[kind] - 0.35 * line * (kinds[own] > 0), 0.6)
    image = (clean + rng.normal(0, 0.12, clean.shape)).astype(np.float32)
    return image, kind.astype(np.uint8), ids


def store(folder: Path) -> None:
    """Write the three volumes."""
    for name, seed in VOLUMES.items():
        for dataset, data in zip(("raw", "kinds", "ids"), cells(seed), strict=True):
            array = create_zarr(folder / f"{name}.zarr", dataset, data.shape, data.dtype, voxel_size=VOXEL)
            array[array.roi] = data


def finds_objects(task: TaskConfig) -> bool:
    """Say whether a task learns from ids of cells."""
    return isinstance(task, AffinitiesTaskConfig) or getattr(task, "post_processing", None) is not None


def truth(folder: Path, volume: str, task: TaskConfig) -> ArrayConfig:
    """Return what a task learns from."""
    dataset = "ids" if finds_objects(task) else "kinds"
    array = ZarrArrayConfig(f"{volume} {dataset}", file_name=folder / f"{volume}.zarr", dataset=dataset)
    if finds_objects(task) or isinstance(task, OneHotTaskConfig):
        return array
    groups = [(name, [label]) for label, name in enumerate(CLASSES, 1)]
    return BinarizeArrayConfig(f"{volume} truth", source_array_config=array, groupings=groups)


def run_config(folder: Path, task: TaskConfig, iterations: int) -> RunConfig:
    """Return the run: the same network and patches for every task."""

    def dataset(volume: str) -> RawGTDatasetConfig:
        raw = ZarrArrayConfig(f"{volume} raw", file_name=folder / f"{volume}.zarr", dataset="raw")
        return RawGTDatasetConfig(volume, raw_config=raw, gt_config=truth(folder, volume, task))

    return RunConfig(
        name=task.name,
        repetition=0,
        task_config=task,
        architecture_config=CNNectomeUNetConfig(
            "unet",
            input_shape=(48, 48, 48),
            fmaps_in=1,
            fmaps_out=12,
            num_fmaps=12,
            fmap_inc_factor=2,
            downsample_factors=[(2, 2, 2), (2, 2, 2)],
            kernel_size_down=[[(3, 3, 3)] * 2] * 3,
            kernel_size_up=[[(3, 3, 3)] * 2] * 2,
            padding="same",
            batch_norm=True,
            eval_shape_increase=(SIZE - 48,) * 3,
        ),
        trainer_config=PatchTrainerConfig(
            "patches",
            batch_size=2,
            learning_rate=4e-3,
            warmup_iterations=20,
            decay_until=iterations,
            precision="bf16",  # where the CPU has it, twice as fast
            augments=[SimpleAugmentConfig(), IntensityAugmentConfig(scale=(0.9, 1.1), shift=(-0.05, 0.05))],
        ),
        datasplit_config=TrainValidateDataSplitConfig(
            "cells",
            train_configs=[dataset("train")],
            validate_configs=[dataset("choose"), dataset("score")],
        ),
        num_iterations=iterations,
        validation_interval=iterations // 5,
    )


def tasks() -> list[TaskConfig]:
    """Return a config of every task."""
    return [
        DistanceTaskConfig("distances", **DISTANCES),
        HotDistanceTaskConfig("hot distances", **DISTANCES),
        InnerDistanceTaskConfig("inner distances", **DISTANCES),
        OneHotTaskConfig("one-hot", classes=["none", *CLASSES]),
        OneHotTaskConfig(
            "one-hot by Dice too", classes=["none", *CLASSES], loss_config=CrossEntropyDiceLossConfig()
        ),
        DistanceTaskConfig(
            "objects from distances",
            **{**DISTANCES, "channels": ["cell"], "thresholds": [-0.1, 0.0, 0.1]},
            post_processing=SeededWatershedPostProcessorParameters(0, min_size=CRUMB),
            sweep={"seed_threshold": [0.2, 0.3, 0.4, 0.5]},
        ),
        AffinitiesTaskConfig("affinities", neighborhood=NEIGHBORS + FAR, min_size=CRUMB),
        AffinitiesTaskConfig(
            "affinities with lsds", neighborhood=NEIGHBORS + FAR, min_size=CRUMB, lsds=True, num_lsd_voxels=6
        ),
    ]


def row(trained: Trained, minutes: float) -> dict[str, str]:
    """Return what was reached: the F1 of instances, or the Dice of the class that is worse."""
    of_instances = "f1_score" in trained.scores.criteria
    criteria = ["f1_score"] if of_instances else [f"{name}__dice" for name in CLASSES]
    found = {}
    for criterion in criteria:
        choice = trained.chosen("choose", criterion)
        found[trained.value("score", criterion, choice)] = (
            f"iteration {choice.iteration}, {choice.parameters}"
        )
    least = min(found)
    return {
        "bar": f"{trained.run.name}, {'F1 at IoU 0.5' if of_instances else 'Dice of the worse class'}",
        "figure": f"{least:.3f} ({found[least]})",
        "target": "≥ 0.85" if of_instances else "≥ 0.9",
        "how": f"{trained.iterations} iterations in {minutes:.1f} minutes with validations, "
        f"{os.cpu_count()} cores",
    }


def main() -> None:
    """Train every task, or those named, and print a row of each as it ends."""
    from benchmarks.__main__ import write

    parser = options_parser(__doc__, minutes=10)
    parser.add_argument("--iterations", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store(folder)

        def measure(task: TaskConfig) -> dict[str, str]:
            begin = time.monotonic()
            trained = train(run_config(folder, task, options.iterations), folder / "runs", options.minutes)
            return row(trained, (time.monotonic() - begin) / 60)

        rows = measure_each(tasks(), options.task, measure)
    if options.write:
        write("every_task", rows)


if __name__ == "__main__":
    main()
