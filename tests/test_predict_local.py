"""Predicting tile by tile gives what predicting at once would give, for any region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi
from torch import nn

from dacapo import predict_local
from dacapo.errors import InvalidArray, InvalidRequest, OutsideData, ShapeError, Stopped
from dacapo.experiments.architectures import ArchitectureConfig, CNNectomeUNetConfig
from dacapo.experiments.datasplits.datasets.arrays.array import Array, NumpyArray
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import create_zarr, open_zarr
from dacapo.experiments.model import Model
from dacapo.experiments.tiling import tiles_covering
from dacapo.predict_local import predict
from dacapo.store.array_store import LocalArrayIdentifier

VOXEL = Coordinate(4, 2)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small spend their time waiting for the other thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def unet(activation=None, channels=2, kernel=1, dims=2, **changes):
    values = {
        "input_shape": (40,) * dims, "fmaps_in": 1, "fmaps_out": 3, "num_fmaps": 3, "fmap_inc_factor": 2,
        "downsample_factors": [(2,) * dims],
    }  # fmt: skip
    torch.manual_seed(0)
    head = {2: nn.Conv2d, 3: nn.Conv3d}[dims](3, channels, kernel)
    return Model(CNNectomeUNetConfig("net", **values | changes), head, activation)


def image(shape=(61, 87), seed=0, **geometry):
    data = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return NumpyArray(data, **{"voxel_size": VOXEL, "name": "image"} | geometry)


def at_once(model, raw):
    """Predict a whole array in one piece, on the grid that begins where the array does."""
    data = raw.data[None] if raw.num_channels is None else raw.data
    stride, scale = model.architecture.stride, model.architecture.geometry.scale
    sides = [(model.input_shape - model.output_shape / scale)[axis] // 2 for axis in range(raw.dims)]
    over = [
        (full - size - 2 * side) % step
        for full, size, side, step in zip(model.input_shape, raw.spatial_shape, sides, stride, strict=True)
    ]
    padded = np.pad(data, [(0, 0), *((side, side + more) for side, more in zip(sides, over, strict=True))])
    with torch.no_grad():
        out = model.eval()(torch.from_numpy(padded.astype(np.float32))[None])[0].numpy()
    return out[(..., *(slice(0, size) for size in raw.spatial_shape * scale))]


class Watched(NumpyArray):
    """An array that remembers how large a piece of it was read at most."""

    reads: list[int]

    def to_ndarray(self, roi=None, fill_value=0):
        block = super().to_ndarray(roi, fill_value)
        self.reads.append(block.size)
        return block


def watched(raw):
    array = Watched(raw.data, raw.voxel_size, raw.offset)
    array.reads = []
    return array


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"eval_shape_increase": (8, 4)},
        {"kernel": 3},
        {"use_attention": True, "batch_norm": True},
        {"downsample_factors": [(3, 3)], "input_shape": (37, 37)},
        {"upsample_factors": [(2, 1)]},
        {"fmaps_in": 2},
    ],
)
def test_tiles_give_what_the_whole_gives(changes):
    model = unet(**changes)
    raw = image((model.num_in_channels, 61, 87) if "fmaps_in" in changes else (61, 87), offset=(12, -6))
    whole = at_once(model, raw)
    for tile_shape in (None, model.input_shape):
        made = predict(model, raw, tile_shape=tile_shape, precision="fp32")
        assert made.roi == raw.roi
        assert made.voxel_size == model.scale(raw.voxel_size)
        assert made.axis_names == ["c^", "y", "x"]
        np.testing.assert_allclose(made.data, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "roi", [((12, -6), (4, 2)), ((48, 20), (60, 34)), ((56, 14), (188, 154)), ((16, -4), (240, 70))]
)
def test_a_voxel_is_the_same_whichever_region_was_asked_for(roi):
    model, raw, roi = unet(), image(offset=(12, -6)), Roi(*roi)
    whole = predict(model, raw, precision="fp32")
    for tile_shape in (None, (40, 44)):
        part = predict(model, raw, output_roi=roi, tile_shape=tile_shape, precision="fp32")
        assert part.roi == roi
        np.testing.assert_allclose(part.data, whole[roi], rtol=1e-4, atol=1e-5)


def test_a_region_is_grown_to_whole_voxels():
    model, raw = unet(), image(offset=(1, 1))
    assert predict(model, raw, output_roi=Roi((10, 10), (7, 4))).roi == Roi((9, 9), (8, 6))


def test_only_the_voxels_asked_for_are_written():
    model, raw = unet(), image()
    output = NumpyArray(np.full((2, 61, 87), 9, np.float32), VOXEL)
    roi = Roi((40, 20), (100, 64))
    assert predict(model, raw, output, roi) is output
    inside = np.zeros((61, 87), bool)
    inside[10:35, 10:42] = True
    assert np.all(output.data[:, ~inside] == 9) and not np.any(output.data[:, inside] == 9)


def test_three_dimensions_and_sections():
    model, raw = unet(dims=3, channels=1), image((25, 21, 23), voxel_size=(4, 2, 2))
    made = predict(model, raw, tile_shape=(24, 28, 24), precision="fp32")
    np.testing.assert_allclose(made.data, at_once(model, raw), rtol=1e-4, atol=1e-5)
    flat = unet(dims=3, input_shape=(1, 40, 40), downsample_factors=[(1, 2, 2)],
                kernel_size_down=[[(1, 3, 3)] * 2] * 2, kernel_size_up=[[(1, 3, 3)] * 2])  # fmt: skip
    made = predict(flat, raw, precision="fp32")
    section = predict(flat, raw, output_roi=Roi((40, 0, 0), (4, 42, 46)), precision="fp32")
    np.testing.assert_allclose(made.data[:, 10:11], section.data, rtol=1e-4, atol=1e-5)


def test_padded_networks_give_the_shape_that_was_asked_for():
    made = predict(unet(padding="same"), image(), tile_shape=(40, 40))
    assert made.shape == (2, 61, 87) and np.all(made.data.std(axis=(1, 2)) > 0)


def test_integers_are_read_as_numbers():
    model, raw = unet(), image()
    counts = NumpyArray((raw.data * 10).astype(np.int16), VOXEL)
    real = NumpyArray(counts.data.astype(np.float32), VOXEL)
    np.testing.assert_array_equal(predict(model, counts).data, predict(model, real).data)


@pytest.mark.parametrize(
    ("activation", "low"), [(nn.Tanh(), -1), (nn.Sigmoid(), 0), (nn.Softmax(1), 0), (None, -1)]
)
def test_integer_outputs_hold_the_range_of_the_prediction(activation, low):
    model, raw = unet(activation), image()
    for parameter in model.parameters():
        parameter.data *= 2
    real = predict(model, raw).data
    output = NumpyArray(np.zeros(real.shape, np.uint8), VOXEL)
    expected = np.clip((real - low) / (1 - low) * 255, 0, 255)
    np.testing.assert_allclose(predict(model, raw, output).data, expected, atol=0.51)
    assert output.data.max() > output.data.min() + 20


def test_outputs_of_one_channel_need_no_channel_axis():
    model, raw = unet(channels=1), image()
    output = NumpyArray(np.zeros((61, 87), np.float32), VOXEL)
    np.testing.assert_array_equal(predict(model, raw, output).data, predict(model, raw).data[0])


def test_memory_is_bound_by_the_tile(monkeypatch):
    model, raw = unet(), watched(image((100, 150)))
    predict(model, raw, tile_shape=(40, 40), precision="fp32")
    assert max(raw.reads) <= 40 * 40 and len(raw.reads) == -(-100 // 24) * -(-150 // 24)
    raw.reads.clear()
    monkeypatch.setattr(predict_local, "MOST_PER_TILE", 3 * model.footprint(Coordinate(40, 40)))
    predict(model, raw)
    assert 40 * 40 < max(raw.reads) <= 3 * 40 * 40 and len(raw.reads) < 20
    raw.reads.clear()
    monkeypatch.setattr(predict_local, "MOST_PER_TILE", 1)
    predict(model, raw)
    assert max(raw.reads) <= 40 * 40
    raw.reads.clear()
    predict(unet(eval_shape_increase=(16, 8)), raw)
    assert 40 * 40 < max(raw.reads) <= 56 * 48


def test_tiles_are_even_and_cut_where_least_is_seen_twice():
    model = unet()
    tiles = tiles_covering(model, image((100, 1000)), max_voxels=120 * 300)
    assert tiles.counts == (1, 4) and tiles.input_shape == (116, 266)
    assert len(tiles) == len(list(tiles)) == 4
    assert tiles[2] == list(tiles)[2]
    assert sum(np.prod(tile.write.shape / VOXEL) for tile in tiles) == 100 * 1000
    sections = unet(dims=3, input_shape=(1, 40, 40), downsample_factors=[(1, 2, 2)],
                    kernel_size_down=[[(1, 3, 3)] * 2] * 2, kernel_size_up=[[(1, 3, 3)] * 2])  # fmt: skip
    volume = NumpyArray(np.zeros((30, 100, 100), np.uint8), (1, 1, 1))
    assert tiles_covering(sections, volume, max_voxels=15000).counts == (30, 1, 1)


class Foreign(ArchitectureConfig):
    """A network of which no more is known than what comes out."""

    input_shape = Coordinate(10, 10)
    num_in_channels = num_out_channels = 1
    kernel: tuple[int, int] = (3, 5)

    def module(self):
        return nn.Conv2d(1, 1, self.kernel)


def test_networks_of_which_nothing_is_known_see_their_own_input_only():
    class Even(Foreign):
        kernel = (2, 3)

    model, raw = Model(Foreign("foreign"), nn.Identity()), watched(image((33, 20)))
    made = predict(model, raw, precision="fp32")
    assert set(raw.reads) == {100}
    with torch.no_grad():
        padded = np.pad(raw.data, ((1, 1), (2, 2)))
        expected = model(torch.from_numpy(padded)[None, None])[0]
    np.testing.assert_allclose(made.data, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ShapeError, match="half a voxel beside"):
        predict(Model(Even("even"), nn.Identity()), raw)


def test_networks_that_make_larger_voxels():
    class Coarse(Foreign):
        def module(self):
            return nn.AvgPool2d(2)

        def scale(self, voxel_size):
            return voxel_size * 2

    raw = image((33, 20))
    made = predict(Model(Coarse("coarse"), nn.Identity()), raw, precision="fp32")
    assert made.voxel_size == VOXEL * 2 and made.shape == (1, 16, 10)
    np.testing.assert_allclose(made.data[0], raw.data[:32].reshape(16, 2, 10, 2).mean(axis=(1, 3)), atol=1e-6)


def test_tiles_that_make_less_than_a_stride_are_refused():
    model = unet(kernel=3, downsample_factors=[(2, 2), (2, 2)], input_shape=(44, 44))
    with pytest.raises(ShapeError, match=r"makes \(2, 2\) voxels from \(44, 44\), too few"):
        predict(model, image(), tile_shape=(44, 44))
    made = predict(model, image(), precision="fp32")
    np.testing.assert_allclose(made.data, at_once(model, image()), rtol=1e-4, atol=1e-5)


def test_identifiers_of_existing_scripts_are_opened_and_made(tmp_path):
    model, raw = unet(), image(offset=(8, 4))
    here, there = (LocalArrayIdentifier(tmp_path / "data.zarr", name) for name in ("raw", "made"))
    stored = create_zarr(here.container, here.dataset, raw.shape, raw.dtype, VOXEL, raw.offset)
    stored[stored.roi] = raw.data
    made = predict(model, here, there)
    np.testing.assert_array_equal(made.data, predict(model, raw).data)
    again = open_zarr(there.container, there.dataset)
    assert (again.roi, again.voxel_size, again.axis_names) == (raw.roi, VOXEL, ["c^", "y", "x"])
    np.testing.assert_array_equal(again.data, made.data)


def test_the_model_is_given_back_as_it_was():
    model, raw = unet(batch_norm=True), image()
    model.chain[1].eval()
    before = [(t.data_ptr(), t.stride(), t.clone()) for t in [*model.parameters(), *model.buffers()]]
    predict(model, raw)
    with pytest.raises(RuntimeError, match="broken"):
        predict(model, raw, progress=lambda done, total: (_ for _ in ()).throw(RuntimeError("broken")))
    after = [*model.parameters(), *model.buffers()]
    assert all(
        t.data_ptr() == p and t.stride() == s and torch.equal(t, v)
        for t, (p, s, v) in zip(after, before, strict=True)
    )
    assert model.training and model.chain[0].training and not model.chain[1].training
    model(torch.zeros(2, 1, 40, 40)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_progress_is_told_of_every_tile():
    told = []
    predict(unet(), image(), tile_shape=(40, 40), progress=lambda *steps: told.append(steps))
    assert told == [(done, 12) for done in range(1, 13)]


def test_it_stops_when_asked():
    told = []
    with pytest.raises(Stopped, match=r"after [123] of 12 tiles"):
        predict(unet(), image(), tile_shape=(40, 40), progress=lambda *s: told.append(s), stop=lambda: True)
    assert told == [(1, 12)]


@pytest.mark.parametrize("broken", ["to_ndarray", "__setitem__"])
def test_a_failure_to_read_or_write_is_raised_and_ends_the_work(broken):
    class Broken(NumpyArray):
        calls = 0

        def fail(self, *_, **__):
            type(self).calls += 1
            raise OSError("disk gone")

    raw = image((200, 300))
    output = NumpyArray(np.zeros((2, 200, 300), np.float32), VOXEL)
    bad = raw if broken == "to_ndarray" else output
    setattr(Broken, broken, Broken.fail)
    bad.__class__ = Broken
    with pytest.raises(OSError, match="disk gone"):
        predict(unet(), raw, output, tile_shape=(40, 40))
    assert Broken.calls < 8


class Cancelling(nn.Module):
    """Adds a great number and takes it off again: nothing of the input is left in bfloat16."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        for layer, shift in ((self.up, 1e4), (self.down, -1e4)):
            nn.init.ones_(layer.weight)
            nn.init.constant_(layer.bias, shift)

    def forward(self, raw):
        return self.down(self.up(raw))


