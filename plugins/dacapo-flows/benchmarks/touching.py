"""Parting 200 touching ellipsoids: flows against distances, each trained for the same time.

    PYTHONPATH=. python plugins/dacapo-flows/benchmarks/touching.py [--minutes 8] [--seed 0] [TASK ...]

Three volumes are made: one to train on, one to choose the iteration and the post-processing parameters
by, and one that is segmented once, by that choice, for the figure.  The share of surface in contact is that
of faces between an object and another one among all faces that an object shows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dacapo_flows import FlowsTaskConfig
from scipy.ndimage import gaussian_filter

import dacapo
from benchmarks.timed_training import Trained, train
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.bf16 import computes_bf16
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DistanceTaskConfig, TaskConfig
from dacapo.experiments.tasks.post_processors import (
    ConnectedComponentsPostProcessorParameters,
    SeededWatershedPostProcessorParameters,
)
from dacapo.experiments.trainers import IntensityAugmentConfig, PatchTrainerConfig, SimpleAugmentConfig
from dacapo.store.array_store import LocalArrayIdentifier

OBJECTS, SIZE, VOXEL = 200, 128, (8, 8, 8)
VOLUMES = ("training", "validation", "test")  # of this seed, the next and the one after
DISTANCES: dict[str, Any] = {
    "channels": ["object"], "clip_distance": 80, "tol_distance": 8, "scale_factor": 40,
    "mask_distances": False,
}  # fmt: skip
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


def write(folder: Path, name: str, seed: int) -> str:
    """Write image and ids of one volume, and say what is in it."""
    ids = ellipsoids(seed)
    for dataset, data in (("raw", image(ids, seed)), ("ids", ids)):
        array = create_zarr(folder / f"{name}.zarr", dataset, data.shape, data.dtype, voxel_size=VOXEL)
        array[array.roi] = data
    return f"{name}: {len(np.unique(ids)) - 1} objects, {contact(ids):.0%} of their surface in contact"


def tasks() -> list[TaskConfig]:
    """Return flows, and distances with each way to find objects in them."""
    components = ConnectedComponentsPostProcessorParameters(0, min_size=10)
    seeds = SeededWatershedPostProcessorParameters(0, min_size=10)
    return [
        FlowsTaskConfig("flows", diameter=200),
        DistanceTaskConfig(
            "distances, cut at a threshold", **DISTANCES, post_processing=components,
            thresholds=[-0.2, 0.0, 0.2, 0.4, 0.6, 0.8],
        ),
        DistanceTaskConfig(
            "distances, flooded from seeds", **DISTANCES, post_processing=seeds,
            thresholds=[-0.2, 0.0, 0.2], sweep={"seed_threshold": [0.4, 0.6, 0.8]},
        ),
    ]  # fmt: skip


def run_config(folder: Path, task: TaskConfig, seed: int) -> RunConfig:
    """Return a run that is trained on the first volume and validated on the second."""

    def dataset(name: str) -> RawGTDatasetConfig:
        raw, ids = (ZarrArrayConfig(f"{name}_{one}", file_name=folder / f"{name}.zarr", dataset=one)
                    for one in ("raw", "ids"))  # fmt: skip
        return RawGTDatasetConfig(name, raw_config=raw, gt_config=ids)

    unet = CNNectomeUNetConfig(
        "unet", input_shape=(48, 48, 48), fmaps_in=1, fmaps_out=12, num_fmaps=12,
        fmap_inc_factor=2, downsample_factors=[(2, 2, 2), (2, 2, 2)], padding="same",
    )  # fmt: skip
    trainer = PatchTrainerConfig(
        "patches", batch_size=2, learning_rate=4e-3, warmup_iterations=30, num_workers=1,
        precision="bf16" if computes_bf16(torch.device("cpu")) else "fp32",
        augments=[SimpleAugmentConfig(), IntensityAugmentConfig(scale=(0.9, 1.1), shift=(-0.05, 0.05))],
    )  # fmt: skip
    split = TrainValidateDataSplitConfig(
        "split", train_configs=[dataset(VOLUMES[0])], validate_configs=[dataset(VOLUMES[1])]
    )
    return RunConfig(task, unet, trainer, split, task.name, 0, 10**6, validation_interval=100, seed=seed)


def tested(trained: Trained, folder: Path) -> str:
    """Segment the test volume once, by what was chosen on the validation volume, and return a row."""
    run, best = trained.run, trained.chosen(VOLUMES[1], "f1_score")
    where = LocalArrayIdentifier(folder / "predicted.zarr", run.name)
    volume = folder / f"{VOLUMES[2]}.zarr"
    prediction = dacapo.predict(run, best.iteration, volume, "raw", where, output_dtype="float32")
    run.task.post_processor.set_prediction(prediction)
    made = run.task.post_processor.process(best.parameters)
    f1 = run.task.evaluator.evaluate(made, open_zarr(volume, "ids")).f1_score
    by = trained.scores.array[:, 0, :, trained.scores.criteria.index("f1_score")].max(axis=1)
    curve = ", ".join(f"{i}: {v:.3f}" for i, v in zip(trained.scores.iterations, by, strict=True))
    return (
        f"| {run.name} | {f1:.3f} | {best.iteration}, {best.parameters} | {trained.iterations} in "
        f"{trained.minutes:.1f} min | {curve} |"
    )


def main() -> None:
    """Make the volumes, train each task, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="TASK", help="only these")
    parser.add_argument("--minutes", type=float, default=8, help="of each training, with its validations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="beside the one that makes batches")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, volume in enumerate(VOLUMES):
            print(write(folder, volume, options.seed + index), flush=True)
        print("| task | F1 at IoU 0.5, test | chosen on the validation volume | iterations | F1 there |")
        print("|---|---|---|---|---|", flush=True)
        for task in tasks():
            if task.name in (options.names or [task.name]):
                config = run_config(folder, task, options.seed)
                print(tested(train(config, folder / "runs", options.minutes), folder), flush=True)
        print(f"load of the machine at the end, on {os.cpu_count()} cores: {os.getloadavg()[1]:.1f}")


if __name__ == "__main__":
    main()
