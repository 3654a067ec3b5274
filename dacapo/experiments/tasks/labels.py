"""Reading ground truth and masks as a task needs them, and refusing what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from funlib.geometry import Roi

from dacapo.errors import InvalidArray, InvalidLabels
from dacapo.experiments.datasplits.datasets.arrays.array import Array

NDArray = np.ndarray[Any, Any]


def read_channels(array: Array, channels: Sequence[str], roi: Roi | None = None) -> NDArray:
    """Read an array as (channel, spatial...), one channel for each of the names.

    An array without a channel axis is taken for one channel; any other number than that of the
    names raises ``InvalidArray``.
    """
    data = array.data if roi is None else array[roi]
    if array.num_channels is None:
        data = data[np.newaxis]
    if len(data) != len(channels):
        raise InvalidArray(
            f"{array.name} has {len(data)} channel(s), but the task predicts {len(channels)} "
            f"({', '.join(channels)}); give it one binary channel for each, for example with a "
            "BinarizeArrayConfig"
        )
    return data


def read_ids(array: Array, roi: Roi | None = None) -> NDArray:
    """Read an array of ids, without a channel axis; more than one channel raises ``InvalidArray``."""
    data = array.data if roi is None else array[roi]
    if array.num_channels is None:
        return data
    if len(data) != 1:
        raise InvalidArray(
            f"{array.name} has {len(data)} channels, but this task needs one volume of class ids; "
            "combine the channels into ids, or use a DistanceTaskConfig"
        )
    single: NDArray = data[0]
    return single


def read_mask(mask: Array | None, roi: Roi | None = None, num_channels: int = 1) -> NDArray | None:
    """Read where voxels count, as (channel, spatial...) booleans; None if they all do.

    What lies beyond the mask does not count.  The result has one channel that holds for all,
    or ``num_channels``; a mask of any other number raises ``InvalidArray``.
    """
    if mask is None:
        return None
    known: NDArray = mask.to_ndarray(roi) > 0
    if mask.num_channels is None:
        known = known[np.newaxis]
    if len(known) not in (1, num_channels):
        raise InvalidArray(
            f"{mask.name} has {len(known)} channels, but should have one for all classes or "
            f"{num_channels}, one for each"
        )
    return None if known.all() else known


def of_channel(known: NDArray | None, channel: int) -> NDArray | None:
    """Return the part of what ``read_mask`` read that holds for one channel."""
    return None if known is None else known[channel % len(known)]


def without(ignored: int | None, labels: NDArray, known: NDArray | None) -> NDArray | None:
    """Return where voxels count, which are known and do not have the label to ignore."""
    if ignored is None:
        return known
    kept: NDArray = labels != ignored
    return kept if known is None else kept & known


def require_labels(labels: NDArray, num_classes: int, mask: NDArray | None, whose: str, remedy: str) -> None:
    """Raise ``InvalidLabels`` if voxels that count have labels other than 0 ... num_classes - 1."""
    if labels.dtype == bool or labels.size == 0:
        return
    whole = labels.dtype.kind in "iu"
    if whole and labels.min() >= 0 and labels.max() < num_classes:
        return
    counted = labels if mask is None else labels[mask]
    strange = np.setdiff1d(counted, np.arange(num_classes))
    if len(strange):
        shown = ", ".join(f"{label:g}" for label in strange[:8]) + (", ..." if len(strange) > 8 else "")
        raise InvalidLabels(
            f"{whose} has the labels {shown}, but only 0 to {num_classes - 1} stand for the "
            f"{num_classes} classes; {remedy}, or mask these voxels out"
        )


BINARY_REMEDY = "say with a BinarizeArrayConfig which ids make up which class"
IDS_REMEDY = "renumber them, name all classes in the task, or make one of them its ignore_label"
