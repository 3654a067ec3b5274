"""Parting 200 touching ellipsoids: flows against the distance task, each trained for the same time.

    python benchmarks/touching.py [--minutes 8] [--seed 0]

Two volumes are made, one to train on and one to look at afterwards.  The share of surface in contact is
that of faces between an object and another one among all faces that an object shows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import torch
from dacapo_flows import FlowsTaskConfig
from scipy.ndimage import gaussian_filter

from dacapo.experiments import Run, RunConfig
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import BinarizeArrayConfig, ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.tasks import DistanceTaskConfig, TaskConfig
from dacapo.experiments.tasks.evaluators import InstanceEvaluator
from dacapo.experiments.trainers import IntensityAugmentConfig, PatchTrainerConfig, SimpleAugmentConfig
from dacapo.predict_local import predict

OBJECTS, SIZE, VOXEL = 200, 128, (8, 8, 8)
NDArray = np.ndarray[Any, Any]


def ellipsoids(seed: int) -> NDArray:
    """Return ids of ellipsoids, placed so that most touch another one, each cut where it meets the next."""
    rng = np.random.default_rng(seed)
    nearest = np.full((SIZE,) * 3, np.inf, np.float32)
    ids = np.zeros((SIZE,) * 3, np.uint16)
    placed: list[tuple[NDArray, NDArray]] = []
    while len(placed) < OBJECTS:
        radii = rng.uniform(7, 12, 3)
        centre = rng.uniform(6, SIZE - 6, 3)
        if placed and rng.random() < 0.97:  # beside another one
            other, reach = placed[rng.integers(len(placed))]
            way = rng.normal(size=3)
            way /= np.linalg.norm(way)
            centre = other + way * 0.8 * (1 / np.linalg.norm(way / reach) + 1 / np.linalg.norm(way / radii))
        inside = ((centre > 4) & (centre < SIZE - 4)).all()
        far = all(np.linalg.norm((centre - c) / (r + radii)) > 0.7 for c, r in placed)
        if inside and far:
            placed.append((centre, radii))
    for number, (centre, radii) in enumerate(placed, start=1):
        low = np.maximum(np.floor(centre - radii), 0).astype(int)
        high = np.minimum(np.ceil(centre + radii) + 1, SIZE).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
        away = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True))
        closer = (away <= 1) & (away < nearest[box])
        nearest[box][closer], ids[box][closer] = away[closer], number
    return ids


def contact(ids: NDArray) -> float:
    """Return the share of the faces of objects that they share with another one."""
    shared = shown = 0
    for axis in range(3):
        one, other = np.moveaxis(ids, axis, 0)[:-1], np.moveaxis(ids, axis, 0)[1:]
        differ = one != other
        both = differ & (one > 0) & (other > 0)
        shared += 2 * np.count_nonzero(both)
        shown += np.count_nonzero(differ) + np.count_nonzero(both)
    return shared / shown


def image(ids: NDArray, seed: int) -> NDArray:
    """Return a noisy image of objects, with nothing but a thin darker line between those that touch."""
    rng = np.random.default_rng(seed)
    edge = np.zeros(ids.shape, bool)
    for axis in range(3):
        one = np.moveaxis(ids, axis, 0)
        differ = (one[:-1] != one[1:]) & (one[:-1] > 0) & (one[1:] > 0)
        np.moveaxis(edge, axis, 0)[:-1] |= differ
    clean = gaussian_filter(0.7 * (ids > 0) - 0.35 * edge, 0.7)
    return (clean + rng.normal(0, 0.1, ids.shape)).astype(np.float32)


def stored(folder: Path, name: str, seed: int) -> NDArray:
    """Write image and ids of one volume, and return the ids."""
    ids = ellipsoids(seed)
    for dataset, data in (("raw", image(ids, seed)), ("ids", ids), ("all", (ids > 0).astype(np.uint8))):
        array = create_zarr(folder / f"{name}.zarr", dataset, data.shape, data.dtype, voxel_size=VOXEL)
        array[array.roi] = data
    return ids


def config(folder: Path, task: TaskConfig, truth: str, seed: int) -> RunConfig:
    """Return a run on both volumes."""

    def dataset(name: str) -> RawGTDatasetConfig:
        raw, ids = (ZarrArrayConfig(f"{name}_{one}", file_name=folder / f"{name}.zarr", dataset=one)
                    for one in ("raw", truth))  # fmt: skip
        gt = BinarizeArrayConfig(f"{name}_gt", source_array_config=ids, groupings=[("object", [1])])
        return RawGTDatasetConfig(name, raw_config=raw, gt_config=ids if truth == "ids" else gt)

    unet = CNNectomeUNetConfig(
        "unet", input_shape=(72, 72, 72), fmaps_in=1, fmaps_out=12, num_fmaps=12, fmap_inc_factor=2,
        downsample_factors=[(2, 2, 2), (2, 2, 2)],
    )  # fmt: skip
    trainer = PatchTrainerConfig(
        "patches", batch_size=2, learning_rate=2e-3, num_workers=1,
        augments=[SimpleAugmentConfig(), IntensityAugmentConfig(scale=(0.9, 1.1), shift=(-0.05, 0.05))],
    )  # fmt: skip
    split = TrainValidateDataSplitConfig(
        "split", train_configs=[dataset("train")], validate_configs=[dataset("held_out")]
    )
    return RunConfig(task, unet, trainer, split, task.name, 0, 10**6, seed=seed)


def train(run: Run, minutes: float) -> int:
    """Train for so long, and return how many iterations that were."""
    run.trainer.build_batch_provider(run.datasplit.train, run.model, run.task)
    begin, done = time.monotonic(), 0
    while time.monotonic() - begin < 60 * minutes:
        done += len(list(run.trainer.iterate(5, run.model, run.optimizer, "cpu")))
    run.trainer.close()
    return done


def best(run: Run, ids: NDArray) -> tuple[float, str]:
    """Return the best F1 of all parameter sets on the held-out volume, and which that was."""
    raw = run.datasplit.validate[0].raw
    prediction = predict(run.model, raw)
    truth = NumpyArray(ids.astype(np.uint32), VOXEL, raw.offset)
    run.task.post_processor.set_prediction(prediction)
    found = []
    for parameters in run.task.parameters:
        made = run.task.post_processor.process(parameters)
        labels = made.data
        if made.num_channels is not None:
            labels = cc3d.connected_components(labels[0], connectivity=6)
            labels = cc3d.dust(labels, threshold=10, connectivity=6)
        segmentation = NumpyArray(labels.astype(np.uint32), VOXEL, made.offset)
        found.append((InstanceEvaluator().evaluate(segmentation, truth).f1_score, str(parameters)))
    return max(found)


def main() -> None:
    """Make the volumes, train both tasks, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="beside the one that makes batches")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DACAPO_RUNS_BASE_DIR"] = str(folder / "runs")
        stored(folder, "train", options.seed)
        ids = stored(folder, "held_out", options.seed + 1)
        print(
            f"{len(np.unique(ids)) - 1} objects, {contact(ids):.0%} of their surface in contact", flush=True
        )
        print("| task | F1 at IoU 0.5 | iterations | training | best by |\n|---|---|---|---|---|")
        tasks = (
            (FlowsTaskConfig("flows", diameter=100), "ids"),
            (DistanceTaskConfig("distance", channels=["object"], clip_distance=80, tol_distance=8,
                                scale_factor=24, thresholds=[-0.3, 0.0, 0.2, 0.4, 0.6, 0.8]), "all"),
        )  # fmt: skip
        for task, truth in tasks:
            run = Run(config(folder, task, truth, options.seed))
            done = train(run, options.minutes)
            score, parameters = best(run, ids)
            print(
                f"| {task.name} | {score:.3f} | {done} | {options.minutes:g} min | {parameters} |", flush=True
            )


if __name__ == "__main__":
    main()
