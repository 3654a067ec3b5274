"""Patches show what lies at their place, whatever grids the arrays of a dataset have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from dacapo.errors import InvalidArray, OutsideData, ShapeError
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.trainers import Deformation
from dacapo.experiments.trainers.deformation import ControlGrid
from dacapo.experiments.trainers.patch_source import PatchSource
from memory_dataset import MemoryDataset, TinyModel, balls, noise, shape_for, source_for

SHAPE = (20, 24, 28)
STILL = Deformation.identity(3)


def dataset(mask: Any = None, **rest: Any) -> MemoryDataset:
    return MemoryDataset("data", noise(SHAPE), balls(SHAPE), mask, **rest)


def position(axis: int, shape: Any, voxel_size: Any, offset: Any) -> NumpyArray:
    """An array whose values say where along an axis they are, in world units."""
    along = np.arange(shape[axis]) * voxel_size[axis] + offset[axis] + voxel_size[axis] / 2
    data = np.broadcast_to(np.moveaxis(along[:, None, None], 0, axis), shape).astype(np.float32)
    return NumpyArray(data, voxel_size, offset)


def wavy(dims: int, size: float = 300.0, sigma: float = 6.0) -> Deformation:
    random = np.random.default_rng(5)
    turn = np.eye(dims)
    turn[-2:, -2:] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    spacing = np.full(dims, 60.0)
    points = ControlGrid.points_for([size] * dims, spacing)
    return Deformation(turn, ControlGrid(random.normal(0, sigma, (dims, *points)), spacing))


def test_a_patch_is_the_data_at_its_place() -> None:
    data, model = dataset(), TinyModel((9, 8, 7), valid=True)
    source = source_for(model, data, margin=1)
    assert source.places == (14, 19, 24)
    patch = source.read(np.array([3, 4, 5]), STILL)
    begin = [place - 1 for place in (3, 4, 5)]
    around = tuple(slice(b, b + s) for b, s in zip(begin, (9, 8, 7), strict=True))
    assert (patch.raw[0] == data.raw.data[around]).all()
    assert (patch.gt == data.gt.data[around]).all()
    assert patch.mask is None


def test_context_beyond_the_image_is_zero_and_beyond_the_ground_truth_masked() -> None:
    data, model = dataset(), TinyModel((9, 9, 9), valid=True)
    patch = source_for(model, data, margin=2).read(np.array([0, 0, 0]), STILL)
    assert (patch.raw[0, 0] == 0).all() and (patch.raw[0, 1:, 1:, 1:] == data.raw.data[:8, :8, :8]).all()
    assert patch.mask is not None and patch.mask.shape == (11, 11, 11)
    assert not patch.mask[:2].any() and not patch.mask[:, :, :2].any() and patch.mask[2:, 2:, 2:].all()


def test_clipped_images_end_where_the_ground_truth_does() -> None:
    gt = balls((10, 10, 10), offset=(40, 40, 40))
    data, model = MemoryDataset("data", noise(SHAPE), gt), TinyModel((6, 6, 6), valid=True)
    whole = source_for(model, data).read(np.array([0, 0, 0]), STILL)
    clipped = source_for(model, data, clip_raw=True).read(np.array([0, 0, 0]), STILL)
    assert (whole.raw[0] == data.raw.data[4:10, 4:10, 4:10]).all()
    assert (clipped.raw[0, 1:, 1:, 1:] == whole.raw[0, 1:, 1:, 1:]).all()
    assert not clipped.raw[0, 0].any() and whole.raw[0, 0].any()
    turned = source_for(model, data, clip_raw=True).read(np.array([0, 0, 0]), wavy(3))
    free = source_for(model, data).read(np.array([0, 0, 0]), wavy(3))
    assert (turned.raw <= free.raw).all() and (turned.raw < free.raw).any() and (turned.raw == free.raw).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_image_and_ground_truth_follow_one_field_in_the_world(axis: int) -> None:
    """Voxels of 16 x 8 x 8 and 8 x 4 x 4, with different offsets, show the same positions."""
    raw = position(axis, (40, 80, 80), (16, 8, 8), (0, 0, 0))
    gt = position(axis, (60, 120, 120), (8, 4, 4), (80, 40, 40))
    model = TinyModel((6, 10, 10), upscale=2)
    source = source_for(model, MemoryDataset("data", raw, gt))
    place = np.array([8, 20, 20])
    begin = np.asarray(source.begin(place))
    patch = source.read(place, wavy(3))
    assert patch.raw.shape == (1, 6, 10, 10) and patch.gt.shape == (12, 20, 20)
    # Of a field so smooth, the mean over the eight voxels of the output is the value of the input.
    coarse = patch.gt.reshape(6, 2, 10, 2, 10, 2).mean((1, 3, 5))
    assert np.abs(coarse - patch.raw[0]).max() < gt.voxel_size[axis]
    assert np.abs(patch.raw[0] - position(axis, (6, 10, 10), (16, 8, 8), begin).data).max() > 4


def test_a_deformed_patch_reads_what_it_needs_and_no_more() -> None:
    class Watched(NumpyArray):
        rois: list[Roi] = []

        def to_ndarray(self, roi: Roi | None = None, fill_value: float = 0) -> Any:
            assert roi is not None
            self.rois.append(roi)
            return super().to_ndarray(roi, fill_value)

    raw = Watched(noise((100, 100, 100)).data, (8, 8, 8))
    data = MemoryDataset("data", raw, balls((100, 100, 100)))
    source = source_for(TinyModel((16, 16, 16)), data)
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    source.read(np.array([40, 40, 40]), Deformation(turn))
    # Voxel centres span 15 voxels, 15 * 1.4 once turned: 21 and what is needed to interpolate.
    assert Watched.rois[0].shape / 8 == Coordinate(17, 23, 23)


def test_two_dimensional_patches() -> None:
    raw, gt = noise((60, 50), (4, 4)), balls((60, 50), (4, 4))
    source = source_for(TinyModel((12, 10)), MemoryDataset("data", raw, gt))
    assert (source.read(np.array([5, 6]), Deformation.identity(2)).raw[0] == raw.data[5:17, 6:16]).all()
    turned = source.read(np.array([24, 20]), wavy(2, sigma=2.0))
    assert turned.raw.shape == (1, 12, 10) and turned.gt.shape == (12, 10)
    flat = raw.data[np.newaxis], gt.data[np.newaxis]
    solid = MemoryDataset("solid", *(NumpyArray(data, (4, 4, 4)) for data in flat))
    matrix, control = np.eye(3), wavy(2, sigma=2.0).control
    matrix[1:, 1:] = turned_matrix = wavy(2).matrix
    assert control is not None and turned_matrix.shape == (2, 2)
    field = np.concatenate([np.zeros((1, *control.displacement.shape[1:])), control.displacement])
    layers = np.repeat(field[:, np.newaxis], 5, axis=1)
    spacing = np.array([60.0, 60.0, 60.0])
    same = source_for(TinyModel((1, 12, 10)), solid).read(
        np.array([0, 24, 20]), Deformation(matrix, ControlGrid(layers, spacing))
    )
    assert np.allclose(same.raw[:, 0], turned.raw, atol=1e-5) and (same.gt[0] == turned.gt).all()


def test_channels_of_image_ground_truth_and_mask() -> None:
    raw = noise((2, *SHAPE))
    gt = NumpyArray(np.stack([balls(SHAPE).data, balls(SHAPE, seed=1).data]), (8, 8, 8))
    mask = NumpyArray((noise((2, *SHAPE), seed=2).data > 0.5).astype(np.uint8) * 7, (8, 8, 8))
    source = source_for(TinyModel((6, 6, 6), channels=2), MemoryDataset("data", raw, gt, mask))
    patch = source.read(np.array([7, 8, 9]), STILL)
    assert patch.mask is not None
    assert (patch.raw == raw.data[:, 7:13, 8:14, 9:15]).all() and (
        patch.gt == gt.data[:, 7:13, 8:14, 9:15]
    ).all()
    assert (patch.mask == (mask.data[:, 7:13, 8:14, 9:15] > 0)).all()
    turned = source.read(np.array([7, 8, 9]), wavy(3))
    assert turned.raw.shape == (2, 6, 6, 6) and turned.mask is not None and turned.mask.shape == (2, 6, 6, 6)


@pytest.mark.parametrize("offset", [(8, 16, 0), (4, 0, 0)])
def test_mask_on_a_grid_of_its_own(offset: Any) -> None:
    values = (noise(SHAPE, seed=3).data > 0.3).astype(np.uint8)
    data = dataset(NumpyArray(values, (8, 8, 8), offset))
    source = source_for(TinyModel((6, 6, 6)), data)
    patch = source.read(np.array([5, 5, 5]), STILL)
    # A voxel whose centre lies on the border of two belongs to the second.
    at = [int(np.floor((5 * 8 + 4 - o) / 8)) for o in offset]
    assert (patch.mask == values[tuple(slice(a, a + 6) for a in at)]).all()
    assert source.masked(np.array([5, 5, 5])) == pytest.approx(patch.mask.mean())


def test_a_missing_mask_is_never_made() -> None:
    """B44: the existing one makes ones as large as the ground truth."""
    huge = np.broadcast_to(np.uint8(1), (10**5,) * 3)
    raw = NumpyArray(np.broadcast_to(np.float32(0.5), huge.shape), (8, 8, 8))
    source = PatchSource(
        MemoryDataset("huge", raw, NumpyArray(huge, (8, 8, 8))),
        shape_for(TinyModel((6, 6, 6)), MemoryDataset("huge", raw, None)),
    )
    assert source.read(np.array([10, 10, 10]), wavy(3)).mask is None
    corner = source.read(np.array([0, 0, 0]), wavy(3))
    assert corner.mask is not None and 0 < corner.mask.mean() < 1 and (corner.gt == corner.mask).all()


def test_grids_shifted_by_half_a_voxel_leave_room_for_a_patch() -> None:
    data = MemoryDataset("data", noise((8, 8, 8)), balls((8, 8, 8), offset=(4, 4, 4)))
    source = source_for(TinyModel((8, 8, 8)), data)
    patch = source.read(np.zeros(3, int), STILL)
    assert source.places == (1, 1, 1) and (patch.gt == data.gt.data).all() and patch.mask is None


def test_patches_larger_than_the_data() -> None:
    with pytest.raises(
        OutsideData, match=r"dataset data: .*\(176, 160, 160\).* share only \(160, 192, 224\)"
    ):
        source_for(TinyModel((22, 20, 20)), dataset())
    apart = MemoryDataset("apart", noise(SHAPE), balls(SHAPE, offset=(1000, 0, 0)))
    with pytest.raises(OutsideData, match="dataset apart"):
        source_for(TinyModel((4, 4, 4)), apart)


def test_arrays_that_do_not_fit_the_network() -> None:
    with pytest.raises(ShapeError, match=r"takes patches of 2 dimensions, \(8, 8\), and raw has 3"):
        source_for(TinyModel((8, 8)), dataset())
    with pytest.raises(
        InvalidArray, match="gt has voxel size .*4, 4, 4.* predicts at .*8, 8, 8.* ResampledArrayConfig"
    ):
        source_for(TinyModel((4, 4, 4)), MemoryDataset("data", noise(SHAPE), balls(SHAPE, (4, 4, 4))))
    shape = shape_for(TinyModel((4, 4, 4)), dataset())
    with pytest.raises(
        InvalidArray, match="raw has voxel size .*4, 4, 4.* images of all datasets should have"
    ):
        PatchSource(MemoryDataset("fine", noise(SHAPE, (4, 4, 4)), balls(SHAPE)), shape)
    with pytest.raises(InvalidArray, match="the mask .* has 2 dimensions, and the ground truth 3"):
        PatchSource(dataset(noise((20, 24), (8, 8))), shape)
    with pytest.raises(InvalidArray, match="dataset bare: to train on it, it needs ground truth"):
        PatchSource(MemoryDataset("bare", noise(SHAPE), None), shape)
