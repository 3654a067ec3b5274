"""The made-up micrograph: always the same, and with something to find in it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dacapo.demo.volume import synthesize

SHAPE = (48, 96, 96)


@pytest.fixture(scope="module")
def tissue():
    return synthesize(SHAPE, seed=1)


def test_it_is_an_image_with_labels(tissue):
    assert tissue.raw.shape == tissue.mitochondria.shape == SHAPE
    assert tissue.raw.dtype == tissue.mitochondria.dtype == np.uint8
    assert set(np.unique(tissue.mitochondria)) == {0, 1}


def test_the_seed_decides_everything(tissue):
    again, other = synthesize(SHAPE, seed=1), synthesize(SHAPE, seed=2)
    np.testing.assert_array_equal(tissue.raw, again.raw)
    np.testing.assert_array_equal(tissue.mitochondria, again.mitochondria)
    assert (tissue.raw != other.raw).mean() > 0.5


def test_it_has_several_mitochondria_of_different_sizes(tissue):
    components, count = ndimage.label(tissue.mitochondria)
    sizes = np.bincount(components.ravel())[1:]
    assert count >= 3
    assert sizes.max() > 2 * sizes.min()
    assert 0.02 < tissue.mitochondria.mean() < 0.2


def test_brightness_alone_does_not_find_them(tissue):
    smooth = ndimage.gaussian_filter(tissue.raw.astype(np.float32), 1)
    truth = tissue.mitochondria > 0
    best = 0.0
    for threshold in np.percentile(smooth, np.arange(2, 60, 2)):
        found = smooth < threshold
        best = max(best, 2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert best < 0.6


def test_they_have_a_dark_membrane_around_a_brighter_inside(tissue):
    depth = ndimage.distance_transform_edt(tissue.mitochondria)
    raw = tissue.raw.astype(np.float32)
    assert raw[(depth > 0) & (depth <= 1.5)].mean() < raw[depth > 4].mean() < raw[depth == 0].mean()


def test_sections_differ_in_brightness_and_voxels_are_noisy(tissue):
    means = tissue.raw.reshape(len(tissue.raw), -1).mean(axis=1)
    assert means.std() > 2
    difference = np.diff(tissue.raw.astype(np.float32), axis=2)
    assert difference.std() > 8
