"""Checks for augments: that image, labels and mask stay together, and chance comes from the generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.config import Config, build
from dacapo.errors import DataError, InvalidConfig
from dacapo.experiments.trainers import Augment, Patch, SpatialAugment
from dacapo.experiments.trainers.batches import BatchMaker
from dacapo.experiments.trainers.configs import PatchTrainerConfig
from dacapo.experiments.trainers.deformation import Deformation
from dacapo.experiments.trainers.patch_source import PatchShape, PatchSource

from .checks import check, demand
from .situation import finite
from .trainers import task_and_model
from .volumes import SIZE, MemoryDataset, array, blobs, dataset, image_of

VOXEL = 8
DRAWS = 6  # of an augment that does something at random


@check("augments")
def patches_keep_their_shape(config: Config) -> None:
    """Image, labels and mask keep their shapes and types, and the image stays finite."""
    augment, dims = _augment(config)
    for seed in range(DRAWS):
        before, after = _patch(dims), _patch(dims, augment, seed)
        for name in ("raw", "gt", "mask"):
            old, new = getattr(before, name), getattr(after, name)
            demand(new.shape == old.shape, f"{name} has shape {new.shape} afterwards, and had {old.shape}")
            demand(new.dtype == old.dtype, f"{name} is {new.dtype} afterwards, and was {old.dtype}")
        demand(finite(after.raw), "the image is not finite afterwards")


@check("augments")
def image_and_labels_move_together(config: Config) -> None:
    """Wherever the image of an object goes, its labels and the mask go too."""
    augment, dims = _augment(config)
    for seed in range(DRAWS):
        patch = _patch(dims, augment, seed)
        image, labels, mask = patch.raw[0], patch.gt > 0, patch.mask
        agreement = abs(np.corrcoef(image.ravel(), labels.ravel())[0, 1]) if labels.any() else 1.0
        demand(
            agreement > 0.6,
            f"objects of the image and of the labels are {agreement:.0%} correlated afterwards; move both "
            "alike, by the deformation of a SpatialAugment",
        )
        demand(
            mask is not None and np.mean((mask > 0) == labels) > 0.95,
            "the mask does not move with the labels",
        )


@check("augments")
def labels_stay_labels(config: Config) -> None:
    """Labels and masks get no values that were not there, as by interpolation, or by noise."""
    augment, dims = _augment(config)
    before = _patch(dims)
    for seed in range(DRAWS):
        after = _patch(dims, augment, seed)
        for name in ("gt", "mask"):
            known = {0, *np.unique(getattr(before, name)).tolist()}
            new = set(np.unique(getattr(after, name)).tolist()) - known
            demand(not new, f"the {name} has new values afterwards, {sorted(new)[:5]}; only move labels")


@check("augments")
def probability_zero_changes_nothing(config: Config) -> None:
    """With ``augmentation_probability=0`` patches are as they are without the augment."""
    never = config.replace(augmentation_probability=0)
    _, dims = _augment(config)
    with_it, without = (_samples(augments, dims) for augments in ([never], []))
    for one, other in zip(with_it, without, strict=True):
        demand(
            np.array_equal(one, other),
            "with augmentation_probability=0 it changes patches; leave that field what it is",
        )


@check("augments")
def chance_comes_from_the_generator(config: Config) -> None:
    """With the same generator an augment does the same, and keeps nothing from patch to patch."""
    augment, dims = _augment(config)
    one = _patch(dims, augment, 0)
    _patch(dims, augment, 1)
    for which, again in (("", build(config)), (" after another patch", augment)):
        other = _patch(dims, again, 0)
        demand(
            np.array_equal(one.raw, other.raw) and np.array_equal(one.gt, other.gt),
            f"with the same generator it does something else{which}; draw from the generator that change() "
            "and deformation() are given, and keep nothing between patches",
        )


@check("augments")
def configs_are_left_alone(config: Config) -> None:
    """Augmenting does not change the config."""
    before = config.replace()
    augment, dims = _augment(config)
    _patch(dims, augment, 0)
    demand(before == config, "augmenting changed its config; keep the config as it is")


def _augment(config: Config) -> tuple[Augment, int]:
    """Return the augment, and whether it takes volumes or sections."""
    for dims in (3, 2):
        try:
            _patch(dims, build(config), 0)
        except (InvalidConfig, DataError) as error:
            refusal = error
        else:
            return build(config), dims
    raise AssertionError(f"it takes neither volumes nor sections: {refusal}")


def _source(dims: int) -> PatchSource:
    labels = blobs((SIZE * 2,) * dims, count=12, radii=(4, 7))
    labels[_rim(labels.shape)] = 0  # so that nothing is lost of what is turned
    image, mask = image_of(labels), (labels > 0).astype(np.uint8)
    volume = MemoryDataset(
        "volume", array(image, dims, "image"), array(labels, dims, "labels"), array(mask, dims, "mask")
    )
    return PatchSource(volume, _shape(dims))


def _rim(shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    rim = np.ones(shape, bool)
    rim[(slice(3, -3),) * len(shape)] = False
    return rim


def _shape(dims: int) -> PatchShape:
    size = Roi((0,) * dims, (SIZE * 2 * VOXEL,) * dims)
    return PatchShape(size.shape / (SIZE * 2), size.shape / (SIZE * 2), size, size, size)


def _patch(dims: int, augment: Augment | None = None, seed: int = 0) -> Patch:
    """Return the same patch, augmented by what is drawn with a seed."""
    source, random = _source(dims), np.random.default_rng(seed)
    deformation = Deformation.identity(dims)
    if isinstance(augment, SpatialAugment):
        deformation = augment.deformation(source.shape.extent, random)
    patch = source.read(np.zeros(dims, int), deformation)
    patch.mask = np.ones(patch.gt.shape, np.uint8) if patch.mask is None else patch.mask
    if augment is not None:
        augment.change(patch, random)
    return patch


def _samples(augments: list[Any], dims: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    trainer = PatchTrainerConfig("patches", augments=augments)
    task, model = task_and_model(dims)
    maker = BatchMaker(trainer, [dataset(dims=dims)], model, task, 0)
    return [maker.sample(iteration, 0).patch.raw for iteration in range(DRAWS)]