def test_bfloat16_is_used_only_where_its_result_holds(monkeypatch):
    model, raw = unet(), image((100, 100))
    exact = predict(model, raw, tile_shape=(40, 40), precision="fp32").data
    rough = predict(model, raw, tile_shape=(40, 40), precision="bf16").data
    error = np.sqrt(np.mean((exact - rough) ** 2)) / exact.std()
    assert 0 < error < 0.02
    assert rough.dtype == np.float32

    monkeypatch.setattr(predict_local, "computes_bf16", lambda device: True)
    auto = predict(model, raw, tile_shape=(40, 40)).data
    np.testing.assert_array_equal(auto, rough)
    low, cpu = image((100, 44)), torch.device("cpu")
    assert 1 < len(predict_local.plan(model, low, None, cpu, (100, 60))) < 4  # so few that no check pays
    few, certain = (predict(model, low, tile_shape=(100, 60), precision=p).data for p in ("auto", "fp32"))
    np.testing.assert_array_equal(few, certain)

    class Fragile(Foreign):
        def module(self):
            return Cancelling()

    fragile = Model(Fragile("fragile"), nn.Identity())
    np.testing.assert_array_equal(predict(fragile, raw).data, predict(fragile, raw, precision="fp32").data)
    assert not np.allclose(predict(fragile, raw, precision="bf16").data, raw.data, atol=1)

    monkeypatch.setattr(predict_local, "computes_bf16", lambda device: False)
    np.testing.assert_array_equal(predict(model, raw, tile_shape=(40, 40)).data, exact)


