"""How much a validation of affinities costs over the bare forward passes, five parameter sets included.

python -m benchmarks.validation [--quick]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mwatershed import agglom
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from benchmarks.__main__ import table
from benchmarks.prediction import CPU, VOXEL, bare, plain, timed
from dacapo.config import build
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.bf16 import computes_bf16
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import IntensitiesArrayConfig, ZarrArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.model import Model
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import AffinitiesTaskConfig
from dacapo.experiments.tasks.post_processors.mutex_watershed import Edges
from dacapo.experiments.trainers import PatchTrainerConfig
from dacapo.predict_local import WORTH_A_CHECK, plan
from dacapo.store.create_store import create_array_store, create_config_store
from dacapo.train import train_run
from dacapo.validate import validate_run

SIDE, MARGIN = 128, 20
OFFSETS = [tuple(-length * (axis == one) for axis in range(3)) for length in (1, 3, 9) for one in range(3)]


def cells(folder: Path) -> Path:
    """Write an image of membranes between 300 cells, with a margin, and their ids."""
    random, full = np.random.default_rng(0), SIDE + 2 * MARGIN
    grid = np.stack(np.indices((full,) * 3), -1).reshape(-1, 3)
    away, labels = cKDTree(random.random((300, 3)) * full).query(grid, k=2)
    ids = (labels[:, 0] + 1).reshape((full,) * 3).astype(np.uint32)
    membrane = gaussian_filter((np.diff(away)[:, 0] < 3).reshape(ids.shape).astype(np.float32), 1)
    raw = np.clip(200 - 140 * membrane + random.normal(0, 20, ids.shape), 0, 255).astype(np.uint8)
    inside = (slice(MARGIN, -MARGIN),) * 3
    for name, data, offset in (("raw", raw, 0), ("ids", ids[inside], MARGIN * 8)):
        array = create_zarr(folder / "cells.zarr", name, data.shape, data.dtype, VOXEL, (offset,) * 3)
        array[array.roi] = data
    return folder / "cells.zarr"


def unet(increase: int) -> CNNectomeUNetConfig:
    """Return a U-Net of three levels, the first of 12 feature maps."""
    return CNNectomeUNetConfig(
        "unet", input_shape=(84, 84, 84), fmaps_in=1, fmaps_out=12, num_fmaps=12, fmap_inc_factor=increase,
        downsample_factors=[(2, 2, 2), (2, 2, 2)],
    )  # fmt: skip


def run_on(container: Path, iterations: int) -> Run:
    """Return a run of 9 affinities, stored."""
    raw, ids = (ZarrArrayConfig(name, file_name=container, dataset=name) for name in ("raw", "ids"))
    image = IntensitiesArrayConfig("image", source_array_config=raw, min=0, max=255)
    data = [RawGTDatasetConfig("cells", raw_config=image, gt_config=ids)]
    config = RunConfig(
        AffinitiesTaskConfig("nine", neighborhood=OFFSETS),
        unet(3),
        PatchTrainerConfig("patches", batch_size=1, learning_rate=1e-3, warmup_iterations=1),
        TrainValidateDataSplitConfig("split", train_configs=data, validate_configs=data),
        "validated", 0, iterations, iterations,
    )  # fmt: skip
    create_config_store().store_run_config(config)
    return Run(config)


def affinities(run: Run) -> np.ndarray:
    """Return what the last validation predicted."""
    where = create_array_store().validation_prediction_array(
        run.key, run.train_until, run.datasplit.validate[0]
    )
    data: np.ndarray = open_zarr(where.container, where.dataset).data
    return data


def part(run: Run, given: np.ndarray) -> None:
    """Part affinities with every bias."""
    edges = Edges.of(given, OFFSETS)
    for parameters in run.task.parameters:
        edges.parted(parameters.bias)


def part_by_mwatershed(run: Run, given: np.ndarray) -> None:
    """Do the same by mwatershed, one bias after the other."""
    for parameters in run.task.parameters:
        agglom(given.astype(np.float64) - parameters.bias, offsets=[list(offset) for offset in OFFSETS])


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    before = os.environ.get("DACAPO_RUNS_BASE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DACAPO_RUNS_BASE_DIR"] = str(Path(folder) / "runs")
        try:
            return _measure(Path(folder), quick)
        finally:
            os.environ.pop("DACAPO_RUNS_BASE_DIR")
            if before is not None:
                os.environ["DACAPO_RUNS_BASE_DIR"] = before


def _measure(folder: Path, quick: bool) -> list[dict[str, str]]:
    run = run_on(cells(folder), iterations=20 if quick else 250)
    train_run(run, do_validate=False, save_snapshots=False, device="cpu")
    tiling = plan(run.model, run.datasplit.validate[0].raw, run.datasplit.validate[0].gt.roi, CPU)
    shape, tiles = tiling[0].read.shape / VOXEL, len(tiling)
    dtype = torch.bfloat16 if tiles >= WORTH_A_CHECK and computes_bf16(CPU) else None
    validate_run(run, run.train_until, device="cpu")  # compiles
    spent = []
    for _ in range(1 if quick else 3):
        ways: list[Callable[[], object]] = [
            lambda: validate_run(run, run.train_until, device="cpu"),
            lambda: part(run, affinities(run)),
        ]
        forward = bare(run.model, shape, tiles, dtype)[1], plain(run.model, shape, tiles)[1]
        spent.append((*forward, *(timed(way)[1] for way in ways)))
    ours, torchs, whole, parting = (min(column) for column in zip(*spent, strict=True))
    given = affinities(run)
    theirs = timed(lambda: part_by_mwatershed(run, given))[1]
    usual = Model(build(unet(5)), torch.nn.Conv3d(12, len(OFFSETS), 1))
    large = plain(usual, shape, tiles)[1]
    beside = whole - (torchs if dtype is None else ours)  # all but the forward passes
    f1 = run.validation_scores.best("cells", "f1_score")
    return [
        {
            "bar": "validation of 9 affinities, 128^3, 5 parameter sets",
            "figure": f"{1 + beside / large:.2f} x",
            "target": "<= 2 x",
            "how": f"CPU time over the bare forward passes ({large:.1f} s, plain torch, float32) of a "
            f"U-Net of 12, 60 and 300 maps; all else, {beside:.1f} s, measured with a smaller one that was "
            f"trained (best F1 {f1.value if f1 else 0:.2f}); with mwatershed "
            f"{1 + (beside - parting + theirs) / large:.2f} x",
        },
        {
            "bar": "the same over the passes of the smaller one",
            "figure": f"{whole:.1f} s, {whole / torchs:.2f} x",
            "target": "-",
            "how": f"12, 36 and 108 maps, {tiles} passes of plain torch in float32 ({torchs:.1f} s); with "
            f"mwatershed {(whole - parting + theirs) / torchs:.2f} x",
        },
        {
            "bar": "its five mutex watersheds",
            "figure": f"{parting:.1f} s, {parting / theirs:.2f} x",
            "target": "< 1 x",
            "how": f"CPU time against mwatershed on the same affinities ({theirs:.1f} s)",
        },
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less training, one round")
    print(table(measure(parser.parse_args().quick)))


if __name__ == "__main__":
    main()
