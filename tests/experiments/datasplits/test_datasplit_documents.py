"""Every config of arrays, datasets and datasplits survives being stored."""

from __future__ import annotations

import json
import subprocess
import sys

import attrs
import pytest
from funlib.geometry import Coordinate, Roi

from dacapo import documents, registry
from dacapo.config import UnknownConfig, build
from dacapo.errors import MissingPlugin
from dacapo.experiments import datasplits
from dacapo.experiments.arraytypes import (
    AnnotationArray,
    BinaryArray,
    DistanceArray,
    EmbeddingArray,
    IntensitiesArray,
    Mask,
    ProbabilityArray,
)
from dacapo.experiments.datasplits import datasets
from dacapo.experiments.datasplits.datasets import arrays as a

ZARR = a.ZarrArrayConfig(
    "zarr",
    file_name="a.zarr",
    dataset="raw",
    snap_to_grid=(4, 4, 4),
    axes=["z", "y", "x"],
    mode="r",
    ome_metadata=True,
    unit="nm",
)
FILE = {
    "file_name": "a",
    "voxel_size": (4, 4),
    "offset": (0, 8),
    "axis_names": ["y", "x"],
    "units": ["nm", "nm"],
}
ARRAYS = [
    ZARR,
    a.TiffArrayConfig("tiff", **FILE),
    a.NumpyArrayConfig("numpy", **FILE),
    a.DummyArrayConfig("dummy"),
    a.ConstantArrayConfig("constant", source_array_config=ZARR, constant=0.5),
    a.OnesArrayConfig("ones", source_array_config=ZARR),
    a.BinarizeArrayConfig(
        "binary", source_array_config=ZARR, groupings=[("a", [1, 2]), ("b", [])], background=3
    ),
    a.IntensitiesArrayConfig("intensities", source_array_config=ZARR, min=0, max=255),
    a.CropArrayConfig("crop", source_array_config=ZARR, roi=Roi((None, 4), (None, 8))),
    a.ConcatArrayConfig("concat", channels=["a", "b"], source_array_configs={"b": ZARR}, default_config=ZARR),
    a.LogicalOrArrayConfig("or", source_array_config=ZARR),
    a.SumArrayConfig("sum", source_array_configs=[ZARR, ZARR]),
    a.ResampledArrayConfig("resampled", ZARR, (1, 2), (2, 1), False),
]
DATASETS = [
    datasets.RawGTDatasetConfig(
        "raw gt",
        weight=2,
        raw_config=ZARR,
        gt_config=ARRAYS[6],
        mask_config=ARRAYS[5],
        sample_points=[(1, 2, 3)],
    ),
    datasets.RawGTDatasetConfig("bare"),
    datasets.SimpleDatasetConfig("simple", "a.zarr", 3, "em", "mito", "known"),
    datasets.DummyDatasetConfig("dummy"),
]
SPLITS = [
    datasplits.TrainValidateDataSplitConfig("split", train_configs=DATASETS, validate_configs=DATASETS[:1]),
    datasplits.SimpleDataSplitConfig("a.zarr", "simple", "fit", "held out", "em", "mito", "known"),
    datasplits.DummyDataSplitConfig("dummy"),
]
KINDS = {
    "arrays": (ARRAYS, a.ArrayConfig),
    "datasets": (DATASETS, datasets.DatasetConfig),
    "datasplits": (SPLITS, datasplits.DataSplitConfig),
}


@pytest.mark.parametrize(
    ("config", "kind"),
    [(c, k) for k, (cs, _) in KINDS.items() for c in cs],
    ids=lambda v: getattr(v, "name", v),
)
def test_configs_come_back_equal_from_their_documents(config, kind):
    document = json.loads(json.dumps(documents.write(config)))
    read = documents.read(document, KINDS[kind][1])
    assert read == config and type(read) is type(config)
    assert documents.write(read) == documents.write(config)


def test_every_offered_type_is_tried():
    for kind, (configs, _) in KINDS.items():
        offered = {registry.registry.load(kind, name) for name in registry.registry.names(kind)}
        ours = {cls for cls in offered if cls.__module__.startswith("dacapo.experiments.")}
        assert ours == {type(config) for config in configs}


def test_every_type_names_a_component_that_exists_and_explains_its_fields():
    for configs, _ in KINDS.values():
        for config in configs:
            assert callable(getattr(type(config), type(config).builds))
            assert all(f.metadata["help_text"] for f in attrs.fields(type(config)))


def test_documents_of_existing_dacapo_are_read():
    document = {
        "__type__": "ZarrArrayConfig", "name": "z", "file_name": "a.zarr", "dataset": "raw",
        "snap_to_grid": None, "_axes": ["z", "y", "x"], "mode": "a", "ome_metadata": False,
    }  # fmt: skip
    assert documents.read(document, a.ArrayConfig).axes == ["z", "y", "x"]
    simple = {"__type__": "SimpleDataset", "name": "s", "path": "a.zarr", "weight": 1}
    assert type(documents.read(simple, datasets.DatasetConfig)) is datasets.SimpleDatasetConfig
    down = {"__type__": "ResampledArrayConfig", "name": "r", "source_array_config": document,
            "upsample": [2, 2, 2], "downsample": [0, 0, 0], "interp_order": True}  # fmt: skip
    assert documents.read(down, a.ArrayConfig).upsample == Coordinate(2, 2, 2)


def test_arrays_of_absent_plugins_say_so_when_they_are_opened():
    document = {
        "__type__": "LogicalOrArrayConfig",
        "name": "o",
        "source_array_config": {"__type__": "acme.Array"},
    }
    config = documents.read(document, a.ArrayConfig)
    assert isinstance(config.source_array_config, UnknownConfig)
    with pytest.raises(MissingPlugin):
        config.array()
    with pytest.raises(MissingPlugin):
        build(datasets.RawGTDatasetConfig("d", raw_config=config.source_array_config)).raw[0]
    found, why = config.verify()
    assert not found and "acme.Array" in why


def test_configs_and_abstract_classes_are_light():
    code = (
        "import sys, dacapo.experiments.datasplits, dacapo.experiments.arraytypes\n"
        "heavy = {'torch', 'zarr', 'tensorstore', 'scipy', 'numba', 'tifffile'} & set(sys.modules)\n"
        "print(*heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_labels_are_not_interpolatable():
    assert not any(t.interpolatable for t in (AnnotationArray, BinaryArray, Mask))
    assert all(t.interpolatable for t in (IntensitiesArray, DistanceArray, EmbeddingArray, ProbabilityArray))
    assert AnnotationArray(["a", "b"]).classes == {0: "a", 1: "b"} and EmbeddingArray(3).embedding_dims == 3
    assert IntensitiesArray({0: "em"}, 0, 1) == IntensitiesArray(["em"], 0, 1)
