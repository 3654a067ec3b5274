"""How much a training loop with data costs over one that has none, on the same network.

python -m benchmarks.training_loop [--quick]
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate
from scipy.ndimage import gaussian_filter

from dacapo.config import build
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    IntensitiesArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.memory import keep_freed_memory
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.trainers import (
    AugmentConfig,
    ElasticAugmentConfig,
    GammaAugmentConfig,
    IntensityAugmentConfig,
    NoiseAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)

PATCH, VOXEL = Coordinate(64, 64, 64), Coordinate(8, 8, 8)
AUGMENTS: list[AugmentConfig] = [
    SimpleAugmentConfig(),
    ElasticAugmentConfig(
        control_point_spacing=(16, 16, 16),
        control_point_displacement_sigma=(12, 12, 12),
        rotation_interval=(0, math.pi / 2),
    ),
    IntensityAugmentConfig(scale=(0.8, 1.2), shift=(-0.1, 0.1)),
    GammaAugmentConfig(gamma_range=(0.7, 1.4)),
    NoiseAugmentConfig(kwargs={"mode": "gaussian", "var": 0.001}),
]


def dataset(folder: Path) -> Any:
    """Return a compressed volume of blobs on disk, image in bytes, as a dataset."""
    random = np.random.default_rng(0)
    field = gaussian_filter(random.standard_normal((192,) * 3), 4)
    labels = (field > np.quantile(field, 0.8)).astype(np.uint8)
    image = np.clip(110 + 50 * labels + random.normal(0, 12, labels.shape), 0, 255).astype(np.uint8)
    for name, data in (("raw", image), ("labels", labels)):
        array = create_zarr(folder / "volume.zarr", name, data.shape, data.dtype, VOXEL)
        array[array.roi] = data
    raw, ids = (
        ZarrArrayConfig(name, file_name=folder / "volume.zarr", dataset=name) for name in ("raw", "labels")
    )
    return build(
        RawGTDatasetConfig(
            "blobs",
            raw_config=IntensitiesArrayConfig("image", source_array_config=raw, min=0, max=255),
            gt_config=BinarizeArrayConfig("blob", source_array_config=ids, groupings=[("blob", [1])]),
        )
    )


def task_and_model() -> tuple[Any, Any]:
    """Return the distance task and the U-Net of the demo."""
    torch.manual_seed(0)
    task = build(
        DistanceTaskConfig("task", channels=["blob"], clip_distance=40, tol_distance=16, scale_factor=40)
    )
    architecture = CNNectomeUNetConfig(
        "unet",
        input_shape=PATCH,
        fmaps_in=1,
        fmaps_out=16,
        num_fmaps=16,
        fmap_inc_factor=2,
        downsample_factors=[(2, 2, 2), (2, 2, 2)],
        kernel_size_down=[[(3, 3, 3)], [(3, 3, 3)] * 2, [(3, 3, 3)] * 2],
        kernel_size_up=[[(3, 3, 3)], [(3, 3, 3)] * 2],
        padding="same",
    )
    return task, task.create_model(build(architecture))


def timed(steps: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and the CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    steps()
    return time.perf_counter() - wall, time.process_time() - cpu


def bare_steps(number: int, task: Any, model: Any, optimizer: Any) -> None:
    """Train on one constant batch, the way anybody would, in the fast memory format."""
    raw = torch.rand(1, 1, *PATCH).contiguous(memory_format=torch.channels_last_3d)
    target, weight = torch.rand(1, 1, *PATCH), torch.ones(1, 1, *PATCH)
    for _ in range(number):
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss.compute(model(raw), target, weight)
        loss.backward()
        optimizer.step()
        loss.item()


def compare(
    folder: Path, num_workers: int, augments: list[AugmentConfig], steps: int, rounds: int
) -> tuple[float, float, float]:
    """Return the ratios of wall and CPU time to the bare loop, and the CPU seconds of a bare step."""
    task, model = task_and_model()
    config = PatchTrainerConfig("trainer", augments=augments, num_workers=num_workers, precision="fp32")
    trainer = build(config)
    optimizer = trainer.create_optimizer(model)
    _, bare_model = task_and_model()
    bare_model.to(memory_format=torch.channels_last_3d)
    bare_optimizer = trainer.create_optimizer(bare_model)
    trainer.build_batch_provider([dataset(folder)], model, task)
    walls, cpus, least = [], [], math.inf
    with trainer:
        for each in range(rounds + 1):
            bare = timed(lambda: bare_steps(steps, task, bare_model, bare_optimizer))
            # No batch is made beyond the last one asked for: each round makes all it uses.
            ours = timed(lambda: list(trainer.iterate(steps, model, optimizer, "cpu")))
            if each:  # the first one compiles
                walls.append(ours[0] / bare[0])
                cpus.append(ours[1] / bare[1])
                least = min(least, bare[1] / steps)
    return statistics.median(walls), statistics.median(cpus), least


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    steps, rounds = (4, 2) if quick else (8, 5)
    threads = torch.get_num_threads()
    # Threads of torch that wait for each other burn CPU time: with one there is no such noise.
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = []
    for augments, what in ((AUGMENTS, "all augments"), ([], "no augments")):
        for num_workers in (1, 2) if augments else (1,):
            with tempfile.TemporaryDirectory() as folder:
                wall, cpu, step = compare(Path(folder), num_workers, augments, steps, rounds)
            rows.append(
                {
                    "bar": f"training loop, 64^3 patches, distance task, {what}, {num_workers} worker(s)",
                    "figure": f"{cpu:.3f} x CPU, {wall:.3f} x wall",
                    "target": "<= 1.15 x",
                    "how": f"median of {rounds} interleaved rounds of {steps} steps against a bare torch "
                    f"loop of the same network on a constant batch ({step:.2f} CPU s a step, fp32, one "
                    "compute thread); the U-Net of the demo; patches from a compressed zarr",
                }
            )
    torch.set_num_threads(threads)
    return rows


if __name__ == "__main__":
    from benchmarks.__main__ import print_alone

    print_alone(measure, __doc__)
