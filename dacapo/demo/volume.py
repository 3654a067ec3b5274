"""An electron micrograph that was never taken: cells, organelles and a bad day at the microscope.

Everything follows from a seed.  Lengths are voxels, brightness runs from 0 (black) to 1.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

Floats = NDArray[np.float32]
Box = tuple[slice, ...]

CYTOPLASM, MEMBRANE, LUMEN = 0.66, 0.2, 0.78


@attrs.frozen
class Tissue:
    """A micrograph and what is truly in it."""

    raw: NDArray[np.uint8]
    mitochondria: NDArray[np.uint8]


def synthesize(shape: tuple[int, int, int], seed: int = 0) -> Tissue:
    """Make a volume of that shape (z, y, x); the same seed makes the same volume."""
    rng = np.random.default_rng(seed)
    scene = _cells(shape, rng)
    volume = float(np.prod(shape))
    _place_mitochondria(scene, rng, count=round(volume / 40_000))
    _place_lysosomes(scene, rng, count=round(volume / 500_000))
    _place_vesicles(scene, rng, clusters=round(volume / 60_000))
    return Tissue(_photograph(scene.image, rng), scene.mitochondria)


@attrs.define
class _Scene:
    """What is being painted; ``depth`` is how far inside its cell each voxel lies."""

    image: Floats
    depth: Floats
    free: NDArray[np.bool_]
    mitochondria: NDArray[np.uint8]

    def paint(self, box: Box, distance: Floats, brightness: Floats | float, fill: bool = True) -> None:
        """Fill where ``distance`` is negative, with an edge that is one voxel soft."""
        cover = np.clip(0.5 - distance, 0, 1)
        self.image[box] += cover * (brightness - self.image[box])
        if fill:
            self.free[box] &= distance > 1.5

    def fits(self, box: Box, distance: Floats, margin: float) -> bool:
        """Say whether what is inside, and a margin, is free cytoplasm."""
        inside = distance < margin
        return bool(self.free[box][inside].all() and (self.depth[box][inside] > margin + 1).all())


def _smooth_noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Floats:
    """Noise of unit variance whose features are about ``scale`` voxels wide."""
    spacing = scale / 2
    kernels = []
    for n in shape:
        knots = np.arange(-2, np.ceil(n / spacing) + 3) * spacing
        weights = np.exp(-0.5 * ((np.arange(n)[:, None] - knots) / spacing) ** 2)
        kernels.append((weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32))
    values = rng.standard_normal([kernel.shape[1] for kernel in kernels], dtype=np.float32)
    # Separable, as matrix products: fifty times faster than a zoom.
    for kernel in kernels:
        values = np.tensordot(values, kernel, axes=(0, 1))
    return values


def _cells(shape: tuple[int, int, int], rng: np.random.Generator) -> _Scene:
    """Pack space with cells: nearest-seed regions of a space that is itself bent."""
    half = tuple((n + 1) // 2 for n in shape)
    grid = np.stack(np.meshgrid(*(np.arange(n) * 2.0 for n in half), indexing="ij"))
    bent = [axis + 11 * _smooth_noise(half, 26, rng) + 2 * _smooth_noise(half, 9, rng) for axis in grid]
    seeds = rng.uniform(-30, np.add(shape, 30), (max(6, round(np.prod(np.add(shape, 60)) / 260_000)), 3))
    nearest, which = spatial.cKDTree(seeds).query(np.stack(bent, axis=-1), k=2, workers=-1)
    depth = (nearest[..., 1] - nearest[..., 0]) / 2
    # Bending stretched the distances: measured in their own slope they are voxels again.
    slope = np.sqrt(sum(np.square(step) for step in np.gradient(depth, 2)))
    depth = depth / np.clip(ndimage.gaussian_filter(slope, 1), 0.3, 3)
    tone = rng.normal(0, 0.04, len(seeds))[which[..., 0]]
    depth, tone = (_double(field.astype(np.float32), shape) for field in (depth, tone))
    image = CYTOPLASM + tone + _cytoplasm(shape, depth, rng)
    # Two cells touch in a dark line each, with a lighter cleft between.
    membrane = np.exp(-(((depth - 1.2) / 0.9) ** 2))
    image += membrane * (MEMBRANE - image)
    return _Scene(image, depth, depth > 2.5, np.zeros(shape, np.uint8))


def _double(field: Floats, shape: tuple[int, ...]) -> Floats:
    """Bring a field of half the resolution to ``shape``, by linear interpolation."""
    for axis, n in enumerate(shape):
        after = np.concatenate(
            [np.take(field, range(1, field.shape[axis]), axis), np.take(field, [-1], axis)], axis
        )
        between = np.stack([field, (field + after) / 2], axis + 1)
        field = np.take(between.reshape(*field.shape[:axis], -1, *field.shape[axis + 1 :]), range(n), axis)
    return field


def _cytoplasm(shape: tuple[int, int, int], depth: Floats, rng: np.random.Generator) -> Floats:
    """Ribosomes as dark specks, and sheets of reticulum where two noises agree."""
    density = 0.016 + 0.012 * np.clip(_smooth_noise(shape, 24, rng), -1, 1)
    specks = (rng.random(shape, dtype=np.float32) < density) * np.float32(0.6)
    sheets = np.abs(_smooth_noise(shape, 22, rng)) < 0.06
    sheets &= (_smooth_noise(shape, 40, rng) > 0.3) & (depth > 4)
    mottled = 0.025 * _smooth_noise(shape, 7, rng) + 0.02 * _smooth_noise(shape, 3, rng)
    dark = ndimage.gaussian_filter(specks + sheets * np.float32(0.5), 0.65, truncate=2.5)
    return np.asarray(mottled - dark, np.float32)


def _box(center: NDArray[Any], reach: float, shape: tuple[int, ...]) -> Box:
    return tuple(
        slice(max(0, int(c - reach)), min(n, int(c + reach) + 2)) for c, n in zip(center, shape, strict=True)
    )


def _coordinates(box: Box) -> Floats:
    return np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij")).astype(np.float32)


@attrs.frozen
class _Capsule:
    """A bent sausage: a curve and how thick it is along the way."""

    spine: Floats
    radii: Floats

    @classmethod
    def random(cls, start: NDArray[Any], depth: Floats, rng: np.random.Generator) -> _Capsule:
        """Bend a curve through ``start`` and make it as thick as the cell around it allows."""
        along = rng.normal(size=3)
        length = rng.uniform(2, 12) if rng.random() < 0.4 else rng.uniform(20, 60)
        along *= length / np.linalg.norm(along)
        bend = rng.normal(size=3) * length * 0.22
        t = np.linspace(0, 1, 6)[:, None]
        spine = start + along * (t - 0.5) + bend * 4 * t * (1 - t)
        at = np.clip(spine.round().astype(int), 0, np.subtract(depth.shape, 1))
        radius = min(rng.uniform(7.5, 13), depth[tuple(at.T)].min() / 1.13 - 3.5)
        radii = radius * (1 + 0.13 * np.sin(rng.uniform(0, 6.3) + rng.uniform(2, 6) * t[:, 0]))
        return cls(spine.astype(np.float32), radii.astype(np.float32))

    def feelers(self, shape: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
        """Return some voxels on the surface: cheap to try before all of the inside."""
        around = np.concatenate([np.eye(3), -np.eye(3)])[:, None] * (self.radii[:, None] + 2)
        points = (self.spine + around).reshape(-1, 3).round().astype(int)
        return tuple(np.clip(points, 0, np.subtract(shape, 1)).T)

    def box(self, shape: tuple[int, ...]) -> Box:
        """Return the voxels that the capsule can reach."""
        middle = self.spine.mean(axis=0)
        return _box(middle, (np.linalg.norm(self.spine - middle, axis=1) + self.radii).max() + 4, shape)

    def distance(self, where: Floats) -> tuple[Floats, Floats]:
        """Return the signed distance to the surface, and how far along the curve each voxel is."""
        best = np.full(where.shape[1:], np.inf, np.float32)
        along = np.zeros_like(best)
        travelled = 0.0
        for (a, b), (ra, rb) in zip(_pairs(self.spine), _pairs(self.radii), strict=True):
            step = b - a
            length = float(np.linalg.norm(step))
            t = np.tensordot(step, where - a[:, None, None, None], 1) / (length**2 + 1e-6)
            inside = np.clip(t, 0, 1)
            gap = where - a[:, None, None, None] - step[:, None, None, None] * inside
            distance = np.sqrt((gap**2).sum(0)) - (ra + (rb - ra) * inside)
            nearer = distance < best
            best[nearer] = distance[nearer]
            along[nearer] = (travelled + t * length)[nearer]
            travelled += length
        return best, along


def _pairs(values: Floats) -> list[tuple[Any, Any]]:
    return list(zip(values[:-1], values[1:], strict=True))


def _place_mitochondria(scene: _Scene, rng: np.random.Generator, count: int) -> None:
    roomy = np.argwhere(scene.depth > 9)
    for _ in range(count * 50):
        capsule = _Capsule.random(roomy[rng.integers(len(roomy))], scene.depth, rng)
        if capsule.radii.min() < 6 or not scene.free[capsule.feelers(scene.free.shape)].all():
            continue
        box = capsule.box(scene.image.shape)
        distance, along = capsule.distance(_coordinates(box))
        if scene.fits(box, distance, 2.5):
            distance += 0.7 * _smooth_noise(distance.shape, 7, rng)
            _paint_mitochondrion(scene, box, distance, along, rng)
            count -= 1
        if count == 0:
            return


def _paint_mitochondrion(
    scene: _Scene, box: Box, distance: Floats, along: Floats, rng: np.random.Generator
) -> None:
    """Paint two membranes, a matrix darker than the cytoplasm, and folds across it."""
    shape = distance.shape
    matrix = rng.uniform(0.34, 0.46) + 0.03 * _smooth_noise(shape, 5, rng)
    pitch = rng.uniform(4.2, 6.0)
    wave = np.sin(2 * np.pi * along / pitch + 1.5 * _smooth_noise(shape, 9, rng))
    present = np.clip(0.75 + 0.6 * _smooth_noise(shape, 8, rng), 0, 1)
    body = matrix + 0.15 * np.clip(wave * 1.5, -1, 1) * present
    scene.paint(box, distance, MEMBRANE)
    scene.paint(box, distance + 1.3, 0.62, fill=False)
    scene.paint(box, distance + 2.1, MEMBRANE + 0.03, fill=False)
    scene.paint(box, distance + 3.1, np.asarray(body, np.float32), fill=False)
    scene.mitochondria[box][distance < 0] = 1


def _place_lysosomes(scene: _Scene, rng: np.random.Generator, count: int) -> None:
    """Dark or pale round bodies of the size of a mitochondrion, with one membrane and no folds."""
    for _ in range(count * 12):
        center, radius = rng.uniform(0, scene.image.shape), rng.uniform(4, 9)
        box = _box(center, radius * 1.5 + 3, scene.image.shape)
        stretch = rng.uniform(0.8, 1.25, 3).astype(np.float32)[:, None, None, None]
        gap = (_coordinates(box) - center.astype(np.float32)[:, None, None, None]) * stretch
        distance = np.sqrt((gap**2).sum(0)) - np.float32(radius)
        if not scene.fits(box, distance, 1.5):
            continue
        grain = rng.uniform(0.01, 0.07) * _smooth_noise(distance.shape, 3, rng)
        scene.paint(box, distance, MEMBRANE)
        scene.paint(box, distance + 1.5, rng.choice([0.26, 0.32, 0.82]) + grain, fill=False)


def _place_vesicles(scene: _Scene, rng: np.random.Generator, clusters: int) -> None:
    """Small bubbles that gather in some places, as at a synapse."""
    for _ in range(clusters):
        middle, many = rng.uniform(0, scene.image.shape), rng.integers(10, 50)
        for center in middle + rng.normal(0, rng.uniform(4, 8), (many, 3)):
            radius = rng.uniform(1.6, 2.7)
            box = _box(center, radius + 3, scene.image.shape)
            if any(s.start >= s.stop for s in box):
                continue
            gap = _coordinates(box) - center.astype(np.float32)[:, None, None, None]
            distance = np.sqrt((gap**2).sum(0)) - np.float32(radius)
            if scene.fits(box, distance, 0.5):
                scene.paint(box, distance, MEMBRANE + 0.05)
                scene.paint(box, distance + 1.1, LUMEN, fill=False)


def _photograph(image: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, uneven light, contrast that drifts from section to section, shot and read noise."""
    light = ndimage.gaussian_filter(image, (0.75, 0.6, 0.6))
    light *= 1 + 0.06 * _smooth_noise(image.shape, 90, rng)
    sections = (len(image), 1, 1)
    drift = ndimage.gaussian_filter1d(rng.normal(0, 0.05, sections), 2, axis=0) * 2
    light = (
        (light - 0.55) * (1 + rng.normal(0, 0.05, sections)) + 0.55 + drift + rng.normal(0, 0.012, sections)
    )
    light = np.clip(light, 0.02, 1.0).astype(np.float32)
    # Shot noise grows with the light, read noise does not.
    light += rng.standard_normal(image.shape, dtype=np.float32) * np.sqrt(0.0018 * light + 0.0003)
    return np.asarray(np.clip(light * 235 + 8, 0, 255), np.uint8)
