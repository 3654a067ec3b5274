"""Augments that change the brightness of the image: contrast, gamma, noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from .augment import Augment, NDArray, Patch
from .configs import NOISE_PARAMETERS


class IntensityAugment(Augment):
    """Draws a factor around the mean of the patch, and a shift."""

    def change(self, patch: Patch, random: np.random.Generator) -> None:
        """Replace x by mean + factor * (x - mean) + shift."""
        factor, shift = random.uniform(*self.config.scale), random.uniform(*self.config.shift)
        mean = float(patch.raw.mean())
        patch.raw = patch.raw * np.float32(factor) + np.float32(mean * (1 - factor) + shift)
        if self.config.clip:
            np.clip(patch.raw, 0, 1, out=patch.raw)


class IntensityScaleShiftAugment(Augment):
    """Applies one fixed factor and shift."""

    def change(self, patch: Patch, random: np.random.Generator) -> None:
        """Replace x by scale * x + shift."""
        patch.raw = patch.raw * np.float32(self.config.scale) + np.float32(self.config.shift)


class GammaAugment(Augment):
    """Draws an exponent for the brightness, taken between the extremes of the patch."""

    def change(self, patch: Patch, random: np.random.Generator) -> None:
        """Replace x by low + (high - low) * ((x - low) / (high - low)) ** gamma."""
        gamma = random.uniform(*self.config.gamma_range)
        low, high = float(patch.raw.min()), float(patch.raw.max())
        if not high > low:
            return
        values = (patch.raw - np.float32(low)) * np.float32(1 / (high - low))
        with np.errstate(divide="ignore"):
            # exp(gamma log x) takes half the time of a power, and 0 stays 0.
            np.log(values, out=values)
        np.exp(np.multiply(values, np.float32(gamma), out=values), out=values)
        patch.raw = values * np.float32(high - low) + np.float32(low)


class NoiseAugment(Augment):
    """Adds noise; the parameters and their defaults are those of scikit-image's ``random_noise``."""

    def change(self, patch: Patch, random: np.random.Generator) -> None:
        """Replace the image by a noisy one, kept within its range unless ``clip`` is false."""
        given: dict[str, Any] = {"clip": True, "mode": "gaussian", **self.config.kwargs}
        lowest = -1.0 if patch.raw.min() < 0 else 0.0
        parameters = NOISE_PARAMETERS[given["mode"]] | given
        if "sigma" in given:
            parameters["var"] = given["sigma"] ** 2
        patch.raw = _noisy(patch.raw, lowest, parameters, random)
        if given["clip"]:
            np.clip(patch.raw, lowest, 1, out=patch.raw)


def _noisy(raw: NDArray, lowest: float, noise: dict[str, Any], random: np.random.Generator) -> NDArray:
    if noise["mode"] == "poisson":
        return _poisson(raw, lowest, random)
    if noise["mode"] not in ("gaussian", "speckle"):
        share = {"salt": 1.0, "pepper": 0.0}.get(noise["mode"], noise.get("salt_vs_pepper"))
        chance = random.random(raw.shape, np.float32)
        salted = np.where(chance < noise["amount"] * share, np.float32(1), raw)
        peppered = (chance >= noise["amount"] * share) & (chance < noise["amount"])
        return np.where(peppered, np.float32(lowest), salted)
    drawn = np.asarray(random.standard_normal(raw.shape, np.float32))
    drawn *= np.float32(noise["var"] ** 0.5)
    drawn += np.float32(noise["mean"])
    if noise["mode"] == "speckle":
        drawn *= raw
    drawn += raw
    return drawn


def _poisson(raw: NDArray, lowest: float, random: np.random.Generator) -> NDArray:
    """Draw counts; full brightness (of signed images, the brightest voxel) is one per grey level in use."""
    levels = 2 ** np.ceil(np.log2(max(len(np.unique(raw)), 1)))
    brightest = 1.0 if lowest == 0 else float(raw.max()) - lowest
    expected = np.maximum((raw - lowest) / brightest, 0) * levels
    return np.asarray(random.poisson(expected) / levels * brightest + lowest, np.float32)
