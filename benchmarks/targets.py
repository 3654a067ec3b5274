"""What it costs to make targets of a patch, against the same made with scipy, numpy and the lsds package.

python -m benchmarks.targets [--quick]
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from funlib.geometry import Coordinate
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from benchmarks.scores import interleaved
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.predictors import AffinitiesPredictor, DistancePredictor
from dacapo.experiments.tasks.predictors.affinity_graph import affinities
from dacapo.experiments.tasks.predictors.shape_descriptors import shape_descriptors

NDArray = np.ndarray[Any, Any]
SIDE, OBJECTS, VOXEL, SIGMA = 96, 50, (8, 8, 8), 8.0
NEAR = [Coordinate(row) for row in np.eye(3, dtype=int)]
OFFSETS = [*NEAR, *(offset * 3 for offset in NEAR), *(offset * 9 for offset in NEAR)]


def objects(side: int = SIDE, count: int = OBJECTS) -> NDArray:
    """Return touching objects, uint64, around random points; a fifth is background."""
    points = np.random.default_rng(0).uniform(0, side, (count, 3))
    voxels = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1)
    away, nearest = cKDTree(points).query(voxels)
    return np.where(away < np.quantile(away, 0.8), nearest + 1, 0).astype(np.uint64)


def by_scipy(inside: NDArray, scale: float) -> NDArray:
    """Return the distance target as two transforms make it, between voxel centres."""
    inner, outer = (distance_transform_edt(part, sampling=VOXEL) for part in (inside, ~inside))
    made: NDArray = np.tanh((inner - outer) / scale)
    return made


def by_rolling(labels: NDArray) -> NDArray:
    """Return affinities the way that is written down in a line."""
    rolled = (np.roll(labels, [-step for step in offset], (0, 1, 2)) for offset in OFFSETS)
    return np.stack([(other == labels) & (labels > 0) for other in rolled])


def of_distances(rounds: int, labels: NDArray) -> dict[str, str]:
    """Measure the distances of one class, to the faces of voxels."""
    inside = labels % 2 == 1
    gt = NumpyArray(inside.astype(np.uint8), VOXEL)
    predictor = DistancePredictor(["a"], scale_factor=64)
    ours, theirs = interleaved(rounds, lambda: predictor.create_target(gt), lambda: by_scipy(inside, 64))
    return {
        "bar": f"distance target, {SIDE}^3",
        "figure": f"{ours * 1e3:.0f} ms, {ours / theirs:.2f} x",
        "target": "<= 0.5 x",
        "how": "CPU time of create_target; the ratio is to scipy's transforms of inside and outside",
    }


def of_affinities(rounds: int, labels: NDArray) -> list[dict[str, str]]:
    """Measure nine affinities, alone and as float32 targets of a task."""
    gt, predictor = NumpyArray(labels, VOXEL), AffinitiesPredictor(OFFSETS, lsds=False)
    alone, target, rolled = interleaved(
        3 * rounds,
        lambda: affinities(labels, OFFSETS),
        lambda: predictor.create_target(gt),
        lambda: by_rolling(labels),
    )
    return [
        {
            "bar": f"9 affinities, {SIDE}^3, ids of uint64",
            "figure": f"{alone * 1e3:.1f} ms, {alone / rolled:.2f} x",
            "target": "<= 8 ms",
            "how": "CPU time; the ratio is to np.roll and a comparison",
        },
        {
            "bar": "the same as a float32 target",
            "figure": f"{target * 1e3:.1f} ms",
            "target": "",
            "how": "CPU time of create_target",
        },
    ]


def of_descriptors(rounds: int, labels: NDArray) -> dict[str, str]:
    """Measure local shape descriptors, against the package that they come from where it can be had."""
    sigma, steps = (SIGMA * VOXEL[0],) * 3, 2
    [ours] = interleaved(rounds, lambda: shape_descriptors(labels, sigma, VOXEL, downsample=steps))
    figure, how = f"{ours * 1e3:.0f} ms", "the package lsds is not installed"
    try:
        from lsd.train.local_shape_descriptor import get_local_shape_descriptors
    except ImportError:
        pass
    else:
        begun = time.process_time()
        get_local_shape_descriptors(labels, sigma, voxel_size=VOXEL, downsample=steps)
        figure += f", {ours / (time.process_time() - begun):.2f} x"
        how = "the ratio is to the package lsds"
    return {
        "bar": f"shape descriptors, {SIDE}^3, {OBJECTS} objects, sigma of {SIGMA:g} voxels, every second one",
        "figure": figure,
        "target": "<= 0.2 x lsds",
        "how": f"CPU time; {how}",
    }


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    rounds, labels = 2 if quick else 7, objects()
    return [of_distances(rounds, labels), *of_affinities(rounds, labels), of_descriptors(rounds, labels)]


if __name__ == "__main__":
    from benchmarks.__main__ import print_alone

    print_alone(measure, __doc__)
