"""Taking patches out of a dataset, deformed on the way."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, OutsideData, ShapeError
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray

from .augment import Extent, Patch
from .deformation import Deformation
from .warp import IndexMap, index_map

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets.dataset import Dataset
    from dacapo.experiments.model import Model
    from dacapo.experiments.tasks.predictors.predictor import Predictor

NDArray = np.ndarray[Any, Any]


@attrs.frozen
class PatchShape:
    """What a network takes and what its targets are made from, as regions around an output at 0.

    Regions are in world units; ``voxel_size`` is that of the image, ``gt_voxel_size`` that of the
    output and so of the ground truth.
    """

    voxel_size: Coordinate
    gt_voxel_size: Coordinate
    input_roi: Roi
    output_roi: Roi
    gt_roi: Roi

    @classmethod
    def of(cls, model: Model, predictor: Predictor, raw: Array) -> PatchShape:
        """Return the shape for a network that looks at images of this voxel size."""
        input_shape, output_shape = Coordinate(model.input_shape), Coordinate(model.output_shape)
        if len(input_shape) != raw.dims:
            raise ShapeError(
                f"the network takes patches of {len(input_shape)} dimensions, {tuple(input_shape)}, and "
                f"{raw.name} has {raw.dims}; for sections of a volume give the network an input_shape with a "
                "leading 1, and kernels and factors with leading 1s"
            )
        voxel_size = raw.voxel_size
        gt_voxel_size = Coordinate(model.scale(voxel_size))
        output = Roi((0,) * raw.dims, output_shape * gt_voxel_size)
        context = (input_shape * voxel_size - output.shape) / 2
        gt = predictor.gt_region_for_roi(output, gt_voxel_size).snap_to_grid(gt_voxel_size, mode="grow")
        return cls(voxel_size, gt_voxel_size, Roi(-context, input_shape * voxel_size), output, gt)

    def centre(self, begin: Coordinate) -> NDArray:
        """Return the point that a patch turns around, if its output begins at ``begin``."""
        return np.asarray(begin) + np.asarray(self.output_roi.shape) / 2

    @property
    def extent(self) -> Extent:
        """The box around the centre of the output that holds image and ground truth."""
        middle = self.centre(self.output_roi.begin)
        corners = [corner for roi in (self.input_roi, self.gt_roi) for corner in (roi.begin, roi.end)]
        reach = np.abs(np.asarray(corners) - middle).max(axis=0)
        return Extent(Coordinate(np.ceil(2 * reach)), self.voxel_size)


class Window:
    """Where the voxels of one deformed patch lie in an array: what to read of it, and how."""

    def __init__(
        self, array: Array, roi: Roi, voxel_size: Coordinate, centre: NDArray, deformation: Deformation,
        interpolate: bool = False,
    ) -> None:  # fmt: skip
        self.dims = array.dims
        self.shape = tuple(roi.shape / voxel_size)
        self.map: IndexMap = index_map(
            deformation,
            self.shape,
            np.asarray(voxel_size, np.float64),
            np.asarray(roi.begin) - centre,
            np.asarray(array.voxel_size, np.float64),
            np.asarray(array.offset) - centre,
        )
        self.exact = self.map.is_exact()
        low, high = self.map.box()
        # The map is evaluated once more when sampling, and may then be rounded to the other side.
        if interpolate and not self.exact:
            self.begin, end = np.floor(low).astype(int), np.floor(high + 1e-6).astype(int) + 2
        else:
            self.begin, end = np.floor(low + 0.5).astype(int), np.floor(high + 0.5 + 1e-6).astype(int) + 1
        first, last = Coordinate(self.begin[-self.dims :]), Coordinate(end[-self.dims :])
        self.roi = Roi(array.offset + first * array.voxel_size, (last - first) * array.voxel_size)

    def interpolated(self, array: Array, limit: Roi | None = None) -> NDArray:
        """Return interpolated values, float32, channels first; 0 beyond the data and beyond the limit."""
        block = self._read(array, limit)
        values = self.map.take(block, self.begin) if self.exact else self.map.linear(block, self.begin)
        return values.reshape(-1, *self.shape).astype(np.float32, copy=False)

    def nearest(self, array: Array) -> NDArray:
        """Return the values of the nearest voxels, of any array on the same grid; 0 beyond the data."""
        block = self._read(array)
        if self.exact:
            values = self.map.take(block, self.begin)
        else:
            # No index lies outside; clipping them only saves the test.
            values = block.reshape(len(block), -1).take(self._indices, axis=1, mode="clip")
        return values.reshape(*array.shape[: array.channel_dims], *self.shape)

    @cached_property
    def _indices(self) -> NDArray:
        return self.map.nearest(self._read_shape, self.begin)

    def _read(self, array: Array, limit: Roi | None = None) -> NDArray:
        """Read what is needed, as (channel, z, y, x)."""
        inside = limit is None or limit.contains(self.roi)
        block = array.to_ndarray(self.roi) if inside else _within(array, self.roi, limit)
        self._read_shape = (1,) * (3 - self.dims) + block.shape[array.channel_dims :]
        return block.reshape(-1, *self._read_shape)


def _within(array: Array, roi: Roi, limit: Roi) -> NDArray:
    """Read a region of an array, with 0 outside of the limit."""
    data = np.zeros((*array.shape[: array.channel_dims], *(roi.shape / array.voxel_size)), array.dtype)
    inner = roi.intersect(limit).intersect(array.roi) - array.offset
    inner = inner.snap_to_grid(array.voxel_size, mode="shrink") + array.offset
    if not inner.empty:
        begin, size = (inner.begin - roi.begin) / array.voxel_size, inner.shape / array.voxel_size
        target: Any = [slice(b, b + s) for b, s in zip(begin, size, strict=True)]
        data[(..., *target)] = array[inner]
    return data


class PatchSource:
    """One dataset, as a place to take patches from.

    Places are numbered along each axis, 0 to ``places`` - 1, one voxel of the image apart; at any of
    them the output of the network lies inside the ground truth and the image.
    """

    def __init__(self, dataset: Dataset, shape: PatchShape, clip_raw: bool = False) -> None:
        if dataset.gt is None:
            raise InvalidArray(
                f"dataset {dataset.name}: to train on it, it needs ground truth; add a gt_config"
            )
        self.name, self.weight, self.shape = dataset.name, dataset.weight, shape
        self.raw, self.gt, self.mask = dataset.raw, dataset.gt, dataset.mask
        self.sample_points = dataset.sample_points
        self.limit = self.gt.roi if clip_raw else None
        self._check_arrays()
        self.first, self.places = self._places()
        # As large as the ground truth, but one voxel in memory.
        ones = np.broadcast_to(np.uint8(1), tuple(self.gt.spatial_shape))
        self._known = NumpyArray(ones, self.gt.voxel_size, self.gt.offset, name=f"extent of {self.gt.name}")

    def begin(self, place: NDArray) -> Coordinate:
        """Return where the output of the patch at a place begins, in world units."""
        return self.first + Coordinate(place) * self.shape.voxel_size

    @property
    def span(self) -> NDArray:
        """How far it is from the beginning of the first patch to the end of the last, in world units."""
        steps = (np.asarray(self.places) - 1) * np.asarray(self.shape.voxel_size)
        return np.asarray(steps + np.asarray(self.shape.output_roi.shape))

    def read(self, place: NDArray, deformation: Deformation) -> Patch:
        """Return the patch at a place, deformed."""
        shape = self.shape
        window = self._window(
            self.raw, shape.input_roi, shape.voxel_size, place, deformation, interpolate=True
        )
        image = window.interpolated(self.raw, self.limit)
        gt, mask = self.labels(shape.gt_roi, place, deformation)
        return Patch(image, gt, mask, shape.voxel_size, shape.gt_voxel_size)

    def labels(
        self, roi: Roi, place: NDArray, deformation: Deformation | None = None
    ) -> tuple[NDArray, NDArray | None]:
        """Return ground truth and mask of a region around the output of a patch; no mask if all counts."""
        window = self._gt_window(roi, place, deformation)
        return window.nearest(self.gt), self._mask(window, roi, place, deformation)

    def masked(self, place: NDArray) -> float:
        """Return the fraction of the output at a place that the mask lets count."""
        roi = self.shape.output_roi
        mask = self._mask(self._gt_window(roi, place), roi, place)
        return 1.0 if mask is None else float(mask.mean())

    def foreground(self, place: NDArray) -> float:
        """Return the fraction of the output at a place that is not background."""
        gt = self._gt_window(self.shape.output_roi, place).nearest(self.gt)
        return float((gt.any(axis=0) if self.gt.channel_dims else gt != 0).mean())

    def _gt_window(self, roi: Roi, place: NDArray, deformation: Deformation | None = None) -> Window:
        return self._window(self.gt, roi, self.shape.gt_voxel_size, place, deformation)

    def _mask(
        self, window: Window, roi: Roi, place: NDArray, deformation: Deformation | None = None
    ) -> NDArray | None:
        """Return the mask where a window looks at the ground truth."""
        mask = None if self.gt.roi.contains(window.roi) else window.nearest(self._known)
        if self.mask is None:
            return mask
        if not _same_grid(self.gt, self.mask):
            window = self._window(self.mask, roi, self.shape.gt_voxel_size, place, deformation)
        counts = (window.nearest(self.mask) > 0).astype(np.uint8)
        return counts if mask is None else counts * mask

    def _window(
        self, array: Array, roi: Roi, grid: Coordinate, place: NDArray, deformation: Deformation | None,
        interpolate: bool = False,
    ) -> Window:  # fmt: skip
        begin = self.begin(place)
        deformation = deformation or Deformation.identity(roi.dims)
        return Window(array, roi + begin, grid, self.shape.centre(begin), deformation, interpolate)

    def _check_arrays(self) -> None:
        for array, wanted, whose in (
            (self.raw, self.shape.voxel_size, "the images of all datasets should have"),
            (self.gt, self.shape.gt_voxel_size, "the network predicts at"),
        ):
            if array.voxel_size != wanted:
                raise InvalidArray(
                    f"dataset {self.name}: {array.name} has voxel size {tuple(array.voxel_size)}, but "
                    f"{whose} {tuple(wanted)}; bring it there with a ResampledArrayConfig"
                )
        if self.mask is not None and self.mask.dims != self.gt.dims:
            raise InvalidArray(
                f"dataset {self.name}: the mask {self.mask.name} has {self.mask.dims} dimensions, and "
                f"the ground truth {self.gt.dims}; they should be the same"
            )

    def _places(self) -> tuple[Coordinate, tuple[int, ...]]:
        """Return where the output of the first patch begins, and how many places there are per axis."""
        shape, gt, raw = self.shape, self.gt.roi, self.raw.roi
        begin, end = np.maximum(gt.begin, raw.begin), np.minimum(gt.end, raw.end)
        step, size = np.asarray(shape.voxel_size), np.asarray(shape.output_roi.shape)
        anchor = np.asarray(self.raw.offset - shape.input_roi.begin)
        # Grids of image and ground truth may be shifted by a part of a voxel.
        slack = np.asarray(shape.gt_voxel_size) // 2
        lowest = -((anchor + slack - begin) // step)
        highest = (end + slack - size - anchor) // step
        if (highest < lowest).any():
            shared = tuple(np.maximum(end - begin, 0).tolist())
            raise OutsideData(
                f"dataset {self.name}: the network predicts patches of {tuple(shape.output_roi.shape)}, in "
                f"world units, but image and ground truth share only {shared} of the {tuple(gt.shape)} that "
                f"the ground truth covers, {gt}; use a smaller input_shape, or a larger crop"
            )
        return Coordinate(anchor + lowest * step), tuple(int(n) for n in highest - lowest + 1)


def _same_grid(one: Array, other: Array) -> bool:
    shift = one.offset - other.offset
    return bool(one.voxel_size == other.voxel_size and shift.is_multiple_of(one.voxel_size))
