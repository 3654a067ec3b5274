"""The U-Net does what each field says, and nothing depends on where a tile lies."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from dacapo.errors import InvalidConfig, ShapeError
from dacapo.experiments.architectures import CNNectomeUNetConfig, DummyArchitectureConfig
from dacapo.experiments.architectures.layers import Conv3d, convolution
from dacapo.experiments.architectures.unet_geometry import unet_geometry

FLAT = {"input_shape": (44, 44), "downsample_factors": [(2, 2), (2, 2)]}
DEEP = {"input_shape": (44, 44, 44), "downsample_factors": [(2, 2, 2), (2, 2, 2)]}
SECTIONS = {
    "input_shape": (3, 44, 44),
    "downsample_factors": [(1, 2, 2), (1, 2, 2)],
    "kernel_size_down": [[(1, 3, 3)] * 2] * 3,
    "kernel_size_up": [[(1, 3, 3)] * 2] * 2,
}


def config(**changes):
    values = {"fmaps_in": 1, "fmaps_out": 3, "num_fmaps": 4, "fmap_inc_factor": 2}
    return CNNectomeUNetConfig("net", **values | DEEP | changes)


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return config(**changes).module().eval()


def image(shape, channels=1, batch=1):
    return torch.randn(batch, channels, *shape, generator=torch.Generator().manual_seed(1))


VARIANTS = {
    "3d": DEEP,
    "2d": FLAT,
    "2d on 3d": SECTIONS,
    "anisotropic": {"input_shape": (40, 44, 44), "downsample_factors": [(1, 2, 2), (3, 2, 2)]},
    "threes": {"input_shape": (39, 39), "downsample_factors": [(3, 3)]},
    "attention": {**FLAT, "use_attention": True},
    "heads": {**FLAT, "num_heads": 2, "fmaps_out": 3},
    "heads with attention, finer": {
        **FLAT, "num_heads": 3, "fmaps_out": 6, "use_attention": True, "upsample_factors": [(2, 2)],
    },
    "transposed": {**FLAT, "constant_upsample": False},
    "batch norm": {**FLAT, "batch_norm": True, "fmaps_in": 2},
    "finer": {**FLAT, "upsample_factors": [(2, 1), (1, 2)]},
    "no levels": {"input_shape": (12, 12, 12), "downsample_factors": []},
    "only finer": {"input_shape": (12, 12), "downsample_factors": [], "upsample_factors": [(2, 2)]},
    "small kernels": {
        **FLAT, "input_shape": (32, 32), "kernel_size_down": [[(3, 3)], [(1, 3)], [(5, 3)]],
        "kernel_size_up": [[(3, 1)], [(3, 3), (1, 1)]],
    },
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small spend their time waiting for the other thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=VARIANTS, scope="module")
def variant(request):
    """A variant, with the smallest input that it takes."""
    changes = {"fmaps_out": 3} | VARIANTS[request.param]
    sizes = (180,) * len(changes["input_shape"])
    padded = config(**changes | {"padding": "same", "input_shape": sizes})
    geometry = unet_geometry(
        tuple(padded.downsample_factors), tuple(map(tuple, padded.kernels_down)),
        tuple(map(tuple, padded.kernels_up)), tuple(padded.upsample_factors or ()),
        tuple(padded.kernels_after), padded=False,
    )  # fmt: skip
    return changes | {"input_shape": geometry.smallest}


def test_what_comes_out_is_what_was_announced(variant):
    for padding in ("valid", "same"):
        shape = (12, 24, 24)[-len(variant["input_shape"]) :] if padding == "same" else variant["input_shape"]
        announced = config(**variant | {"padding": padding, "input_shape": shape})
        output = network(**variant | {"padding": padding, "input_shape": shape})(
            image(shape, announced.fmaps_in, batch=2)
        )
        assert output.shape == (2, announced.num_out_channels, *announced.output_shape)
        assert output.std() > 0.01
        if padding == "same":
            assert announced.output_shape == announced.input_shape * announced.geometry.scale


def test_tiles_laid_side_by_side_are_the_whole(variant):
    net, made = network(**variant), config(**variant)
    small, scale = made.input_shape, made.geometry.scale
    large = small + made.output_shape / scale  # two tiles along each axis
    raw = image(large, made.fmaps_in)
    with torch.no_grad():
        whole = net(raw)
        for corner in ((0, 0, 0), (0, 1, 0), (1, 1, 1)):
            at = [c * o for c, o in zip(corner, made.output_shape / scale, strict=False)]
            tile = net(raw[(..., *(slice(a, a + s) for a, s in zip(at, small, strict=True)))])
            seen = tuple(
                slice(a * f, a * f + o) for a, f, o in zip(at, scale, made.output_shape, strict=True)
            )
            torch.testing.assert_close(tile, whole[(..., *seen)], rtol=1e-4, atol=1e-5)


def test_shifting_the_input_by_a_stride_shifts_the_output(variant):
    made = config(**variant)
    net, shape = network(**variant), made.input_shape + made.stride
    raw = image(shape + made.stride, made.fmaps_in)
    with torch.no_grad():
        here, there = (
            net(raw[(..., *(slice(f, f + s) for f, s in zip(first, shape, strict=True)))])
            for first in (made.stride * 0, made.stride)
        )
    moved = made.stride * made.geometry.scale
    seen_here = here[(..., *(slice(m, None) for m in moved))]
    seen_there = there[(..., *(slice(0, -m) for m in moved))]
    assert seen_here.numel() > 0
    torch.testing.assert_close(seen_here, seen_there, rtol=1e-4, atol=1e-5)


def test_input_and_output_have_one_centre(variant):
    if not variant.get("constant_upsample", True):
        variant = variant | {"constant_upsample": True}
    net, made = network(**variant), config(**variant)
    axes = list(range(2, 2 + made.dims))
    with torch.no_grad():
        for layer in net.modules():
            if hasattr(layer, "weight") and layer.weight.dim() == made.dims + 2:
                layer.weight += layer.weight.flip(axes)
                layer.weight /= 2
        raw = image(made.input_shape, made.fmaps_in)
        torch.testing.assert_close(net(raw.flip(axes)), net(raw).flip(axes), rtol=1e-4, atol=1e-3)


def test_a_batch_of_two_is_two_batches_of_one(variant):
    net, made = network(**variant), config(**variant)
    raw = image(made.input_shape, made.fmaps_in, batch=2)
    with torch.no_grad():
        torch.testing.assert_close(net(raw), torch.cat([net(raw[:1]), net(raw[1:])]), rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_every_parameter(variant):
    net, made = network(**variant).train(), config(**variant)
    net(image(made.input_shape, made.fmaps_in, batch=2)).square().sum().backward()
    unmoved = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert unmoved == []


def test_heads_share_the_way_down_and_nothing_else():
    made = config(**FLAT, num_heads=2)
    net = network(**FLAT, num_heads=2)
    raw = image(made.input_shape)
    one, other = net(raw)[:, :3], net(raw)[:, 3:]
    assert not torch.allclose(one, other)
    single = config(**FLAT).module()
    single.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("further_up.")})
    assert torch.equal(single(raw), one)
    single.load_state_dict({k: v for k, v in net.state_dict().items() if k.startswith("down.")}
                           | {k.replace("further_up.0.", "up."): v for k, v in net.state_dict().items()
                              if k.startswith("further_up.")})  # fmt: skip
    assert torch.equal(single(raw), other)
    one.square().sum().backward()
    moved = {
        name.partition(".")[0] for name, p in net.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert moved == {"down", "up"}


def test_padding_holds_for_all_convolutions_those_after_upsampling_too():
    # bug B39: the convolutions after upsample_factors are not padded there, and what is padded is cropped
    changes = {**FLAT, "padding": "same", "upsample_factors": [(2, 2)], "input_shape": (24, 24)}
    assert network(**changes)(image((24, 24))).shape == (1, 3, 48, 48)
    assert config(**changes).output_shape == (48, 48)
    assert network(**FLAT | {"padding": "same", "input_shape": (24, 24)})(image((24, 24))).shape[2:] == (
        24,
        24,
    )


def test_one_head_is_as_it_was():
    assert "further_up" not in str(list(network(**FLAT).state_dict()))
    assert config(**FLAT).num_heads == 1


def test_heads_need_a_way_up():
    with pytest.raises(InvalidConfig, match="num_heads = 2: should be 1 where there is no way up"):
        config(input_shape=(12, 12, 12), downsample_factors=[], num_heads=2)


def test_a_network_of_sections_sees_each_by_itself():
    net = network(**SECTIONS)
    raw = image((3, 44, 44))
    with torch.no_grad():
        together = net(raw)
        apart = torch.cat([net(raw[:, :, z : z + 1]) for z in range(3)], dim=2)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_weights_load_strictly_into_a_fresh_network(variant):
    one, other, made = network(0, **variant), network(1, **variant), config(**variant)
    raw = image(made.input_shape, made.fmaps_in)
    assert not torch.allclose(one(raw), other(raw))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(raw), other(raw))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"fmaps_in": 3}, {"down.0.0.weight": (4, 3, 3, 3)}),
        ({"num_fmaps": 5}, {"down.0.0.weight": (5, 1, 3, 3), "down.2.0.weight": (20, 10, 3, 3)}),
        ({"fmap_inc_factor": 3}, {"down.1.0.weight": (12, 4, 3, 3), "down.2.2.weight": (36, 36, 3, 3)}),
        ({"fmaps_out": 7}, {"up.1.convolutions.2.weight": (7, 7, 3, 3)}),
        (
            {"upsample_factors": [(2, 2)], "fmaps_out": 7, "padding": "same"},
            {"up.1.convolutions.2.weight": (7, 7, 3, 3), "up.2.convolutions.0.weight": (7, 7, 3, 3)},
        ),
        ({"constant_upsample": False}, {"up.0.upsample.convolution.weight": (16, 8, 2, 2)}),
        ({"constant_upsample": True}, {"up.0.upsample.convolution.weight": (8, 16, 1, 1)}),
        ({"use_attention": True}, {"up.0.gate.of_skip.weight": (4, 8, 1, 1)}),
        ({"batch_norm": True}, {"down.0.1.running_mean": (4,)}),
        ({"downsample_factors": [(2, 2)], "input_shape": (40, 40)}, {"down.1.2.weight": (8, 8, 3, 3)}),
        (
            {"kernel_size_down": [[(1, 3)], [(3, 3)], [(5, 5)] * 3], "input_shape": (40, 40)},
            {"down.0.0.weight": (4, 1, 1, 3), "down.2.4.weight": (16, 16, 5, 5)},
        ),
        ({"kernel_size_up": [[(5, 5)], [(3, 1)]]}, {"up.1.convolutions.0.weight": (3, 12, 5, 5),
                                                   "up.0.convolutions.0.weight": (8, 16, 3, 1)}),
    ],
)  # fmt: skip
def test_every_field_shapes_the_network(change, expected):
    changes = FLAT | change
    if "input_shape" in change or "kernel_size_up" in change:
        changes |= {"padding": "same"}
    state = network(**changes).state_dict()
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_upsampling_stages_pad_as_the_rest_does():  # bug B39
    output = network(**FLAT | {"padding": "same", "upsample_factors": [(2, 2)]})(image((44, 44)))
    assert output.shape[2:] == (88, 88)


def test_constant_upsampling_repeats_voxels():
    up = network(**FLAT).up[0].upsample
    small = image((3, 3), channels=16)
    big = up(small)
    assert torch.equal(big[..., ::2, ::2], big[..., 1::2, 1::2])
    repeated_first = functional.relu(up.convolution(small.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    torch.testing.assert_close(big, repeated_first)


def test_attention_weighs_what_skips():
    net = network(**FLAT | {"use_attention": True})
    gate, skip = net.up[0].gate, image((6, 6), channels=8)
    with torch.no_grad():
        gate.of_both.weight.zero_()
        torch.testing.assert_close(gate(skip, skip), skip / 2)
        gate.of_both.bias.fill_(-100)
        assert gate(skip, skip).abs().max() < 1e-6


def test_activations_neither_fade_nor_grow_with_depth():
    shallow = network(**FLAT | {"num_fmaps": 16, "fmaps_out": 16})(image((44, 44)))
    assert 0.2 < shallow.square().mean().sqrt() < 5


def test_a_wrong_input_is_refused_with_the_shapes_that_work():
    net = network(**FLAT)
    with pytest.raises(ShapeError, match=r"\(44, 44\) and \(48, 44\)"):
        net(image((46, 44)))
    with pytest.raises(ShapeError, match="1 channels, 2 spatial axes"):
        net(image((44, 44), channels=2))
    with pytest.raises(ShapeError, match="2 spatial axes"):
        net(image((44, 44, 44)))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_small_convolutions_equal_those_of_torch(padded, bias):
    layer = convolution(3, 5, (3, 1, 3), padded, bias)
    assert isinstance(layer, Conv3d)
    raw, again = (image((9, 8, 7), channels=3).requires_grad_() for _ in range(2))
    made = layer(raw)
    expected = functional.conv3d(again, layer.weight, layer.bias, padding=layer.padding)
    torch.testing.assert_close(made, expected)
    towards = torch.randn_like(made)
    ours = torch.autograd.grad(made, [raw, *layer.parameters()], towards)
    theirs = torch.autograd.grad(expected, [again, *layer.parameters()], towards)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning")
def test_a_traced_convolution_can_run_anywhere():
    layer = convolution(1, 2, (3, 3, 3))
    assert "aten::_convolution" in str(torch.jit.trace(layer, image((9, 8, 7))).graph)


def test_the_dummy_keeps_its_promise():
    dummy = DummyArchitectureConfig("dummy", num_in_channels=2, num_out_channels=5)
    assert dummy.module()(image(dummy.input_shape, channels=2)).shape == (1, 5, 38, 18, 18)
