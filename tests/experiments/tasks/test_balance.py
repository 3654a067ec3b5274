"""Class weights by their formula."""

from __future__ import annotations

import numpy as np
import pytest

from dacapo.experiments.tasks.balance import MovingCounts, class_weights, count_classes


def test_weights_are_those_of_the_formula() -> None:
    counts = np.array([[60, 40], [50, 50]])
    np.testing.assert_allclose(class_weights(counts), [[1 / 1.2, 1 / 0.8], [1, 1]], rtol=1e-6)
    np.testing.assert_allclose(class_weights(np.array([5, 3, 2])), [1 / 1.5, 1 / 0.9, 1 / 0.6], rtol=1e-6)


def test_fractions_are_clipped() -> None:
    np.testing.assert_allclose(class_weights(np.array([1000, 0])), [1 / 1.9, 1 / 0.1], rtol=1e-6)
    np.testing.assert_allclose(class_weights(np.array([0, 8]), 0.2, 0.5), [1 / 0.4, 1], rtol=1e-6)


def test_with_nothing_counted_all_classes_weigh_the_same() -> None:
    np.testing.assert_allclose(class_weights(np.zeros((2, 4))), 1)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.uint64, np.float32])
def test_counting_is_the_same_for_all_types(dtype: type) -> None:
    rng = np.random.default_rng(0)
    labels, mask = rng.integers(0, 2, (5, 6)), rng.random((5, 6)) < 0.5
    assert count_classes(labels.astype(dtype), 2).tolist() == [(labels == 0).sum(), labels.sum()]
    counted = labels[mask]
    assert count_classes(labels.astype(dtype), 2, mask).tolist() == [(counted == 0).sum(), counted.sum()]


def test_unknown_labels_are_not_counted() -> None:
    for labels in (np.array([0, 1, 1, 200], np.uint8), np.array([0, 1, 1, -3])):
        assert count_classes(labels, 3).tolist() == [1, 2, 0]


def test_what_lies_behind_the_window_is_forgotten_and_counted_once() -> None:
    counted: list[int] = []

    def count(number: int) -> np.ndarray:
        counted.append(number)
        return np.array([1, number])

    window = MovingCounts(count, 3)
    assert [window.until(end).tolist() for end in (0, 1, 2, 5)] == [[3, -6], [3, -3], [3, 0], [3, 9]]
    assert counted == [-3, -2, -1, 0, 1, 2, 3, 4]
    for end in range(6, 3000):
        assert window.until(end).tolist() == [3, 3 * end - 6]
    assert counted == list(range(-3, 2999)) and len(window._counts) == 3 + MovingCounts.KEPT
    assert window.until(10).tolist() == [3, 24]  # whoever goes back gets the same again
