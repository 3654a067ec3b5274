"""Datasets of an image and its ground truth, which have to fit each other."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dacapo.config import build
from dacapo.errors import InvalidArray, MissingData

from .arrays.array import Array
from .arrays.units import differ
from .dataset import Dataset

if TYPE_CHECKING:
    from .configs import DummyDatasetConfig, RawGTDatasetConfig


class RawGTDataset(Dataset):
    """An image with ground truth and mask, opened and held against each other when asked for.

    Raises ``InvalidArray`` where they do not lie on one grid or have no region in common.
    """

    def __init__(self, config: RawGTDatasetConfig) -> None:
        super().__init__(config.name, config.weight, config.sample_points)
        self._config = config

    @cached_property
    def raw(self) -> Array:
        """The image."""
        if self._config.raw_config is None:
            raise MissingData(f"dataset {self.name!r} has no image; give its config a raw_config")
        raw: Array = build(self._config.raw_config)
        for point in self.sample_points or ():
            if len(point) != raw.dims:
                raise InvalidArray(
                    f"dataset {self.name!r}: the sample point {tuple(point)} should have {raw.dims} values, "
                    f"one per spatial axis of {raw.name}"
                )
        return raw

    @cached_property
    def gt(self) -> Array | None:
        """The ground truth; None if there is none."""
        if self._config.gt_config is None:
            return None
        gt: Array = build(self._config.gt_config)
        refuse_misfit(self.name, "ground truth", gt, "image", self.raw)
        return gt

    @cached_property
    def mask(self) -> Array | None:
        """Where the ground truth counts (above 0); None means everywhere."""
        if self._config.mask_config is None:
            return None
        mask: Array = build(self._config.mask_config)
        if self.gt is not None:
            refuse_misfit(self.name, "mask", mask, "ground truth", self.gt)
            refuse_other_grid(self.name, mask, self.gt)
        return mask


class DummyDataset(Dataset):
    """An image without ground truth."""

    def __init__(self, config: DummyDatasetConfig) -> None:
        super().__init__(config.name, config.weight)
        self._config = config

    @cached_property
    def raw(self) -> Array:
        """The image."""
        raw: Array = build(self._config.raw_config)
        return raw


def refuse_misfit(dataset: str, what: str, array: Array, other_what: str, other: Array) -> None:
    """Raise ``InvalidArray`` unless two arrays can be used together."""
    head = f"dataset {dataset!r}: the {what} ({array.name}) and the {other_what} ({other.name})"
    if array.dims != other.dims:
        raise InvalidArray(
            f"{head} have {array.dims} and {other.dims} spatial axes, {array.axis_names} and "
            f"{other.axis_names}; they should have the same, channels being marked by ^"
        )
    if any(map(differ, array.units, other.units)):
        raise InvalidArray(f"{head} are measured in {array.units} and {other.units}; bring both to one unit")
    sizes = tuple(array.voxel_size), tuple(other.voxel_size)
    if any(max(a, b) % min(a, b) for a, b in zip(*sizes, strict=True)):
        raise InvalidArray(
            f"{head} have voxels of {sizes[0]} and {sizes[1]}; along every axis one should be a multiple of "
            "the other; correct the voxel size of one, or wrap it in a ResampledArrayConfig"
        )
    apart = array.offset - other.offset
    if any(gap % min(a, b) for gap, a, b in zip(apart, *sizes, strict=True)):
        raise InvalidArray(
            f"{head} begin at {tuple(array.offset)} and {tuple(other.offset)}, not whole voxels apart; "
            "correct the offset of one, or open it with ZarrArrayConfig(..., snap_to_grid=...)"
        )
    if not array.roi.intersects(other.roi):
        raise InvalidArray(
            f"{head} have no region in common: they cover {array.roi} and {other.roi}; correct the offset "
            "of one of them"
        )


def refuse_other_grid(dataset: str, mask: Array, gt: Array) -> None:
    """Raise ``InvalidArray`` unless the voxels of mask and ground truth are the same ones."""
    apart = mask.offset - gt.offset
    if mask.voxel_size != gt.voxel_size or not apart.is_multiple_of(gt.voxel_size):
        raise InvalidArray(
            f"dataset {dataset!r}: the mask ({mask.name}) has voxels of {tuple(mask.voxel_size)} from "
            f"{tuple(mask.offset)}, and the ground truth ({gt.name}) of {tuple(gt.voxel_size)} from "
            f"{tuple(gt.offset)}; they should be the same voxels: wrap the mask in a ResampledArrayConfig"
        )
    if mask.num_channels not in (None, 1, gt.num_channels):
        raise InvalidArray(
            f"dataset {dataset!r}: the mask ({mask.name}) has {mask.num_channels} channels; it should have "
            f"none, or as many as the ground truth ({gt.num_channels})"
        )


__all__ = ["DummyDataset", "RawGTDataset", "refuse_misfit", "refuse_other_grid"]
