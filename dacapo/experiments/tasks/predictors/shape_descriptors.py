"""Local shape descriptors: how the part of its object that a voxel can see is placed, and how it is shaped.

After Sheridan et al., Local shape descriptors for neuron segmentation (Nature Methods 20, 2023).  A
voxel v sees the voxels u of its object weighted by a Gaussian of width sigma, cut at 3 sigma.  Of
these its descriptors are, each brought to 0 ... 1:

    the mean offset of u - v, along each axis, as  offset / sigma / 2 + 1 / 2
    the variance along each axis, as  variance / sigma^2
    the correlation of each two axes, as  correlation / 2 + 1 / 2
    the size: the sum of the weights

that is 10 in three dimensions and 6 in two; outside of objects all are 0.  Each object is looked
at within its own bounding box, and all moments are sums along one axis after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]
Slices = tuple[slice, ...]
TRUNCATE = 3.0  # in sigma
LEAST_VARIANCE = 1e-3  # in world units squared: of a single voxel nothing else would be left to divide by


def names(dims: int) -> list[str]:
    """Return what the descriptors are called, in their order."""
    axes = "zyx"[-dims:]
    two = ["".join(one) for one in itertools.combinations(axes, 2)]
    return [
        *(f"lsd_offset_{axis}" for axis in axes),
        *(f"lsd_variance_{axis}" for axis in axes),
        *(f"lsd_correlation_{pair}" for pair in two),
        "lsd_size",
    ]


def shape_descriptors(
    labels: NDArray,
    sigma: Sequence[float],
    voxel_size: Sequence[float],
    part: Slices | None = None,
    downsample: int = 1,
) -> NDArray:
    """Return the descriptors of each voxel as float32 (descriptor, spatial...) of ``part``.

    ``labels`` are ids (spatial...), 0 is background; ``sigma`` and ``voxel_size`` are in world units.
    Objects are taken to end with the block: it should reach 3 sigma beyond ``part``.  With
    ``downsample`` only every so many-th voxel along each axis is looked at, and speaks for those behind it.
    """
    # Imported here: names are known without scipy.
    import fastremap
    from scipy.ndimage import find_objects

    part = part or (slice(None),) * labels.ndim
    bounds = [kept.indices(size)[:2] for kept, size in zip(part, labels.shape, strict=True)]
    few, _ = fastremap.renumber(labels, in_place=False)
    made = np.zeros((len(names(labels.ndim)), *(end - begin for begin, end in bounds)), np.float32)
    steps = [size * downsample for size in voxel_size]
    kernels = [_kernels(s / step, step) for s, step in zip(sigma, steps, strict=True)]
    for label, box in enumerate(find_objects(few.astype(np.int32, copy=False)), start=1):
        if box is not None:
            _describe(few, label, box, bounds, sigma, kernels, downsample, made)
    return made


def _describe(
    labels: NDArray,
    label: int,
    box: Slices,
    bounds: Sequence[tuple[int, int]],
    sigma: Sequence[float],
    kernels: Sequence[NDArray],
    downsample: int,
    made: NDArray,
) -> None:
    """Write the descriptors of one object, from what the voxels of the part can see of it."""
    wanted, seen = [], []
    for kept, (begin, end), kernel in zip(box, bounds, kernels, strict=True):
        first, last = max(kept.start, begin), min(kept.stop, end)
        if first >= last:
            return
        reach = kernel.shape[1] // 2 * downsample
        start = max(kept.start, first - reach) // downsample * downsample
        seen.append(slice(start, min(kept.stop, last + reach)))
        wanted.append(slice(first - start, last - start))
    mask = labels[tuple(seen)] == label
    coarse = [slice(one.start // downsample, (one.stop - 1) // downsample + 1) for one in wanted]
    moments = _moments(mask[(slice(None, None, downsample),) * mask.ndim], kernels, tuple(coarse))
    inside = mask[tuple(wanted)].nonzero()
    at = tuple(
        (index + one.start) // downsample - few.start
        for index, one, few in zip(inside, wanted, coarse, strict=True)
    )
    rows = _brought_to_range(moments, sigma)[(slice(None), *at)]
    shifts = (one.start + s.start - b[0] for one, s, b in zip(wanted, seen, bounds, strict=True))
    made[(slice(None), *(index + shift for index, shift in zip(inside, shifts, strict=True)))] = rows


def _kernels(sigma: float, step: float) -> NDArray:
    """Return the weights of a Gaussian, and these times the offset and its square, in world units."""
    radius = int(TRUNCATE * sigma + 0.5)
    at = np.arange(-radius, radius + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (at / sigma) ** 2)
    weights /= weights.sum()
    return np.stack([weights, weights * at * step, weights * (at * step) ** 2])


def _moments(mask: NDArray, kernels: Sequence[NDArray], inner: Slices) -> dict[tuple[int, ...], NDArray]:
    """Return, by the power along each axis, the weighted sums of offsets of what a voxel sees.

    Powers add up to 2 at most.  After each axis only what is wanted of it is kept.
    """
    from scipy.ndimage import correlate1d

    sums: dict[tuple[int, ...], NDArray] = {(): mask.astype(np.float32)}
    for axis, (kernel, kept) in enumerate(zip(kernels, inner, strict=True)):
        cut = (*(slice(None),) * axis, kept)
        sums = {
            (*powers, power): np.ascontiguousarray(
                correlate1d(one, kernel[power], axis, mode="constant")[cut]
            )
            for powers, one in sums.items()
            for power in range(3 - sum(powers))
        }
    return sums


def _brought_to_range(moments: dict[tuple[int, ...], NDArray], sigma: Sequence[float]) -> NDArray:
    """Return the descriptors of voxels (descriptor, spatial...) from their moments."""
    dims = len(sigma)

    def powers(*axes: int) -> tuple[int, ...]:
        return tuple(axes.count(axis) for axis in range(dims))

    # Where only every so many-th voxel is looked at, a small object may not be seen at all.
    size = np.maximum(moments[powers()], np.finfo(np.float32).tiny)
    mean = [moments[powers(axis)] / size for axis in range(dims)]
    variance = [
        np.maximum(moments[powers(axis, axis)] / size - mean[axis] ** 2, LEAST_VARIANCE)
        for axis in range(dims)
    ]
    rows = [one / s * 0.5 + 0.5 for one, s in zip(mean, sigma, strict=True)]
    rows += [one / s**2 for one, s in zip(variance, sigma, strict=True)]
    for one, other in itertools.combinations(range(dims), 2):
        covariance = moments[powers(one, other)] / size - mean[one] * mean[other]
        rows.append(covariance / np.sqrt(variance[one] * variance[other]) * 0.5 + 0.5)
    found = np.stack([*rows, size])
    return np.clip(found, 0, 1, out=found)
