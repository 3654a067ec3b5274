"""Mitochondria in real serial sections: how good after so many minutes on this machine.

    python -m benchmarks.vnc FOLDER [--minutes 20] [--results DIR] [--write]

FOLDER holds raw.tif and mitochondria.tif (16 sections of 1024 x 1024, see docs/tutorial_vnc.md),
which are read in place.  Sections 0-11 are trained on, 12-15 validated on.  ``--write`` puts the
figures into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from funlib.geometry import Coordinate, Roi

from benchmarks.timed_training import train
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets import RawGTDatasetConfig
from dacapo.experiments.datasplits.datasets.arrays import (
    BinarizeArrayConfig,
    CropArrayConfig,
    IntensitiesArrayConfig,
    ResampledArrayConfig,
    TiffArrayConfig,
)
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.experiments.trainers import (
    ElasticAugmentConfig,
    IntensityAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
)
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.store.create_store import create_array_store, create_stats_store

VOXEL_SIZE = Coordinate(500, 46, 46)  # tenths of a nanometre, because voxel sizes are whole numbers
COARSER = Coordinate(1, 4, 4)  # the network works on pixels of 18.4 nm: mitochondria are 300 nm wide
BAR = 0.75


def tiff(folder: Path, name: str) -> TiffArrayConfig:
    """Return one of the files."""
    return TiffArrayConfig(
        name, file_name=folder / f"{name}.tif", voxel_size=VOXEL_SIZE, axis_names=["z", "y", "x"]
    )


def image(folder: Path) -> IntensitiesArrayConfig:
    """Return the image, from 0 to 1."""
    return IntensitiesArrayConfig("image", source_array_config=tiff(folder, "raw"), min=0, max=255)


def dataset(folder: Path, name: str, first: int, last: int) -> RawGTDatasetConfig:
    """Return the sections from ``first`` up to and with ``last``."""
    sections = Roi((first, 0, 0), (last - first + 1, 1024, 1024)) * VOXEL_SIZE
    labels = BinarizeArrayConfig(
        "truth", source_array_config=tiff(folder, "mitochondria"), groupings=[("mito", [1])]
    )
    coarse_raw = ResampledArrayConfig("coarse_image", source_array_config=image(folder), downsample=COARSER)
    coarse_labels = ResampledArrayConfig(
        "coarse_truth", source_array_config=labels, downsample=COARSER, interp_order=False
    )
    return RawGTDatasetConfig(
        name,
        raw_config=CropArrayConfig(f"{name}_image", source_array_config=coarse_raw, roi=sections),
        gt_config=CropArrayConfig(f"{name}_truth", source_array_config=coarse_labels, roi=sections),
    )


def run_config(folder: Path) -> RunConfig:
    """Return the run: a 2D U-Net, section by section, for the distance to the nearest membrane."""
    kernels = [[(1, 3, 3), (1, 3, 3)]]
    return RunConfig(
        name="vnc_mitochondria",
        repetition=0,
        task_config=DistanceTaskConfig(
            "mitochondria",
            channels=["mito"],
            scale_factor=500,
            clip_distance=2000,
            tol_distance=500,
            mask_distances=False,
            clipmin=0.2,
            clipmax=0.8,
            thresholds=[-0.4, -0.2, 0.0, 0.2, 0.4, 0.6],
        ),
        architecture_config=CNNectomeUNetConfig(
            "unet_2d",
            input_shape=(1, 128, 128),
            eval_shape_increase=(0, 128, 128),
            fmaps_in=1,
            fmaps_out=16,
            num_fmaps=16,
            fmap_inc_factor=2,
            downsample_factors=[(1, 2, 2)] * 3,
            kernel_size_down=kernels * 4,
            kernel_size_up=kernels * 3,
            padding="same",
            batch_norm=True,
        ),
        trainer_config=PatchTrainerConfig(
            "patches",
            batch_size=4,
            learning_rate=2e-3,
            warmup_iterations=20,
            gt_min_reject=0.01,
            reject_probability=0.75,
            augments=[
                SimpleAugmentConfig(mirror_axes=[1, 2], transpose_axes=[1, 2]),
                ElasticAugmentConfig(
                    control_point_spacing=[1, 32, 32],
                    control_point_displacement_sigma=[0, 180, 180],
                    rotation_interval=(0, 6.28),
                    augmentation_probability=0.7,
                ),
                IntensityAugmentConfig(scale=(0.7, 1.3), shift=(-0.15, 0.15)),
            ],
        ),
        datasplit_config=TrainValidateDataSplitConfig(
            "sections",
            train_configs=[dataset(folder, "sections_0_to_11", 0, 11)],
            validate_configs=[dataset(folder, "sections_12_to_15", 12, 15)],
        ),
        num_iterations=10_000,
        validation_interval=150,
    )


def curve(run: Run, scores: ValidationScores) -> str:
    """Return, for each validation, the minutes of training so far, the loss and the best Dice."""
    stats = create_stats_store().retrieve_training_stats(run)
    seconds, losses = stats.columns["time"].cumsum(), stats.columns["loss"]
    dice = scores.array[:, 0, :, scores.criteria.index("mito__dice")]
    lines = ["| iteration | minutes | loss | Dice | at |", "|---|---|---|---|---|"]
    for iteration, values in zip(scores.iterations, dice, strict=True):
        before = losses[max(0, iteration - 150) : iteration].mean()
        at = scores.parameter_names[int(values.argmax())]
        lines.append(
            f"| {iteration} | {seconds[iteration - 1] / 60:.1f} | {before:.4f} | {values.max():.3f} | {at} |"
        )
    return "\n".join(lines)


def dice_at_full_resolution(run: Run, folder: Path, iteration: int, parameters: object) -> float:
    """Return the Dice of a kept segmentation, each pixel repeated, against the labels as they are."""
    from dacapo.experiments.datasplits.datasets.arrays import ZarrArrayConfig

    where = create_array_store().validation_output_array(
        run, iteration, parameters, run.datasplit.validate[0]
    )
    small = ZarrArrayConfig("segmentation", file_name=where.container, dataset=where.dataset)
    large = ResampledArrayConfig(
        "large", source_array_config=small, upsample=COARSER, interp_order=False
    ).array()
    labels = BinarizeArrayConfig(
        "truth", source_array_config=tiff(folder, "mitochondria"), groupings=[("mito", [1])]
    )
    truth = CropArrayConfig("held_out", source_array_config=labels, roi=large.roi).array()
    return float(run.task.evaluator.evaluate(large, truth).mito__dice)


def measure_in(folder: Path, results: Path, minutes: float) -> tuple[list[dict[str, str]], str]:
    """Return the rows of the benchmark and the curve."""
    trained = train(run_config(folder.absolute()), results, minutes)
    run, scores = trained.run, trained.scores
    name = scores.labels.datasets[0]
    best = trained.chosen(name, "mito__dice")
    full = dice_at_full_resolution(run, folder.absolute(), best.iteration, best.parameters)
    row = {
        "bar": f"VNC mitochondria, {name.replace('_', ' ')}, Dice at the best checkpoint",
        "figure": f"{best.value:.3f} (iteration {best.iteration}, {best.parameters}); "
        f"{full:.3f} against the labels at full resolution",
        "target": f"≥ {BAR}",
        "how": f"{minutes:g} minutes of training and validating on {os.cpu_count()} cores, TIFF in place",
    }
    return [row], curve(run, scores)


def main() -> None:
    """Train for some minutes and print the curve and the figure."""
    from benchmarks.__main__ import table, write

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--results", type=Path, help="where the run is kept; without it, it is not")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows, points = measure_in(options.folder, options.results or Path(scratch), options.minutes)
    print(f"{points}\n\n{table(rows)}")
    if options.write:
        write("vnc", rows, points)


if __name__ == "__main__":
    main()
