"""What the configs of networks accept, and what they say about shapes without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from funlib.geometry import Coordinate

from dacapo.config import build
from dacapo.documents import read, write
from dacapo.errors import InvalidConfig, ShapeError
from dacapo.experiments.architectures import (
    Architecture,
    ArchitectureConfig,
    CNNectomeUNetConfig,
    DummyArchitectureConfig,
)
from dacapo.experiments.architectures.unet_geometry import unet_geometry


def unet(**changes):
    values = {
        "input_shape": (92, 92, 92),
        "fmaps_in": 1,
        "fmaps_out": 3,
        "num_fmaps": 2,
        "fmap_inc_factor": 2,
        "downsample_factors": [(2, 2, 2), (2, 2, 2)],
    }
    return CNNectomeUNetConfig("net", **values | changes)


def test_asking_for_shapes_imports_no_torch():
    code = (
        "import sys\n"
        "from dacapo.experiments.architectures import CNNectomeUNetConfig\n"
        "net = CNNectomeUNetConfig('n', input_shape=(92, 92), fmaps_in=1, fmaps_out=1, num_fmaps=2,\n"
        "    fmap_inc_factor=2, downsample_factors=[(2, 2), (2, 2)], upsample_factors=[(2, 2)])\n"
        "net.output_shape, net.scale((8, 8)), net.stride\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("changes", "output", "stride"),
    [
        ({}, (52, 52, 52), (4, 4, 4)),  # 92-4=88 44-4=40 20-4=16 32-4=28 56-4=52
        ({"padding": "same"}, (92, 92, 92), (4, 4, 4)),
        ({"input_shape": (24, 26, 30), "downsample_factors": []}, (20, 22, 26), (1, 1, 1)),
        # 61-4=57 19-4=15 45-4=41: 39 is the next that is a multiple of 3
        ({"input_shape": (61, 62, 62), "downsample_factors": [(3, 2, 2)]}, (39, 46, 46), (3, 2, 2)),
        ({"upsample_factors": [(2, 1, 1)]}, (96, 48, 48), (4, 4, 4)),  # 2*52-4=100, in strides of 8
        (
            {"kernel_size_down": [[(3, 3, 3)], [(1, 3, 3)], [(5, 5, 5)]], "kernel_size_up": [[(3, 3, 3)]] * 2,
             "input_shape": (98, 98, 98)},
            (72, 68, 68),  # 98-2=96 48=48 24-4=20 40-2=38 76-2=74; 98-2=96 48-2=46 23-4=19 38-2=36 72-2=70
            (4, 4, 4),
        ),
    ],
)  # fmt: skip
def test_shapes_follow_from_kernels_and_factors(changes, output, stride):
    config = unet(**changes)
    assert config.output_shape == output
    assert config.stride == stride
    assert config.geometry.output_shape(config.input_shape + config.stride) == Coordinate(
        output
    ) + config.stride * (config.geometry.scale)


def kernels(levels, width=3, dims=3):
    return ((Coordinate((width,) * dims),) * 2,) * levels


@pytest.mark.parametrize("factors", [(), (2,), (3,), (3, 3), (2, 3), (5, 2), (3, 5), (2, 2, 2), (2, 3, 3)])
@pytest.mark.parametrize("after", [(), (2,), (3, 2)])
def test_input_and_output_have_one_centre_and_tiles_fit_together(factors, after):
    down, up = kernels(len(factors) + 1, dims=1), kernels(len(factors), dims=1)
    factors, after = (tuple(Coordinate((f,)) for f in each) for each in (factors, after))
    geometry = unet_geometry(factors, down, up, after, down[0], False)
    shape = geometry.smallest
    for _ in range(3):
        output = geometry.output_shape(shape)
        assert output >= geometry.stride
        assert output.is_multiple_of(geometry.stride * geometry.scale)
        assert geometry.context % 2 == (0,)
        assert (shape - geometry.context) * geometry.scale == output
        shape = shape + geometry.stride
    with pytest.raises(ShapeError, match="nearest input shapes that work"):
        geometry.output_shape(geometry.smallest - geometry.stride)


def test_shapes_that_do_not_fit_name_those_that_do():
    with pytest.raises(InvalidConfig, match=r"\(88, 92, 92\) and \(92, 92, 92\)") as error:
        unet(input_shape=(90, 92, 92))
    assert "CNNectomeUNetConfig 'net': input_shape = (90, 92, 92)" in str(error.value)
    with pytest.raises(InvalidConfig, match=r"nearest input shapes that work are \(44, 44, 44\)"):
        unet(input_shape=(20, 20, 20))
    with pytest.raises(InvalidConfig, match=r"eval_shape_increase.*\(92, 92, 92\) and \(96, 92, 92\)"):
        unet(eval_shape_increase=(2, 0, 0))
    with pytest.raises(ShapeError, match=r"\(92, 96, 92\) and \(92, 100, 92\)"):
        unet().geometry.output_shape((92, 98, 92))
    with pytest.raises(ShapeError, match="3 spatial axes"):
        unet().geometry.output_shape((92, 92))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fmaps_in": 0}, "fmaps_in = 0: should be at least 1"),
        ({"fmap_inc_factor": 0}, "fmap_inc_factor"),
        ({"num_fmaps": -1}, "num_fmaps"),
        ({"fmaps_out": 0}, "fmaps_out"),
        ({"input_shape": (92,)}, "2 or 3 numbers"),
        ({"input_shape": (92, 92)}, "downsample_factors.*each should be 2 whole numbers"),
        ({"downsample_factors": [(2, 2, 0)]}, "at least 1"),
        ({"upsample_factors": [(2, 2)]}, "upsample_factors"),
        ({"kernel_size_down": [[(3, 3, 3)]]}, "kernel_size_down.*3 lists of kernels"),
        ({"kernel_size_up": [[(3, 3, 3)]] * 3}, "kernel_size_up.*2 lists of kernels"),
        ({"kernel_size_up": [[(3, 3)]] * 2}, "each kernel should be 3 odd"),
        ({"kernel_size_up": [[(2, 3, 3)]] * 2}, "odd numbers"),
        ({"kernel_size_up": [[(3, 3, 3)], []]}, "at least one kernel"),
        ({"padding": "reflect"}, "'valid', 'same'"),
        ({"eval_shape_increase": (4, 4)}, "3 numbers of voxels"),
        ({"eval_shape_increase": (-60, 0, 0)}, "does not fit"),
    ],
)
def test_wrong_values_are_refused_by_name(changes, complaint):
    with pytest.raises(InvalidConfig, match=complaint):
        unet(**changes)


def test_upsampling_divides_the_voxel_size_and_says_when_it_cannot():
    config = unet(upsample_factors=[(2, 1, 1), (2, 2, 1)])
    assert config.scale((16, 8, 8)) == (4, 4, 8)
    assert unet().scale((16, 8, 8)) == (16, 8, 8)
    with pytest.raises(ShapeError, match="4, 2, 1.*does not divide the voxel size"):
        config.scale(Coordinate(6, 8, 8))


def test_documents_of_existing_dacapo_are_read():
    document = {
        "__type__": "CNNectomeUNetConfig",
        "name": "old",
        "_input_shape": [92, 92, 92],
        "fmaps_out": 3,
        "fmaps_in": 1,
        "num_fmaps": 2,
        "fmap_inc_factor": 2,
        "downsample_factors": [[2, 2, 2], [2, 2, 2]],
        "kernel_size_down": None,
        "kernel_size_up": [[[3, 3, 3], [3, 3, 3]]] * 2,
        "_eval_shape_increase": None,
        "upsample_factors": None,
        "constant_upsample": True,
        "padding": "valid",
        "use_attention": False,
        "batch_norm": False,
    }
    config = read(document, ArchitectureConfig)
    assert config == unet(kernel_size_up=kernels(2)).replace(name="old")
    assert config.eval_shape_increase == (0, 0, 0)
    assert read(write(config), ArchitectureConfig) == config
    old = {"__type__": "DummyArchitectureConfig", "name": "d", "_num_in_channels": 1, "_num_out_channels": 2}
    assert read(old, ArchitectureConfig) == DummyArchitectureConfig(
        "d", num_in_channels=1, num_out_channels=2
    )


def test_the_component_says_what_its_config_says():
    config = unet(eval_shape_increase=(4, 8, 0), upsample_factors=[(2, 2, 2)])
    architecture = build(config)
    assert isinstance(architecture, Architecture)
    for name in (
        "name",
        "input_shape",
        "eval_shape_increase",
        "num_in_channels",
        "num_out_channels",
        "dims",
        "stride",
    ):
        assert getattr(architecture, name) == getattr(config, name)
    assert architecture.scale(Coordinate(8, 8, 8)) == config.scale(Coordinate(8, 8, 8)) == (4, 4, 4)
    assert config.architecture_type(config).module() is not architecture.module()


def test_the_dummy_is_one_convolution():
    config = DummyArchitectureConfig("dummy", num_in_channels=2, num_out_channels=5)
    assert (config.input_shape, config.dims, config.eval_shape_increase) == ((40, 20, 20), 3, (0, 0, 0))
    assert config.module().weight.shape == (5, 2, 3, 3, 3)
    with pytest.raises(InvalidConfig, match="num_out_channels"):
        DummyArchitectureConfig("dummy", num_in_channels=2, num_out_channels=0)


def test_a_network_of_one_s_own_needs_three_answers_only():
    class Small(ArchitectureConfig):
        input_shape = Coordinate(8, 8)
        num_in_channels = num_out_channels = 1

    small = Small("small")
    assert (small.dims, small.eval_shape_increase, small.stride) == (2, (0, 0), None)
    assert small.scale((4, 4)) == (4, 4)
    with pytest.raises(TypeError, match="abstract"):
        ArchitectureConfig("nothing")