def test_whether_a_device_gains_is_asked_of_the_device():
    assert predict_local.computes_bf16(torch.device("meta")) is False
    assert isinstance(predict_local.computes_bf16(torch.device("cpu")), bool)


def test_agreement_is_measured_against_the_spread():
    exact = torch.linspace(-1, 1, 100)
    assert predict_local.agree(exact, exact * 1.01)
    assert not predict_local.agree(exact, exact * 1.1)
    assert not predict_local.agree(exact, exact + 0.1)
    assert not predict_local.agree(exact, exact * torch.nan)
    assert predict_local.agree(torch.full((9,), 0.8), torch.full((9,), 0.801))
    assert predict_local.agree(torch.zeros(9), torch.zeros(9))


@pytest.mark.parametrize(
    ("raw", "options", "error", "complaint"),
    [
        (image((2, 61, 87)), {}, InvalidArray, "takes 1 channels and image has 2.*fmaps_in=2"),
        (
            image((9, 9, 9), voxel_size=(1, 1, 1)),
            {},
            InvalidArray,
            r"2 spatial axes and image has 3.*kernels \(1, 3, 3\)",
        ),
        (image((9,), voxel_size=(1,), axis_names=["x"]), {}, InvalidArray, "image has 1"),
        (image(), {"output_roi": Roi((0, 0), (400, 20))}, OutsideData, "image has data in"),
        (image(), {"output_roi": Roi((900, 900), (20, 20))}, OutsideData, "ask for a part of that"),
        (image(), {"output_roi": Roi((0, 0), (0, 20))}, OutsideData, "cannot predict"),
        (image(), {"output_roi": Roi((0, 0, 0), (4, 4, 4))}, InvalidRequest, "3 axes"),
        (image(), {"precision": "fp16"}, InvalidRequest, "'auto', 'fp32' or 'bf16'"),
        (image(), {"tile_shape": (41, 40)}, ShapeError, "nearest input shapes"),
        (image(), {"tile_shape": (40, 40, 40)}, ShapeError, "2 spatial axes"),
    ],
)
def test_what_does_not_fit_is_refused(raw, options, error, complaint):
    with pytest.raises(error, match=complaint):
        predict(unet(), raw, **options)


class Fixed(Array):
    """An array that can only be read."""

    def _read(self, slices):
        return np.zeros(1)


@pytest.mark.parametrize(
    ("output", "error", "complaint"),
    [
        (image((3, 61, 87)), InvalidArray, "3 channels.*has 2 and 2"),
        (image((2, 61, 87), voxel_size=(2, 2)), InvalidArray, r"voxels of \(2, 2\).*has \(4, 2\)"),
        (image((2, 61, 87), offset=(1, 0)), InvalidArray, "not on the grid"),
        (image((2, 60, 87)), OutsideData, "is to be predicted"),
        (
            Fixed((2, 61, 87), np.float32, VOXEL, name="fixed"),
            InvalidArray,
            "fixed is a Fixed, which cannot be",
        ),
    ],
)
def test_an_output_that_does_not_fit_is_refused(output, error, complaint):
    with pytest.raises(error, match=complaint):
        predict(unet(), image(), output)


def test_a_voxel_size_that_does_not_divide_is_refused():
    with pytest.raises(ShapeError, match="does not divide the voxel size"):
        predict(unet(upsample_factors=[(3, 1)]), image())
