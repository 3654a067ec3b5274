"""What scores and distance targets cost, against the same numbers from SimpleITK, scipy and scikit-image.

python -m benchmarks.scores [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.metrics import variation_of_information

from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.memory import return_freed_memory
from dacapo.experiments.tasks.evaluators import BinarySegmentationEvaluator, Evaluator, InstanceEvaluator
from dacapo.experiments.tasks.predictors.boundary_distance import signed_distance

VOXEL = (8, 8, 8)
NDArray = np.ndarray[Any, Any]


def objects(side: int, seed: int, shift: int = 0) -> NDArray:
    """Return blobs that fill a fifth of a cube; a shift gives a segmentation that is nearly right."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((side,) * 3), 6)
    return np.roll(field > np.quantile(field, 0.8), shift, axis=0)


def fragments(side: int, cells: int, seed: int) -> NDArray:
    """Return cells³ objects with wavy borders that fill a cube, of ids far apart."""
    rng = np.random.default_rng(seed)
    waves = [gaussian_filter(rng.standard_normal((side,) * 3).astype(np.float32), 4) for _ in range(3)]
    ids = np.zeros((side,) * 3, np.uint64)
    for place, wave in zip(np.ogrid[:side, :side, :side], waves, strict=True):
        cell = ((place + wave / wave.std() * 2) * cells / side).astype(np.int64).clip(0, cells - 1)
        ids = ids * np.uint64(cells) + cell.astype(np.uint64)
    return ids * np.uint64(7919) + np.uint64(1)


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


def peak(way: Callable[[], object]) -> int:
    """Return how many bytes of memory a call takes at most, beyond what was taken before."""
    return_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the process begins anew
    before = _status("VmRSS")
    way()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def evaluation(evaluator: Evaluator, truth: NDArray, test: NDArray) -> Callable[[], object]:
    """Return the call that scores two volumes as validation does."""
    arrays = [
        NumpyArray(volume.view(np.uint8) if volume.dtype == bool else volume, VOXEL)
        for volume in (test, truth)
    ]
    return lambda: evaluator.evaluate(*arrays)


def of_binary(rounds: int) -> list[dict[str, str]]:
    """Measure the scores of one class."""
    truth, test = objects(128, 0), objects(128, 0, shift=2)
    before = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads()
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    ours, others = interleaved(
        rounds,
        evaluation(BinarySegmentationEvaluator(40, 8), truth, test),
        lambda: by_others(truth, test),
    )
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    truth, test = objects(256, 0), objects(256, 0, shift=2)
    whole, in_slabs = BinarySegmentationEvaluator(40, 8), BinarySegmentationEvaluator(40, 8)
    in_slabs.slab_voxels = 256**3 // 8
    ways = [evaluation(evaluator, truth, test) for evaluator in (whole, in_slabs)]
    seconds = interleaved(rounds, *ways)
    least = [min(peak(way) for _ in range(rounds)) / 256**3 for way in ways]
    return [
        {
            "bar": "all 21 scores of one class, 128^3",
            "figure": f"{ours * 1e3:.0f} ms, {ours / others:.2f} x",
            "target": "< 1 x",
            "how": "CPU time against overlap and Hausdorff filters of SimpleITK, two scipy distance "
            "transforms and scikit-image's variation of information",
        },
        {
            "bar": "all 21 scores of one class, 256^3",
            "figure": f"{seconds[0]:.2f} s, {least[0]:.1f} bytes per voxel",
            "target": "<= 2.5 s, <= 20 bytes",
            "how": "CPU time, and the peak of memory beyond the two volumes",
        },
        {
            "bar": "the same in 8 slabs",
            "figure": f"{seconds[1] / seconds[0]:.2f} x the time, {least[1]:.1f} bytes per voxel",
            "target": "the same scores",
            "how": "slab_voxels = 256^3 / 8, as for a volume that does not fit in memory",
        },
    ]


def of_instances(rounds: int) -> list[dict[str, str]]:
    """Measure the scores of objects."""
    truth, test = fragments(256, 16, 0), np.roll(fragments(256, 16, 0), 2, axis=0)
    way = evaluation(InstanceEvaluator(), truth, test)
    small = [np.unique(ids, return_inverse=True)[1] for ids in (truth, test)]
    ours, others = interleaved(rounds, way, lambda: variation_of_information(*small))
    bytes_used = min(peak(way) for _ in range(rounds)) / 256**3
    return [
        {
            "bar": "all scores of objects, 256^3 with 4 096 labels",
            "figure": f"{ours:.2f} s, {ours / others:.2f} x, {bytes_used:.1f} bytes per voxel",
            "target": "<= 0.4 s",
            "how": "CPU time and peak of memory beyond the two volumes of uint64; the ratio is to "
            "scikit-image's variation of information alone, of ids that were renumbered for it",
        }
    ]


def measure(quick: bool = False) -> list[dict[str, str]]:
    """Return one row per bar."""
    rounds = 2 if quick else 7
    rows = of_binary(rounds) + of_instances(rounds)
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
