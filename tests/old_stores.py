"""Stores as earlier versions of DaCapo wrote them, in databases and in files, made by hand.

``seed`` is the state of January 2025, ``0.3.5`` the release before it; their documents are alike,
their checkpoints differ in the names of tensors.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any
from unittest import mock

import pymongo
import torch
import yaml

from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.testing.tiny import tiny_volume as volume
from mongo_places import MongoPlace
from old_networks import OldModel, trained

ERAS = ("seed", "0.3.5")
KINDS = ("runs", "tasks", "datasplits", "arrays", "architectures", "trainers")
CRITERIA = 21
NAME = "old run"

Document = dict[str, Any]


def array_document(name: str, container: Path, dataset: str) -> Document:
    return {
        "__type__": "ZarrArrayConfig", "name": name, "file_name": str(container), "dataset": dataset,
        "snap_to_grid": None, "_axes": None, "mode": "a", "ome_metadata": False,
    }  # fmt: skip


def dataset_document(name: str, container: Path) -> Document:
    return {
        "__type__": "RawGTDatasetConfig",
        "name": name,
        "weight": 1,
        "raw_config": {
            "__type__": "IntensitiesArrayConfig",
            "name": f"{name}_raw",
            "source_array_config": array_document(f"{name}_raw_uint8", container, "raw"),
            "min": 0.0,
            "max": 255.0,
        },
        "gt_config": {
            "__type__": "BinarizeArrayConfig",
            "name": f"{name}_gt",
            "source_array_config": array_document(f"{name}_ids", container, "labels"),
            "groupings": [("ball", [1])],
            "background": 0,
        },
        "mask_config": None,
        "sample_points": [(80, 80, 80)],
    }


def run_document(folder: Path, name: str = NAME, repetition: int = 0) -> Document:
    """Return a run that can be trained; its tuples are arrays in Mongo, and tagged in YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    containers = [folder / "train.zarr", folder / "validate.zarr"]
    for seed, container in enumerate(containers):
        if not container.exists():
            volume(container, seed)
    return {
        "task_config": {
            "__type__": "DistanceTaskConfig", "name": "balls", "channels": ["ball"], "clip_distance": 40.0,
            "tol_distance": 8.0, "scale_factor": 16.0, "mask_distances": True, "clipmin": 0.05,
            "clipmax": 0.95,
        },
        "architecture_config": {
            "__type__": "CNNectomeUNetConfig", "name": "small", "_input_shape": (24, 24, 24), "fmaps_out": 4,
            "fmaps_in": 1, "num_fmaps": 4, "fmap_inc_factor": 2, "downsample_factors": [(2, 2, 2)],
            "kernel_size_down": None, "kernel_size_up": [[(3, 3, 3), (3, 3, 3)]],
            "_eval_shape_increase": (8, 8, 8), "upsample_factors": None, "constant_upsample": True,
            "padding": "same", "use_attention": False, "batch_norm": False,
        },
        "trainer_config": {
            "__type__": "GunpowderTrainerConfig", "name": "patches", "batch_size": 1, "learning_rate": 0.01,
            "num_data_fetchers": 1, "augments": [
                {"__type__": "SimpleAugmentConfig", "augmentation_probability": 1.0},
                {"__type__": "IntensityAugmentConfig", "scale": (0.8, 1.2), "shift": (-0.1, 0.1),
                 "clip": True, "augmentation_probability": 1.0},
            ], "snapshot_interval": None, "min_masked": 0.15, "clip_raw": False, "gt_min_reject": None,
        },
        "datasplit_config": {
            "__type__": "TrainValidateDataSplitConfig",
            "name": "volumes",
            "train_configs": [dataset_document("train", containers[0])],
            "validate_configs": [dataset_document("validate", containers[1])],
        },
        "name": name, "repetition": repetition, "num_iterations": 8, "validation_interval": 4,
        "start_config": None,
    }  # fmt: skip


def parts_of(run: Document) -> dict[str, Document]:
    """Return the configs of a run as those of their kinds."""
    source = run["datasplit_config"]["train_configs"][0]["raw_config"]
    kinds = {
        kind: run[f"{kind[:-1]}_config"] for kind in ("tasks", "architectures", "trainers", "datasplits")
    }
    return {"runs": run, "arrays": source, **kinds}


def stats_of(name: str, until: int) -> list[Document]:
    return [{"iteration": i, "loss": 1 / (i + 1), "time": 0.5 + i, "run_name": name} for i in range(until)]


