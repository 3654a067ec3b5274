"""What each augment does to the brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate
from skimage.util import random_noise

from dacapo.config import build
from dacapo.experiments.trainers import (
    AugmentConfig,
    GammaAugmentConfig,
    IntensityAugmentConfig,
    IntensityScaleShiftAugmentConfig,
    NoiseAugmentConfig,
    Patch,
)


def changed(config: AugmentConfig, raw: Any, seed: int = 0) -> np.ndarray:
    raw = np.asarray(raw, np.float32)
    gt = np.arange(raw[0].size).reshape(raw[0].shape)
    patch = Patch(raw.copy(), gt.copy(), None, Coordinate(8, 8), Coordinate(8, 8))
    build(config).change(patch, np.random.default_rng(seed))
    assert patch.raw.dtype == np.float32 and patch.raw.shape == raw.shape
    assert (patch.gt == gt).all() and patch.mask is None
    return patch.raw


RAW = np.random.default_rng(1).random((1, 40, 50)).astype(np.float32) * 0.6 + 0.2


def test_intensity_scales_around_the_mean_and_shifts() -> None:
    made = changed(IntensityAugmentConfig(scale=(0.5, 0.5), shift=(0.1, 0.1)), RAW)
    assert np.allclose(made, RAW.mean() + 0.5 * (RAW - RAW.mean()) + 0.1, atol=1e-6)


def test_intensity_draws_from_its_intervals_and_clips() -> None:
    config = IntensityAugmentConfig(scale=(1, 1), shift=(-0.3, 0.3), clip=False)
    shifts = np.array([(changed(config, RAW, seed) - RAW).mean() for seed in range(100)])
    assert -0.3 <= shifts.min() < -0.25 and 0.25 < shifts.max() <= 0.3
    bright = changed(IntensityAugmentConfig(scale=(3, 3), shift=(0, 0)), RAW)
    assert bright.min() == 0 and bright.max() == 1


def test_scale_shift_is_always_the_same() -> None:
    config = IntensityScaleShiftAugmentConfig(scale=2, shift=-1)
    assert (
        np.allclose(changed(config, RAW), 2 * RAW - 1)
        and (changed(config, RAW, 5) == changed(config, RAW)).all()
    )


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (3.0, 7.0)])
def test_gamma_bends_between_the_extremes(low: float, high: float) -> None:
    """B16: the existing one hands back what it was given."""
    unit = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, 1, -1)
    made = changed(GammaAugmentConfig(gamma_range=(2, 2)), low + (high - low) * unit)
    assert np.allclose(made, low + (high - low) * unit**2, atol=1e-5)
    assert np.abs(made - (low + (high - low) * unit)).max() > 0.2


def test_gamma_of_a_uniform_patch_is_the_patch() -> None:
    assert (
        changed(GammaAugmentConfig(gamma_range=(0.5, 2)), np.full((1, 4, 4), 0.3)) == np.float32(0.3)
    ).all()


def test_gamma_draws_from_its_range() -> None:
    half = np.array([0, 0.5, 1], np.float32).reshape(1, 1, 3)
    found = [
        np.log(changed(GammaAugmentConfig(gamma_range=(0.5, 2)), half, i)[0, 0, 1]) / np.log(0.5)
        for i in range(100)
    ]
    assert 0.5 <= min(found) < 0.6 and 1.9 < max(found) <= 2.001


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mode": "gaussian", "mean": 0.1, "var": 0.002},
        {"mode": "gaussian", "var": 0.04, "clip": False},
        {"mode": "speckle", "var": 0.05},
        {"mode": "salt", "amount": 0.2},
        {"mode": "pepper", "amount": 0.2},
        {"mode": "s&p", "amount": 0.3, "salt_vs_pepper": 0.2},
        {"mode": "poisson"},
    ],
)
@pytest.mark.parametrize("negative", [False, True])
def test_noise_is_distributed_as_that_of_scikit_image(kwargs: dict[str, Any], negative: bool) -> None:
    raw = (RAW * 2 - 1 if negative else RAW).repeat(8, axis=1)
    made = changed(NoiseAugmentConfig(kwargs=kwargs), raw)
    theirs = random_noise(raw, rng=3, **{"mode": "gaussian", **kwargs})
    for quantity in (
        np.mean,
        np.std,
        lambda noise: np.percentile(noise, 1),
        lambda noise: np.percentile(noise, 99),
    ):
        assert quantity(made - raw) == pytest.approx(quantity(theirs - raw), rel=0.05, abs=0.005)
    assert np.mean(made == raw) == pytest.approx(np.mean(theirs == raw), abs=0.03)


def test_sigma_is_the_root_of_var() -> None:
    one, other = NoiseAugmentConfig(kwargs={"sigma": 0.2}), NoiseAugmentConfig(kwargs={"var": 0.04})
    assert np.allclose(changed(one, RAW), changed(other, RAW))
