"""Every type of our own passes the checks that plugins pass, and excuses are strict."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
import torch

from dacapo.config import Config, build
from dacapo.errors import InvalidConfig, InvalidRequest
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import SimpleDataSplitConfig
from dacapo.experiments.datasplits.datasets import SimpleDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    NumpyArrayConfig,
    ResampledArrayConfig,
    TiffArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.starts import CosemStartConfig, FileStartConfig
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    MSELossConfig,
    PretrainedTaskConfig,
)
from dacapo.experiments.tasks.post_processors import (
    ConnectedComponentsPostProcessorParameters,
    SeededWatershedPostProcessorParameters,
)
from dacapo.experiments.trainers import (
    DummyTrainerConfig,
    GunpowderTrainerConfig,
    NoiseAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)
from dacapo.registry import KINDS, registry
from dacapo.store.mongo import MongoBackend
from dacapo.testing import checks, checks_of, conformance, failures
from dacapo.testing.volumes import small_architecture

FOLDER = Path(tempfile.mkdtemp(prefix="dacapo-conformance-"))
atexit.register(shutil.rmtree, FOLDER)
np.save(FOLDER / "ids.npy", np.arange(4**3, dtype=np.uint8).reshape(4, 4, 4))
torch.save({"state_dict": {"chain.1.weight": torch.ones(2)}}, FOLDER / "weights.pt")
tifffile.imwrite(FOLDER / "ids.tif", np.arange(4**3, dtype=np.uint8).reshape(4, 4, 4))
for group in ("train", "test"):
    for dataset in ("raw", "labels"):
        array = create_zarr(FOLDER / "all.zarr", f"{group}/{dataset}", (12, 8, 8), "uint8", (8, 8, 8))
        array[array.roi] = np.random.default_rng(0).integers(0, 255, (12, 8, 8), np.uint8)
DISTANCE = DistanceTaskConfig.example()
torch.save(build(DISTANCE).create_model(small_architecture()).state_dict(), FOLDER / "weights.pt")

GEOMETRY = {"voxel_size": (8, 8, 8), "offset": (8, 0, 16), "axis_names": ["z", "y", "x"], "units": ["nm"] * 3}
IDS = NumpyArrayConfig("ids", file_name=FOLDER / "ids.npy", **GEOMETRY)
BINARY = BinarizeArrayConfig("binary", source_array_config=IDS, groupings=[("a", [1]), ("b", [])])
AUGMENTS = [registry.load("augments", name).example() for name in registry.names("augments")]
DISTANCES = {"channels": ["a"], "clip_distance": 40, "tol_distance": 8, "scale_factor": 16}
OBJECTS = DistanceTaskConfig(
    "objects",
    **DISTANCES,
    thresholds=[0.0, 0.2],
    post_processing=SeededWatershedPostProcessorParameters(0),
    sweep={"seed_threshold": [0.0, 0.5], "smoothing": [0, 4]},
)
# What their examples leave out, and types that need files.
INSTANCES = [
    AffinitiesTaskConfig("with descriptors", neighborhood=[(0, 0, 1), (0, 1, 0), (-1, 0, 0)], lsds=True),
    CNNectomeUNetConfig.example().replace(name="of heads", num_heads=2, use_attention=True),
    AffinitiesTaskConfig("in sections", neighborhood=[(0, 1), (1, 0)], sweep={"fill_holes": [False, True]}),
    PretrainedTaskConfig("pretrained", sub_task_config=DISTANCE, weights=FOLDER / "weights.pt"),
    OBJECTS,
    DistanceTaskConfig(
        "pieces", **DISTANCES, post_processing=ConnectedComponentsPostProcessorParameters(0, min_size=3)
    ),
    HotDistanceTaskConfig("hot objects", **DISTANCES, post_processing=OBJECTS.post_processing),
    InnerDistanceTaskConfig("inner objects", **DISTANCES, post_processing=OBJECTS.post_processing),
    DistanceTaskConfig(
        "tidy", **DISTANCES, sweep={"smoothing": [0, 8], "min_size": [0, 9], "fill_holes": [True]}
    ),
    PatchTrainerConfig("patches", batch_size=2, learning_rate=1e-4, augments=AUGMENTS, warmup_iterations=3),
    GunpowderTrainerConfig("gunpowder", batch_size=2, num_data_fetchers=3, augments=AUGMENTS),
    DummyTrainerConfig("dummy", batch_size=2, mirror_augment=True),
    SimpleAugmentConfig(mirror_axes=[0], transpose_axes=[1, 2]),
    NoiseAugmentConfig(kwargs={"mode": "poisson"}),
    SimpleDataSplitConfig(FOLDER / "all.zarr", name="simple"),
    SimpleDatasetConfig("simple", path=FOLDER / "all.zarr" / "train"),
    FileStartConfig(FOLDER / "weights.pt", channels=["a"]),
    IDS,
    BINARY,
    ResampledArrayConfig("larger", BINARY, upsample=(2, 2, 2), interp_order=False),
    TiffArrayConfig("tiff", file_name=FOLDER / "ids.tif", **GEOMETRY),
    ZarrArrayConfig("zarr", file_name=FOLDER / "all.zarr", dataset="train/raw"),
]
OFFERED = {registry.load(kind, name) for kind, name in registry.offers if "." not in name}
# A server is needed for these: tests/store/test_mongo.py and experiments/starts/test_cosem.py run the checks.
OTHERS = {type(config) for config in INSTANCES} | {CosemStartConfig, MongoBackend}
ALSO = (AffinitiesTaskConfig, CNNectomeUNetConfig, PatchTrainerConfig, SimpleAugmentConfig)
TYPES = sorted(
    (one for one in OFFERED if one not in OTHERS or one in ALSO),
    key=lambda one: getattr(one, "__name__", None) or one.name,
)

test_conformance = conformance([*TYPES, *INSTANCES])


def test_types_of_every_kind_are_checked():
    kinds = {kind for kind, name in registry.offers if "." not in name}
    assert kinds == set(KINDS)
    for kind in kinds:
        types = [registry.load(kind, name) for name in registry.names(kind)]
        assert any(len(checks_of(one)) > 1 for one in types), kind


def test_every_check_says_what_it_demands():
    for name, function in checks.items():
        assert (function.__doc__ or "").strip(), name


def test_a_type_without_an_example_fails_only_the_check_for_it():
    found = list(failures(ZarrArrayConfig))
    assert [name for name, _ in found] == ["has_an_example"]
    assert "file_name, dataset should be given" in str(found[0][1])
    with pytest.raises(InvalidConfig, match="ZarrArrayConfig has no example: file_name, dataset"):
        ZarrArrayConfig.example()


def test_an_example_is_made_of_defaults():
    assert NoiseAugmentConfig.example() == NoiseAugmentConfig(name="example")


def test_what_is_excused_has_to_fail():
    config = MSELossConfig()
    assert list(failures(config)) == []
    [(name, error)] = failures(config, {"is_light": "for a reason"})
    assert name == "is_light"
    assert "was excused, and passes" in str(error)


def test_checks_compute_by_one_thread(monkeypatch):
    seen, before = [], torch.get_num_threads()
    monkeypatch.setitem(checks, "is_light", lambda config: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        assert not list(failures(MSELossConfig()))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_excuses_are_for_checks_that_there_are_and_have_reasons():
    with pytest.raises(InvalidRequest, match="no check is_nice"):
        conformance([MSELossConfig], {"is_nice": "why not"})
    with pytest.raises(InvalidRequest, match="no check is_nice"):
        list(failures(MSELossConfig, ["is_nice"]))
    with pytest.raises(InvalidRequest, match="gives no reason"):
        conformance([MSELossConfig], {"is_light": " "})
    with pytest.raises(InvalidRequest, match="applies to none"):
        conformance([MSELossConfig], {"channels_are_named": "it has none"})


def test_checks_are_for_what_can_be_offered():
    with pytest.raises(InvalidRequest, match="nothing that can be checked"):
        checks_of(3)
    assert "a_command_explains_itself" in checks_of(click.Command("x"))
    assert "channels_are_named" in checks_of(DummyTaskConfig)
    assert "channels_are_named" not in checks_of(MSELossConfig())
    assert "has_an_example" not in checks_of(MSELossConfig())
    assert issubclass(DummyTaskConfig, Config)
