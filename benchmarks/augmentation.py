"""How long it takes to deform and vary a patch, against scipy on the same coordinates.

python -m benchmarks.augmentation [--quick]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.scores import interleaved
from dacapo.config import build
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.trainers import (
    AugmentConfig,
    Deformation,
    ElasticAugmentConfig,
    Extent,
    GammaAugmentConfig,
    IntensityAugmentConfig,
    NoiseAugmentConfig,
    Patch,
    SimpleAugmentConfig,
)
from dacapo.experiments.trainers.patch_source import Window

NDArray = np.ndarray[Any, Any]
SIDE, VOXEL = 96, Coordinate(8, 8, 8)
PATCH = Roi((0, 0, 0), VOXEL * SIDE)
CENTRE = np.asarray(PATCH.shape) / 2
SIMPLE, ELASTIC = SimpleAugmentConfig(), ElasticAugmentConfig(
    control_point_spacing=(24, 24, 24),
    control_point_displacement_sigma=(16, 16, 16),
    rotation_interval=(0, math.pi / 2),
)  # fmt: skip
BRIGHTNESS: list[AugmentConfig] = [
    IntensityAugmentConfig(scale=(0.8, 1.2), shift=(-0.1, 0.1)),
    GammaAugmentConfig(gamma_range=(0.7, 1.4)),
    NoiseAugmentConfig(kwargs={"mode": "gaussian", "var": 0.001}),
]


def volumes() -> tuple[NumpyArray, NumpyArray]:
    """Return an image of bytes and its labels, large enough for any deformed patch."""
    field = gaussian_filter(np.random.default_rng(0).standard_normal((160,) * 3), 4)
    labels = (field > np.quantile(field, 0.7)).astype(np.uint8)
    image = np.clip(110 + 40 * labels + 300 * field, 0, 255).astype(np.uint8)
    offset = Coordinate((SIDE - 160) // 2 for _ in range(3)) * VOXEL
    return NumpyArray(image, VOXEL, offset), NumpyArray(labels, VOXEL, offset)


def deform(raw: NumpyArray, gt: NumpyArray, deformation: Deformation) -> Patch:
    """Take the patch out of both volumes, along one field."""
    image = Window(raw, PATCH, VOXEL, CENTRE, deformation, interpolate=True).interpolated(raw)
    labels = Window(gt, PATCH, VOXEL, CENTRE, deformation).nearest(gt)
    return Patch(image, labels, None, VOXEL, VOXEL)


def coordinates(deformation: Deformation, raw: NumpyArray) -> NDArray:
    """Return where in the volume each voxel of the patch comes from, in voxels."""
    along = (np.arange(SIDE) + 0.5) * VOXEL[0] - CENTRE[0]
    grid = np.stack(np.meshgrid(along, along, along, indexing="ij"))
    points = np.einsum("ij,jzyx->izyx", deformation.matrix, grid)
    if deformation.control is not None:
        points += deformation.control.evaluate([along] * 3)
    shift = (CENTRE - np.asarray(raw.offset)).reshape(3, 1, 1, 1)
    return np.asarray((points + shift) / VOXEL[0] - 0.5)


def by_scipy(raw: NumpyArray, gt: NumpyArray, points: NDArray) -> tuple[NDArray, NDArray]:
    """Take the same patch with scipy, which is given the coordinates."""
    image = map_coordinates(raw.data, points, np.float32, order=1)
    return image, map_coordinates(gt.data, points, order=0)


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    raw, gt = volumes()
    random = np.random.default_rng(1)
    extent = Extent(PATCH.shape, VOXEL)
    elastic, simple = (build(config).deformation(extent, random) for config in (ELASTIC, SIMPLE))
    points = coordinates(elastic, raw)
    brightness = [build(config) for config in BRIGHTNESS]

    def everything() -> None:
        patch = deform(raw, gt, simple.then(elastic))
        patch.raw /= 255
        for augment in brightness:
            augment.change(patch, random)

    image, labels = by_scipy(raw, gt, points)
    ours = deform(raw, gt, elastic)
    error, wrong = np.abs(ours.raw[0] - image).max() / 255, int((ours.gt != labels).sum())
    rounds = 3 if quick else 15
    warp, scipy, mirror, all_of_them = interleaved(
        rounds,
        lambda: deform(raw, gt, elastic),
        lambda: by_scipy(raw, gt, points),
        lambda: deform(raw, gt, simple),
        everything,
    )
    return [
        {
            "bar": "rotate + elastic, 96^3 image and labels",
            "figure": f"{warp * 1e3:.1f} ms, {warp / scipy:.2f} x",
            "target": "<= 35 ms",
            "how": "least CPU time of one thread, from drawn deformation to patch; the ratio is to scipy's "
            f"map_coordinates on coordinates it is given; image differs by {error:.0e} of its range, labels "
            f"in {wrong} voxels",
        },
        {
            "bar": "mirror + transpose, 96^3 image and labels",
            "figure": f"{mirror * 1e3:.1f} ms",
            "target": "none set",
            "how": "the same",
        },
        {
            "bar": "all augments, 96^3",
            "figure": f"{all_of_them * 1e3:.1f} ms",
            "target": "none set",
            "how": "mirror, transpose, rotate, elastic, intensity, gamma and noise, every one fires",
        },
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import print_alone

    print_alone(measure, __doc__)
