"""What the demo trains: mitochondria in a made-up volume, with a small 3D U-Net."""

from __future__ import annotations

from pathlib import Path

from funlib.geometry import Coordinate, Roi

from dacapo.experiments.architectures.configs import CNNectomeUNetConfig
from dacapo.experiments.datasplits.configs import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets.arrays.configs import (
    BinarizeArrayConfig,
    CropArrayConfig,
    IntensitiesArrayConfig,
    ZarrArrayConfig,
)
from dacapo.experiments.datasplits.datasets.configs import RawGTDatasetConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks.configs import DistanceTaskConfig
from dacapo.experiments.trainers.configs import (
    ElasticAugmentConfig,
    IntensityAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)

NAME, CHANNEL, HELD_OUT = "demo", "mito", "held out"
SEED = 3
ITERATIONS = 400
VOXEL_SIZE = Coordinate(16, 16, 16)  # nanometres
SHAPE = Coordinate(96, 192, 320)  # voxels
TRAINING = Roi((0, 0, 0), (96, 192, 192))
VALIDATION = Roi((16, 32, 192), (64, 128, 128))
PATCH = Coordinate(40, 40, 40)


def run_config(volume: Path) -> RunConfig:
    """Return the run of the demo, on the container that ``demo.write_volume`` wrote."""
    return RunConfig(
        name=NAME,
        repetition=0,
        task_config=DistanceTaskConfig(
            "mitochondria",
            channels=[CHANNEL],
            scale_factor=5 * VOXEL_SIZE[0],
            clip_distance=5 * VOXEL_SIZE[0],
            tol_distance=2 * VOXEL_SIZE[0],
            clipmin=0.3,
            clipmax=0.7,
            thresholds=[-0.4, -0.2, 0.0, 0.1, 0.2, 0.4, 0.6],
        ),
        architecture_config=CNNectomeUNetConfig(
            "small_unet",
            input_shape=PATCH,
            # Predicting takes the whole held-out region in one tile, without seams.
            eval_shape_increase=VALIDATION.shape - PATCH,
            fmaps_in=1,
            fmaps_out=12,
            num_fmaps=12,
            fmap_inc_factor=2,
            downsample_factors=[(2, 2, 2), (2, 2, 2)],
            kernel_size_down=[[(3, 3, 3)], [(3, 3, 3)] * 2, [(3, 3, 3)] * 2],
            kernel_size_up=[[(3, 3, 3)], [(3, 3, 3)] * 2],
            padding="same",
            batch_norm=True,
        ),
        trainer_config=PatchTrainerConfig(
            "patches",
            batch_size=2,
            learning_rate=5e-3,
            warmup_iterations=5,
            decay_until=ITERATIONS,
            # Mitochondria fill a fifteenth of the volume: mostly look where there are some.
            gt_min_reject=0.02,
            reject_probability=0.6,
            augments=[
                SimpleAugmentConfig(),
                ElasticAugmentConfig(
                    control_point_spacing=[24, 24, 24],
                    control_point_displacement_sigma=[1.5 * size for size in VOXEL_SIZE],
                    rotation_interval=(0.0, 1.57),
                    augmentation_probability=0.5,
                ),
                IntensityAugmentConfig(scale=(0.8, 1.2), shift=(-0.12, 0.12)),
            ],
        ),
        datasplit_config=TrainValidateDataSplitConfig(
            "made_up_tissue",
            train_configs=[_dataset("train", volume, TRAINING)],
            validate_configs=[_dataset(HELD_OUT, volume, VALIDATION)],
        ),
        num_iterations=ITERATIONS,
        validation_interval=50,
    )


def _dataset(name: str, volume: Path, region: Roi) -> RawGTDatasetConfig:
    """Return a region of the volume; the image goes on beyond it, the ground truth does not."""
    raw = ZarrArrayConfig("raw", file_name=volume, dataset="raw", mode="r")
    labels = ZarrArrayConfig("labels", file_name=volume, dataset="labels", mode="r")
    mitochondria = BinarizeArrayConfig("mitochondria", source_array_config=labels, groupings=[(CHANNEL, [1])])
    return RawGTDatasetConfig(
        name,
        raw_config=IntensitiesArrayConfig("image", source_array_config=raw, min=0, max=255),
        gt_config=CropArrayConfig(
            f"truth of {name}", source_array_config=mitochondria, roi=region * VOXEL_SIZE
        ),
    )
