"""Every type of our own passes the checks that plugins pass."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from dacapo.experiments.architectures import CNNectomeUNetConfig, DummyArchitectureConfig
from dacapo.experiments.datasplits import (
    DummyDataSplitConfig,
    SimpleDataSplitConfig,
    TrainValidateDataSplitConfig,
)
from dacapo.experiments.datasplits.datasets import DummyDatasetConfig, RawGTDatasetConfig, SimpleDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    ConcatArrayConfig,
    ConstantArrayConfig,
    CropArrayConfig,
    DummyArrayConfig,
    IntensitiesArrayConfig,
    LogicalOrArrayConfig,
    NumpyArrayConfig,
    OnesArrayConfig,
    ResampledArrayConfig,
    SumArrayConfig,
    TiffArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr
from dacapo.experiments.starts import StartConfig
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    CrossEntropyLossConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    MSELossConfig,
    OneHotTaskConfig,
)
from dacapo.experiments.trainers import (
    DummyTrainerConfig,
    ElasticAugmentConfig,
    GammaAugmentConfig,
    GunpowderTrainerConfig,
    IntensityAugmentConfig,
    IntensityScaleShiftAugmentConfig,
    NoiseAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)
from dacapo.testing import conformance

FOLDER = Path(tempfile.mkdtemp(prefix="dacapo-conformance-"))
atexit.register(shutil.rmtree, FOLDER)
np.save(FOLDER / "ids.npy", np.arange(4**3, dtype=np.uint8).reshape(4, 4, 4))
tifffile.imwrite(FOLDER / "ids.tif", np.zeros((4, 4, 4), np.uint8))
for dataset in ("raw", "labels"):
    create_zarr(FOLDER / "train.zarr", dataset, (4, 4, 4), "uint8", (8, 8, 8))

RAW = DummyArrayConfig("raw")
GEOMETRY = {"voxel_size": (8, 8, 8), "offset": (0, 0, 0), "axis_names": ["z", "y", "x"], "units": ["nm"] * 3}
IDS = NumpyArrayConfig("ids", file_name=FOLDER / "ids.npy", **GEOMETRY)
BINARY = BinarizeArrayConfig("binary", source_array_config=IDS, groupings=[("a", [1]), ("b", [])])
DATASET = RawGTDatasetConfig("dataset", raw_config=RAW, gt_config=RAW)
AUGMENTS = [
    SimpleAugmentConfig(),
    ElasticAugmentConfig(
        control_point_spacing=(10, 10, 10),
        control_point_displacement_sigma=(1, 1, 1),
        rotation_interval=(0, 1),
    ),
    IntensityAugmentConfig(scale=(0.9, 1.1), shift=(-0.1, 0.1)),
    GammaAugmentConfig(gamma_range=(0.5, 2)),
    IntensityScaleShiftAugmentConfig(scale=2, shift=-1),
    NoiseAugmentConfig(),
]

test_conformance = conformance(
    [
        DistanceTaskConfig("distance", channels=["a"], clip_distance=10, tol_distance=2),
        OneHotTaskConfig("one hot", classes=["background", "a"]),
        DummyTaskConfig("dummy", embedding_dims=2, detection_threshold=0.5),
        AffinitiesTaskConfig("affinities", neighborhood=[(0, 0, 1), (0, -9, 0)], lsds=True),
        HotDistanceTaskConfig("hot", channels=["a"], clip_distance=10, tol_distance=2),
        InnerDistanceTaskConfig("inner", channels=["a"], clip_distance=10, tol_distance=2),
        CNNectomeUNetConfig(
            "unet",
            input_shape=(92, 92, 92),
            fmaps_in=1,
            fmaps_out=4,
            num_fmaps=4,
            fmap_inc_factor=2,
            downsample_factors=[(2, 2, 2), (2, 2, 2)],
        ),
        DummyArchitectureConfig("dummy", num_in_channels=1, num_out_channels=2),
        PatchTrainerConfig("patches", batch_size=2, learning_rate=1e-4, augments=AUGMENTS),
        GunpowderTrainerConfig(
            "gunpowder", batch_size=2, learning_rate=1e-4, num_data_fetchers=3, augments=AUGMENTS
        ),
        DummyTrainerConfig("dummy", batch_size=1, learning_rate=1e-3, mirror_augment=True),
        *AUGMENTS,
        TrainValidateDataSplitConfig("split", train_configs=[DATASET], validate_configs=[DATASET]),
        DummyDataSplitConfig("dummy"),
        SimpleDataSplitConfig(FOLDER / "train.zarr", name="simple"),
        SimpleDatasetConfig("simple", path=FOLDER / "train.zarr"),
        DATASET,
        DummyDatasetConfig("dummy"),
        RAW,
        IDS,
        BINARY,
        TiffArrayConfig("tiff", file_name=FOLDER / "ids.tif", **GEOMETRY),
        ZarrArrayConfig("zarr", file_name=FOLDER / "train.zarr", dataset="raw"),
        ConcatArrayConfig("concat", channels=["a", "b"], source_array_configs={"a": RAW, "b": RAW}),
        ConstantArrayConfig("constant", source_array_config=RAW, constant=3),
        OnesArrayConfig("ones", source_array_config=RAW),
        CropArrayConfig("crop", source_array_config=RAW, roi=((0, 0, 0), (10, 10, 10))),
        IntensitiesArrayConfig("intensities", source_array_config=RAW, min=0, max=255),
        LogicalOrArrayConfig("either", source_array_config=BINARY),
        SumArrayConfig("sum", source_array_configs=[RAW, RAW]),
        ResampledArrayConfig(
            "resampled", source_array_config=RAW, upsample=(1, 1, 1), downsample=(2, 2, 2), interp_order=True
        ),
        StartConfig("other", "best"),
        MSELossConfig(),
        CrossEntropyLossConfig(),
    ]
)


def test_every_offered_config_is_checked_here():
    text = Path(__file__).read_text()
    from dacapo.registry import registry

    kinds = {
        "tasks",
        "architectures",
        "trainers",
        "augments",
        "datasplits",
        "datasets",
        "arrays",
        "starts",
        "losses",
    }
    missing = [
        name for kind, name in registry.offers if kind in kinds and "." not in name and f"{name}(" not in text
    ]
    assert not set(missing) - {"SimpleDataset"}  # the old name of SimpleDatasetConfig
