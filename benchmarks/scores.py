"""How long scores and distance targets take, against the same numbers from SimpleITK and scipy.

python -m benchmarks.scores [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.metrics import variation_of_information

from dacapo.experiments.tasks.evaluators.binary_scores import binary_scores
from dacapo.experiments.tasks.predictors.boundary_distance import signed_distance

VOXEL = (8, 8, 8)
NDArray = np.ndarray[Any, Any]


def objects(side: int, seed: int, shift: int = 0) -> NDArray:
    """Return blobs that fill a fifth of a cube; a shift gives a segmentation that is nearly right."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((side,) * 3), 6)
    return np.roll(field > np.quantile(field, 0.8), shift, axis=0)


def by_others(truth: NDArray, test: NDArray) -> None:
    """Compute what the scores are made of the way that needs nothing of ours."""
    images = [SimpleITK.GetImageFromArray(volume.astype(np.uint8)) for volume in (test, truth)]
    for image in images:
        image.SetSpacing([float(size) for size in reversed(VOXEL)])
    for each in (SimpleITK.LabelOverlapMeasuresImageFilter(), SimpleITK.HausdorffDistanceImageFilter()):
        each.Execute(*images)
    for one, other in ((truth, test), (test, truth)):
        distance = distance_transform_edt(~other, sampling=VOXEL)[one]
        np.clip(distance, 0, 40).mean()
    variation_of_information(truth.astype(np.uint8), test.astype(np.uint8))


def doubled(volume: NDArray) -> NDArray:
    """Return the signed distance by two transforms of a grid of 2n - 1 points."""
    grid = np.zeros([2 * size - 1 for size in volume.shape], bool)
    even = np.repeat(np.repeat(np.repeat(volume, 2, 0), 2, 1), 2, 2)[:-1, :-1, :-1]
    for axis in range(3):
        moved = np.moveaxis(grid, axis, 0)
        labels = np.moveaxis(even, axis, 0)
        moved[1:-1:2] |= labels[:-2:2] != labels[2::2]
    distance = distance_transform_edt(~grid, sampling=[size / 2 for size in VOXEL])[::2, ::2, ::2]
    return np.where(volume, distance, -distance)


def interleaved(rounds: int, *ways: Callable[[], object]) -> list[float]:
    """Return the least CPU seconds of each way, taken in turns so that noise hits all of them."""
    least = [float("inf")] * len(ways)
    for _ in range(rounds + 1):
        for i, way in enumerate(ways):
            start = time.process_time()
            way()
            least[i] = min(least[i], time.process_time() - start)
    return least


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    rounds = 2 if quick else 7
    truth, test = objects(128, 0), objects(128, 0, shift=2)
    before = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    ours, others = interleaved(
        rounds, lambda: binary_scores(truth, test, VOXEL, 40, 8), lambda: by_others(truth, test)
    )
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    rows = [
        {
            "bar": "all 21 scores of one class, 128^3",
            "figure": f"{ours * 1e3:.0f} ms, {ours / others:.2f} x",
            "target": "< 1 x",
            "how": "CPU time against overlap and Hausdorff filters of SimpleITK, two scipy distance "
            "transforms and scikit-image's variation of information",
        }
    ]
    for side, target in ((64, "<= 20 ms"), (96, "<= 100 ms")):
        volume = objects(side, 1)
        mine, theirs = interleaved(
            rounds,
            lambda volume=volume: signed_distance(volume, VOXEL),
            lambda volume=volume: doubled(volume),
        )
        rows.append(
            {
                "bar": f"exact signed distance, {side}^3",
                "figure": f"{mine * 1e3:.1f} ms, {mine / theirs:.3f} x",
                "target": target,
                "how": "CPU time of one thread; the ratio is to scipy on the doubled grid",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs, noisier figures")
    rows = measure(parser.parse_args().quick)
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for row in rows:
        print("| {bar} | {figure} | {target} | {how} |".format(**row))


if __name__ == "__main__":
    main()
