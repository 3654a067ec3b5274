"""Class weights that let rare classes count as much as frequent ones."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]


def count_classes(labels: NDArray, num_classes: int, mask: NDArray | None = None) -> NDArray:
    """Return how many voxels that count belong to each class; other labels are left out."""
    if num_classes == 2 and labels.dtype == bool:
        known = labels.size if mask is None else np.count_nonzero(mask)
        inside = np.count_nonzero(labels if mask is None else labels & mask)
        return np.array([known - inside, inside], np.int64)
    counted = labels.ravel() if mask is None else labels[mask]
    if counted.dtype != np.uint8:
        counted = counted[(counted >= 0) & (counted < num_classes)].astype(np.int64)
    found: NDArray = np.bincount(counted, minlength=num_classes)[:num_classes]
    return found.astype(np.int64)


def class_weights(counts: NDArray, clipmin: float = 0.05, clipmax: float = 0.95) -> NDArray:
    """Return the weight of each class, 1 / (number of classes * fraction of the class).

    ``counts`` are voxels per class, along the last axis.  Fractions are clipped to ``clipmin``
    ... ``clipmax``; where nothing was counted all classes weigh 1.
    """
    counts = np.asarray(counts, np.float64)
    num_classes = counts.shape[-1]
    total = counts.sum(axis=-1, keepdims=True)
    fractions = np.divide(counts, total, out=np.full_like(counts, 1 / num_classes), where=total > 0)
    weights: NDArray = 1 / (num_classes * np.clip(fractions, clipmin, clipmax))
    return weights.astype(np.float32)


class MovingCounts:
    """The voxels of each class in a window of patches that moves on with training, and forgets.

    Patches are numbered, and ``count(number)`` counts one: in whichever thread first needs it, and as a
    rule once.  A window follows from its numbers alone, so nothing of it needs to be stored.
    """

    KEPT = 1000  # of the counts behind the window: threads are a few batches apart

    def __init__(self, count: Callable[[int], NDArray], window: int) -> None:
        self._count, self.window = count, window
        self._counts: dict[int, NDArray] = {}
        self._lock = Lock()

    def until(self, end: int) -> NDArray:
        """Return the sum of the counts of patches ``end - window`` ... ``end - 1``."""
        numbers = range(end - self.window, end)
        with self._lock:
            for number in numbers:
                if number not in self._counts:
                    self._counts[number] = self._count(number)
            for old in [number for number in self._counts if number < numbers.start - self.KEPT]:
                del self._counts[old]
            total: NDArray = np.sum([self._counts[number] for number in numbers], axis=0)
        return total
