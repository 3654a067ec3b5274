"""Every task on real serial sections: mitochondria by the semantic ones, cells by affinities.

    python -m benchmarks.vnc_tasks FOLDER [--minutes 5] [--task TASK] [--write]

FOLDER holds raw.tif, mitochondria.tif and membranes.tif (16 sections of 1024 x 1024).  Network and patches
are those of ``benchmarks.vnc``.  Sections 0-11 are trained on, 12 and 13 say which iteration and parameters
to take, and 14 and 15 give the figures.  Cells are what membranes enclose in a section, at half its
resolution.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import tifffile
from funlib.geometry import Coordinate, Roi

from benchmarks import vnc
from benchmarks.timed_training import Trained, measure_each, options_parser, train
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    CropArrayConfig,
    ResampledArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    OneHotTaskConfig,
    TaskConfig,
)

SECTIONS = {"train": (0, 11), "choose": (12, 13), "score": (14, 15)}
HALF = Coordinate(1, 2, 2)
DISTANCES: dict[str, Any] = {
    "channels": ["mito"], "scale_factor": 500, "clip_distance": 2000, "tol_distance": 500,
    "mask_distances": False, "clipmin": 0.2, "clipmax": 0.8,
}  # fmt: skip
NEIGHBORS = [Coordinate(0, *at) for at in ((1, 0), (0, 1), (7, 0), (0, 7), (7, 7), (7, -7), (21, 0), (0, 21))]


def write_cells(folder: Path, container: Path) -> None:
    """Number what membranes enclose, each section by itself."""
    walls = tifffile.imread(folder / "membranes.tif")[:, ::2, ::2] > 0
    ids = np.zeros(walls.shape, np.uint32)
    for section, wall in enumerate(walls):
        parts = cc3d.dust(cc3d.connected_components(~wall, connectivity=4), threshold=100, connectivity=4)
        ids[section] = np.where(parts > 0, parts + 10_000 * section, 0)
    array = create_zarr(container, "cells", ids.shape, ids.dtype, voxel_size=vnc.VOXEL_SIZE * HALF)
    array[array.roi] = ids


def cells(folder: Path, container: Path, name: str) -> RawGTDatasetConfig:
    """Return sections with ids of cells."""
    first, last = SECTIONS[name]
    roi = Roi((first, 0, 0), (last - first + 1, 1024, 1024)) * vnc.VOXEL_SIZE
    image = ResampledArrayConfig("half_image", source_array_config=vnc.image(folder), downsample=HALF)
    ids = ZarrArrayConfig("cells", file_name=container, dataset="cells")
    return RawGTDatasetConfig(
        name,
        raw_config=CropArrayConfig(f"{name}_image", source_array_config=image, roi=roi),
        gt_config=CropArrayConfig(f"{name}_cells", source_array_config=ids, roi=roi),
    )


def mitochondria(folder: Path, name: str, task: TaskConfig) -> RawGTDatasetConfig:
    """Return sections with mitochondria; as class ids where the task wants these."""
    made = vnc.dataset(folder, name, *SECTIONS[name])
    if not isinstance(task, OneHotTaskConfig):
        return made
    ids = ResampledArrayConfig(
        "ids",
        source_array_config=vnc.tiff(folder, "mitochondria"),
        downsample=vnc.COARSER,
        interp_order=False,
    )
    return made.replace(gt_config=made.gt_config.replace(source_array_config=ids))


def run_config(folder: Path, container: Path, task: TaskConfig) -> RunConfig:
    """Return the run of ``benchmarks.vnc`` with another task."""
    base = vnc.run_config(folder)
    if isinstance(task, AffinitiesTaskConfig):
        sets = {name: cells(folder, container, name) for name in SECTIONS}
        base = base.replace(
            trainer_config=base.trainer_config.replace(gt_min_reject=None, learning_rate=3e-3)
        )
    else:
        sets = {name: mitochondria(folder, name, task) for name in SECTIONS}
    split = TrainValidateDataSplitConfig(
        "sections", train_configs=[sets["train"]], validate_configs=[sets["choose"], sets["score"]]
    )
    return base.replace(name=task.name, task_config=task, datasplit_config=split, validation_interval=100)


def tasks() -> list[TaskConfig]:
    """Return a config of every task."""
    return [
        vnc.run_config(Path()).task_config.replace(name="distances"),
        HotDistanceTaskConfig("hot distances", **DISTANCES),
        InnerDistanceTaskConfig("inner distances", **DISTANCES),
        OneHotTaskConfig("one-hot", classes=["none", "mito"], clipmin=0.2, clipmax=0.8),
        AffinitiesTaskConfig("cells by affinities", neighborhood=NEIGHBORS, min_size=100),
    ]


def row(trained: Trained, minutes: float) -> dict[str, str]:
    """Return what the choice made on two sections scores on two others."""
    of_instances = "f1_score" in trained.scores.criteria
    by, told = (
        ("f1_score", ["f1_score", "adapted_rand_error", "voi"])
        if of_instances
        else ("mito__dice", ["mito__dice", "mito__jaccard", "mito__voi"])
    )
    choice = trained.chosen("choose", by)
    values = [
        f"{name.removeprefix('mito__')} {trained.value('score', name, choice):.3f}"
        for name in told
        if name in trained.scores.criteria
    ]
    return {
        "bar": f"VNC {'' if of_instances else 'mitochondria by '}{trained.run.name}, sections 14 and 15",
        "figure": f"{', '.join(values)} (iteration {choice.iteration}, {choice.parameters})",
        "target": "",
        "how": f"{trained.iterations} iterations, {minutes:g} minutes with validations, "
        f"{os.cpu_count()} cores",
    }


def main() -> None:
    """Train every task, or those named, and print a row of each as it ends."""
    from benchmarks.__main__ import write

    parser = options_parser(__doc__, minutes=5)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_cells(options.folder, scratch / "cells.zarr")

        def measure(task: TaskConfig) -> dict[str, str]:
            config = run_config(options.folder.absolute(), scratch / "cells.zarr", task)
            return row(train(config, scratch / "runs", options.minutes), options.minutes)

        rows = measure_each(tasks(), options.task, measure)
    if options.write:
        write("vnc_tasks", rows)


if __name__ == "__main__":
    main()
