"""Networks of MONAI as architectures: what they are told, the shapes they make, and how deep ones learn."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import monai.networks.nets
import pytest
import torch
from dacapo_monai import (
    DynUNetConfig,
    MonaiArchitectureConfig,
    NetworkConfig,
    SegResNetConfig,
    SwinUNETRConfig,
    UNetConfig,
    UNETRConfig,
)
from funlib.geometry import Coordinate

from dacapo import documents
from dacapo.config import build
from dacapo.errors import InvalidConfig
from dacapo.experiments.architectures import ArchitectureConfig
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.testing import conformance

KINDS = [UNetConfig, DynUNetConfig, SegResNetConfig, SwinUNETRConfig, UNETRConfig, NetworkConfig]
PLANES = [kind.example() for kind in KINDS]
UNET = {"channels": (4, 8), "strides": (2,)}
SOME = {"input_shape": (16, 16), "arguments": UNET}

test_conformance = conformance(PLANES)


def in_space(config: MonaiArchitectureConfig) -> MonaiArchitectureConfig:
    """Return the same network in three dimensions."""
    further = {"multiple_of": (16, 16, 16)} if isinstance(config, NetworkConfig) else {}
    return config.replace(
        input_shape=(*config.input_shape, config.input_shape[0]), eval_shape_increase=None, **further
    )


@pytest.mark.parametrize(
    "config", [*PLANES, *map(in_space, PLANES)], ids=lambda one: f"{one.network}{one.dims}"
)
def test_feature_maps_have_the_shape_that_came_in(config: MonaiArchitectureConfig) -> None:
    network = config.module().eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *config.input_shape)).shape == (1, 16, *config.input_shape)
        if config.stride is not None:
            larger = config.input_shape + config.stride
            assert network(torch.zeros(1, 1, *larger)).shape == (1, 16, *larger)


def test_arguments_reach_the_network() -> None:
    arguments = {**UNET, "num_res_units": 2, "act": ("LeakyReLU", {"negative_slope": 0.3}), "norm": "batch"}
    config = UNetConfig("net", input_shape=(16, 16), fmaps_in=2, fmaps_out=5, arguments=arguments)
    ours = config.module().network
    theirs = monai.networks.nets.UNet(2, 2, 5, **arguments)
    shapes = {name: value.shape for name, value in theirs.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == shapes
    assert {m.negative_slope for m in ours.modules() if isinstance(m, torch.nn.LeakyReLU)} == {0.3}


def test_tuples_come_back_as_the_lists_they_are_stored_as() -> None:
    config = UNetConfig("net", **SOME)
    assert config.arguments == {"channels": [4, 8], "strides": [2]}
    assert documents.read(documents.write(config), ArchitectureConfig) == config


WRONG_ARGUMENTS = [
    ({**UNET, "chanels": 3}, "of UNet: there is no chanels; did you mean channels"),
    ({**UNET, "xyz": 3}, "there is no xyz; there are channels, strides, kernel_size"),
    ({"strides": [2]}, "channels has to be given"),
    ({**UNET, "num_res_units": "two"}, "num_res_units = 'two': should be a whole number"),
    ({**UNET, "num_res_units": [2]}, r"num_res_units = \[2\]: should be a whole number"),
    ({**UNET, "channels": ["a"]}, r"channels = \['a'\]: should be a whole number"),
    ({**UNET, "bias": 1}, "bias = 1: should be true or false"),
    ({**UNET, "in_channels": 3}, "in_channels is not given here: it is fmaps_in"),
    ({**UNET, "spatial_dims": 3}, "spatial_dims is not given here: the number of axes"),
    ({**UNET, "strides": [(2, 2, 2)]}, "strides: each should be 1 or more, or 2 such numbers"),
]
WRONG_VALUES = [
    (UNetConfig, {"arguments": UNET, "input_shape": (15, 16)}, r"input_shape .* a multiple of \(2, 2\)"),
    (UNetConfig, {"arguments": UNET, "eval_shape_increase": (1, 0)}, "eval_shape_increase .* a multiple"),
    (UNetConfig, {"arguments": UNET, "input_shape": (16,)}, "should be 2 or 3 numbers of voxels"),
    (UNetConfig, {"arguments": UNET, "fmaps_out": 0}, "fmaps_out = 0: should be at least 1"),
    (SwinUNETRConfig, {"arguments": {"feature_size": 16}, "input_shape": (64, 64)}, "a multiple of 12"),
    (UNETRConfig, {"arguments": {"img_size": 32}}, "img_size is not given here: it is input_shape"),
    (UNETRConfig, {"input_shape": (24, 24)}, "a multiple of 16, the patches of UNETR"),
    (UNETRConfig, {"eval_shape_increase": (16, 16)}, "UNETR takes inputs of one shape only"),
    (NetworkConfig, {"network": "BasicUnett"}, "no network of that name; near are BasicUnet"),
    (NetworkConfig, {"network": "Critic"}, "in_shape has to be given"),
    (NetworkConfig, {"network": "FullyConnectedNet",
                     "arguments": {"hidden_channels": [2]}}, "it has no argument spatial_dims, so"),
    (NetworkConfig, {"network": "VNet", "eval_shape_increase": (16, 16)}, "needs multiple_of"),
    (NetworkConfig, {"network": "VNet", "multiple_of": (16,)}, "should be 2 numbers of voxels"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "reason"), WRONG_ARGUMENTS)
def test_wrong_arguments_are_refused_when_the_config_is_made(arguments: Any, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=f"UNetConfig 'net': arguments = .*{reason}"):
        UNetConfig("net", input_shape=(16, 16), arguments=arguments)


@pytest.mark.parametrize(("config", "values", "reason"), WRONG_VALUES)
def test_what_cannot_be_is_refused_when_the_config_is_made(config: Any, values: Any, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        config("net", **{"input_shape": (16, 16), **values})


def test_what_only_monai_knows_is_refused_by_name() -> None:
    config = UNetConfig(
        "wrong norm", input_shape=(16, 16), arguments={**UNET, "norm": "nothing of that name"}
    )
    with pytest.raises(
        InvalidConfig, match="UNetConfig 'wrong norm': MONAI's UNet does not take its arguments"
    ):
        config.module()


DEEP = [
    DynUNetConfig.example(),
    NetworkConfig("ds", network="SegResNetDS", input_shape=(16, 16), multiple_of=(4, 4),
                  arguments={"blocks_down": [1, 1, 1], "init_filters": 8, "dsdepth": 2}),
    NetworkConfig("nested", network="BasicUNetPlusPlus", input_shape=(32, 32), multiple_of=(16, 16),
                  arguments={"features": [4] * 6, "deep_supervision": True}),
]  # fmt: skip


@pytest.mark.parametrize("config", DEEP, ids=lambda one: one.network)
def test_deep_supervision_teaches_every_depth_and_predicts_from_the_finest(
    config: ArchitectureConfig,
) -> None:
    torch.manual_seed(0)
    task = build(DistanceTaskConfig("distance", channels=["a"], clip_distance=10, tol_distance=2))
    model = task.create_model(build(config))
    raw = torch.rand(2, 1, *config.input_shape)
    predictions = model(raw)
    assert isinstance(predictions, tuple) and predictions[0].shape == (2, 1, *config.input_shape)
    target = torch.zeros_like(predictions[0])
    loss = task.loss.compute_all(predictions, target, torch.ones_like(target))
    loss.backward()
    silent = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()]
    assert not [name for name in silent if name.endswith("weight")]
    assert model.eval()(raw).shape == target.shape


def test_the_output_that_predicts_is_the_last_of_a_nested_network() -> None:
    torch.manual_seed(0)
    network = DEEP[2].module().eval()
    raw = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(raw), network.network(raw)[-1])


def test_stride_is_known_by_axis() -> None:
    arguments = {"channels": [4, 8, 8], "strides": [[1, 2, 2], 2]}
    config = UNetConfig("flat", input_shape=(4, 8, 8), arguments=arguments)
    assert config.stride == Coordinate(2, 4, 4)
    assert config.module().eval()(torch.zeros(1, 1, 4, 8, 8)).shape == (1, 16, 4, 8, 8)


def test_making_a_config_imports_neither_torch_nor_monai() -> None:
    code = (
        "import sys; from dacapo_monai import UNetConfig; UNetConfig.example(); "
        "print([name for name in ('torch', 'monai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