def scores_of(name: str, *iterations: int) -> list[Document]:
    """Return scores of one dataset and one parameter set, every value its own."""
    return [
        {
            "iteration": i,
            "scores": [[[float("nan")] + [i + criterion / 100 for criterion in range(1, CRITERIA)]]],
            "run_name": name,
        }
        for i in iterations
    ]


class OldWeights:
    """What the class ``dacapo.store.weights_store.Weights`` was: an object with two attributes."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer


OldWeights.__module__, OldWeights.__qualname__, OldWeights.__name__ = (
    "dacapo.store.weights_store", "Weights", "Weights",
)  # fmt: skip


def write_checkpoint(
    root: Path, config: RunConfig, iteration: int, era: str = "seed", name: str = NAME
) -> tuple[OldModel, torch.optim.Optimizer]:
    """Write what an earlier version kept of an iteration; return the model and the optimizer that it had."""
    architecture = config.architecture_config
    assert isinstance(architecture, CNNectomeUNetConfig)
    model = trained(architecture, Run(config).model.num_out_channels, era, iteration)
    optimizer = torch.optim.RAdam(model.parameters(), lr=0.01, decoupled_weight_decay=True)
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number)
    optimizer.step()
    path = root / name / "checkpoints" / "iterations" / str(iteration)
    path.parent.mkdir(parents=True, exist_ok=True)
    old = OldWeights(model.state_dict(), optimizer.state_dict())
    with mock.patch("dacapo.store.weights_store.Weights", OldWeights):
        torch.save(old, path)
    return model, optimizer


def write_best(root: Path, dataset: str, criterion: str, iteration: int, name: str = NAME) -> None:
    folder = root / name / "checkpoints"
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    (folder / dataset / criterion).symlink_to(folder / "iterations" / str(iteration))
    (folder / dataset / f"{criterion}.json").write_text(json.dumps({"iteration": iteration}))


class OldFileStore:
    """A folder, with the subfolders that the stores of earlier versions made when they were opened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in ("users", *KINDS):
            (root / "configs" / kind).mkdir(parents=True, exist_ok=True)
        for kind in ("training_stats", "validation_scores"):
            (root / "stats" / kind).mkdir(parents=True, exist_ok=True)

    def config(self, kind: str, document: Document) -> None:
        text = yaml.dump(document)
        (self.root / "configs" / kind / f"{document['name']}.yaml").write_text(text)

    def stats(self, name: str, documents: list[Document]) -> None:
        (self.root / "stats" / "training_stats" / name).write_bytes(pickle.dumps(documents))

    def scores(self, name: str, documents: list[Document]) -> None:
        (self.root / "stats" / "validation_scores" / name).write_bytes(pickle.dumps(documents))


class OldMongoStore:
    """A database, with the indexes that the stores of earlier versions made when they were opened."""

    def __init__(self, place: MongoPlace) -> None:
        self.client: pymongo.MongoClient[Document] = pymongo.MongoClient(place.uri)
        self.database = self.client[place.name]
        self.database.users.create_index("username", unique=True, name="username")
        self.database.runs.create_index([("name", 1), ("repetition", 1)], unique=True, name="name_rep")
        for kind in (*KINDS[1:], "datasets"):
            self.database[kind].create_index("name", unique=True, name="name")
        run_it = [("run_name", 1), ("iteration", 1)]
        self.database.training_stats.create_index(run_it, unique=True, name="run_it")
        self.database.validation_scores.create_index([*run_it, ("dataset", 1)], unique=True, name="run_it_ds")

    def config(self, kind: str, document: Document) -> None:
        self.database[kind].insert_one(dict(document))

    def stats(self, name: str, documents: list[Document]) -> None:
        self.database.training_stats.insert_many(map(dict, documents))

    def scores(self, name: str, documents: list[Document]) -> None:
        self.database.validation_scores.insert_many(map(dict, documents))


def fill(
    store: OldFileStore | OldMongoStore, folder: Path, name: str = NAME, repetition: int = 0
) -> Document:
    """Write a run with its parts, the stats of 6 iterations and the scores of one; return its document."""
    run = run_document(folder, name, repetition)
    for kind, document in parts_of(run).items():
        store.config(kind, document)
    store.stats(name, stats_of(name, 6))
    store.scores(name, scores_of(name, 4))
    return run
