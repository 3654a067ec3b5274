"""Every built-in task, in volumes and sections, with one class and several, and tiny runs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import NumpyArrayConfig
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    CrossEntropyDiceLossConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    OneHotTaskConfig,
    PretrainedTaskConfig,
    TaskConfig,
)
from dacapo.experiments.tasks.post_processors import SeededWatershedPostProcessorParameters
from dacapo.experiments.trainers import ElasticAugmentConfig, PatchTrainerConfig, SimpleAugmentConfig
from dacapo.testing import tiny_run
from dacapo.testing.volumes import NDArray, blobs, image_of

VOXEL, SIZE, PATCH = 8, 24, 12
HIDDEN = slice(2, 13)  # what the mask hides, along each axis


class Case(NamedTuple):
    """A task, the number of axes, and of kinds of objects in its ground truth; 0 if that holds ids."""

    task: TaskConfig
    dims: int
    kinds: int = 1


def _distances(config: type, kinds: int, **changes: Any) -> Any:
    names = ["a", "b"][:kinds]
    return config("t", channels=names, clip_distance=80, tol_distance=8, scale_factor=16, **changes)


_NEAR = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
CASES = {
    "distance": Case(_distances(DistanceTaskConfig, 1), 3),
    "distances in 2D": Case(_distances(DistanceTaskConfig, 2), 2, 2),
    "objects by distance": Case(
        _distances(DistanceTaskConfig, 1, post_processing=SeededWatershedPostProcessorParameters(0)), 3, 0
    ),
    "hot distance in 2D": Case(_distances(HotDistanceTaskConfig, 1, kernel_size=3), 2),
    "hot distances": Case(_distances(HotDistanceTaskConfig, 2, mask_distances=True), 3, 2),
    "inner distance in 2D": Case(_distances(InnerDistanceTaskConfig, 1), 2),
    "inner distances": Case(_distances(InnerDistanceTaskConfig, 2), 3, 2),
    "two classes": Case(OneHotTaskConfig("t", classes=["rest", "a"], clip_distance=80, tol_distance=8), 3),
    "three classes in 2D": Case(OneHotTaskConfig("t", classes=["rest", "a", "b"], kernel_size=3), 2, 2),
    "classes by Dice": Case(
        OneHotTaskConfig(
            "t", classes=["rest", "a", "b"], loss_config=CrossEntropyDiceLossConfig(), ignore_label=255
        ),
        3,
        2,
    ),
    "affinities": Case(AffinitiesTaskConfig("t", neighborhood=[*_NEAR, (-4, 0, 0), (0, 3, -3)]), 3, 0),
    "affinities in 2D": Case(AffinitiesTaskConfig("t", neighborhood=[(0, 1), (1, 0), (-4, 2)]), 2, 0),
    "descriptors": Case(AffinitiesTaskConfig("t", neighborhood=_NEAR, lsds=True, num_lsd_voxels=2), 3, 0),
    "descriptors in 2D": Case(
        AffinitiesTaskConfig(
            "t", neighborhood=[(0, -1), (1, 0)], lsds=True, num_lsd_voxels=2, background_as_object=True
        ),
        2,
        0,
    ),
    "pretrained": Case(
        PretrainedTaskConfig(
            "t", sub_task_config=_distances(DistanceTaskConfig, 1), weights=Path("pretrained.pt")
        ),
        3,
    ),
    "dummy": Case(DummyTaskConfig("t", embedding_dims=2, detection_threshold=0.0), 3),
}


def truth_of(case: Case, ids: NDArray) -> NDArray:
    """Return ground truth as the task wants it: ids of objects, ids of classes, or a channel for each."""
    if case.kinds == 0:
        return ids
    classes = np.where(ids > 0, 1 + ids % case.kinds, 0).astype(np.uint8)
    if isinstance(case.task, OneHotTaskConfig):
        return classes
    return np.stack([classes == kind for kind in range(1, case.kinds + 1)]).astype(np.uint8)


def run_of(case: Case, folder: Path, hidden_labels: int | None = None, **changes: Any) -> RunConfig:
    """Return a tiny run of a task; what ``pretrained`` begins with is written where the process is.

    ``changes`` are those of ``tiny_run``.
    With ``hidden_labels`` datasets have a mask, and these are the labels of all that it hides.
    """
    splits = [
        [_dataset(case, folder / f"{name} {hidden_labels}", seed, hidden_labels)]
        for seed, name in enumerate(("train", "validate"))
    ]
    split = TrainValidateDataSplitConfig("volumes", train_configs=splits[0], validate_configs=splits[1])
    parts = {"task": case.task, "architecture": network(case.dims), "trainer": trainer(case.dims)}
    numbers = {"num_iterations": 4, "validation_interval": 2}
    config = tiny_run(folder, datasplit=split, **parts | numbers | changes)
    if isinstance(case.task, PretrainedTaskConfig):
        sub = config.replace(task_config=case.task.sub_task_config, seed=7)
        torch.save(Run(sub).model.state_dict(), case.task.weights)
    return config


def _dataset(case: Case, folder: Path, seed: int, hidden_labels: int | None) -> RawGTDatasetConfig:
    shape = (SIZE if case.dims == 3 else 2 * SIZE,) * case.dims
    ids = blobs(shape, 12, seed, (3, 5))
    # Objects of two kinds differ in brightness, so that they can be told apart.
    dim = 0.5 if case.kinds == 2 else 1
    image = image_of(ids, seed) * np.where(ids % 2 == 1, dim, 1).astype(np.float32)
    truth, mask = truth_of(case, ids), np.ones(shape, np.uint8)
    if hidden_labels is not None:
        mask[(HIDDEN,) * case.dims] = 0
        truth[..., mask == 0] = hidden_labels
    arrays = {"raw": image, "gt": truth} | ({} if hidden_labels is None else {"mask": mask})
    return RawGTDatasetConfig(
        folder.name.split()[0],
        **{
            f"{name}_config": _array(folder / f"{name}.npy", data, case.dims) for name, data in arrays.items()
        },
    )


def _array(path: Path, data: NDArray, dims: int) -> NumpyArrayConfig:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, data)
    axes = ["c^", "z", "y", "x"][-dims:] if data.ndim == dims else ["c^", *["z", "y", "x"][-dims:]]
    return NumpyArrayConfig(path.stem, file_name=path, voxel_size=(VOXEL,) * dims, axis_names=axes)


def network(dims: int) -> CNNectomeUNetConfig:
    shape = (PATCH if dims == 3 else 2 * PATCH,) * dims
    return CNNectomeUNetConfig(
        "small", input_shape=shape, fmaps_in=1, fmaps_out=6, num_fmaps=6, fmap_inc_factor=2,
        downsample_factors=[(2,) * dims], padding="same",
    )  # fmt: skip


def trainer(dims: int) -> PatchTrainerConfig:
    elastic = ElasticAugmentConfig(
        control_point_spacing=[8] * dims,
        control_point_displacement_sigma=[4.0] * dims,
        rotation_interval=(0, 1.5),
    )
    rates = {"learning_rate": 1e-2, "warmup_iterations": 2, "decay_until": 100}
    return PatchTrainerConfig("patches", augments=[SimpleAugmentConfig(), elastic], **rates)
