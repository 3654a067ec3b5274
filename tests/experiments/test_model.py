"""Backbone and head together, and the weights they are stored as."""

from __future__ import annotations

import pytest
import torch
from funlib.geometry import Coordinate
from torch import nn

from dacapo.config import build
from dacapo.errors import ShapeError
from dacapo.experiments.architectures import ArchitectureConfig, CNNectomeUNetConfig
from dacapo.experiments.model import Model


def unet(**changes):
    values = {
        "input_shape": (40, 40), "fmaps_in": 2, "fmaps_out": 4, "num_fmaps": 3, "fmap_inc_factor": 2,
        "downsample_factors": [(2, 2)], "batch_norm": True,
    }  # fmt: skip
    return CNNectomeUNetConfig("net", **values | changes)


def model(channels=3, activation=None, kernel=1, **changes):
    torch.manual_seed(0)
    return Model(unet(**changes), nn.Conv2d(4, channels, kernel), activation)


class Wrapped(ArchitectureConfig):
    """A network of somebody else's: one that cannot do with a batch of none."""

    input_shape = Coordinate(8, 8)
    num_in_channels = num_out_channels = 1

    def module(self):
        class Own(nn.Conv2d):
            def forward(self, raw):
                assert len(raw) > 0
                return super().forward(raw)

        layer = Own(1, 1, 3)
        nn.init.constant_(layer.weight, 7)
        return layer


def test_a_model_says_what_it_takes_and_makes():
    net = model(eval_shape_increase=(4, 8), upsample_factors=[(2, 2)])
    assert (net.num_in_channels, net.num_out_channels, net.dims) == (2, 3, 2)
    assert net.input_shape == (40, 40) and net.eval_input_shape == (44, 48)
    assert net.output_shape == net.architecture.output_shape
    assert net.eval_output_shape == net.output_shape + Coordinate(8, 16)
    assert net.compute_output_shape((44, 44)) == (3, net.output_shape + 8)
    assert net.scale(Coordinate(8, 4)) == (4, 2)
    assert net(torch.zeros(1, 2, 40, 40)).shape == (1, 3, *net.output_shape)
    assert model(kernel=3).output_shape == model().output_shape - 2
    assert isinstance(net.prediction_head, nn.Conv2d) and net.prediction_head is net.chain[1]


def test_a_component_makes_the_same_model_as_its_config():
    assert Model(build(unet()), nn.Conv2d(4, 1, 1)).output_shape == unet().output_shape


def test_asking_for_a_shape_changes_nothing():
    net = model()
    net.chain[1].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.compute_output_shape((56, 56))
    assert net.training and net.chain[0].training and not net.chain[1].training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_asking_for_a_huge_shape_costs_nothing():
    assert model().compute_output_shape((2**20, 2**20)) == (3, Coordinate(2**20 - 16, 2**20 - 16))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="nearest input shapes"):
        model().compute_output_shape((41, 40))
    with pytest.raises(ShapeError, match="'theirs' takes no input of shape"):
        Model(Wrapped("theirs"), nn.Identity()).compute_output_shape((1, 1))


def test_networks_of_other_people_keep_their_weights():  # bug B17
    net = Model(Wrapped("theirs"), nn.Conv2d(1, 1, 1))
    assert net.output_shape == (6, 6)
    assert torch.all(net.chain[0].weight == 7)
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_the_activation_acts_in_eval_mode_only():
    net, raw = model(activation=nn.Sigmoid(), batch_norm=False), torch.randn(1, 2, 40, 40)
    logits = net(raw)
    probabilities = net.eval()(raw)
    torch.testing.assert_close(probabilities, logits.sigmoid())
    with torch.autocast("cpu", torch.bfloat16):
        assert net(raw).dtype == torch.float32
    assert model(activation=torch.tanh).eval()(raw).abs().max() < 1
    assert net.double()(raw.double()).dtype == torch.float64


def test_weights_are_float32_and_each_is_stored_once():
    state = model().state_dict()
    assert {key.split(".")[1] for key in state} == {"0", "1"} and all(
        key.startswith("chain.") for key in state
    )
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    assert {tensor.dtype for key, tensor in state.items() if "num_batches" not in key} == {torch.float32}


def test_weights_of_existing_dacapo_name_the_head_twice():
    net, other = model(), model(channels=3)
    nn.init.ones_(other.prediction_head.weight)
    stored = other.state_dict()
    twice = stored | {
        key.replace("chain.1", "prediction_head"): t for key, t in stored.items() if "chain.1" in key
    }
    assert len(twice) == len(stored) + 2
    net.load_state_dict(twice)
    assert torch.all(net.prediction_head.weight == 1)
    only_old = {key: t * 2 for key, t in twice.items() if not key.startswith("chain.1")}
    net.load_state_dict(only_old)
    assert torch.all(net.prediction_head.weight == 2)


def test_weights_that_do_not_fit_are_named():
    net, stored = model(), model(channels=5).state_dict()
    with pytest.raises(ShapeError, match=r"chain.1.weight is \(5, 4, 1, 1\) and should be \(3, 4, 1, 1\)"):
        net.load_state_dict(stored)
    del stored["chain.1.weight"], stored["chain.1.bias"]
    with pytest.raises(ShapeError, match="chain.1.weight is missing; chain.1.bias is missing"):
        net.load_state_dict(stored)
    assert net.load_state_dict(stored, strict=False).missing_keys == ["chain.1.weight", "chain.1.bias"]
    with pytest.raises(ShapeError, match="else is unknown to the model"):
        net.load_state_dict(net.state_dict() | {"else": torch.zeros(1)})
    with pytest.raises(ShapeError, match="and [0-9]+ more"):
        net.load_state_dict({})


def test_the_footprint_grows_with_the_input():
    net = model()
    assert 3.5 < net.footprint(Coordinate(80, 80)) / net.footprint(Coordinate(40, 40)) < 6
    # At least the two convolutions of the first level, of 3 channels and 4 bytes.
    assert net.footprint(Coordinate(40, 40)) > (38**2 + 36**2) * 3 * 4
    assert net(torch.zeros(1, 2, 40, 40)).shape[0] == 1 and net.training


class DeepConfig(Wrapped):
    """A network that gives out two depths while it is trained."""

    def module(self):
        class Deep(nn.Module):
            def __init__(self):
                super().__init__()
                self.fine, self.coarse = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 2, stride=2)

            def forward(self, raw):
                return (self.fine(raw), self.coarse(raw)) if self.training else self.fine(raw)

        return Deep()


def test_the_head_predicts_from_every_depth_in_training_only():
    deep = Model(DeepConfig("deep"), nn.Conv2d(1, 2, 1), nn.Sigmoid())
    assert deep.output_shape == (8, 8)
    fine, coarse = deep(torch.ones(1, 1, 8, 8))
    assert fine.shape == (1, 2, 8, 8) and coarse.shape == (1, 2, 4, 4)
    (fine.sum() + coarse.sum()).backward()
    assert all(parameter.grad is not None for parameter in deep.parameters())
    prediction = deep.eval()(torch.ones(1, 1, 8, 8))
    torch.testing.assert_close(prediction, fine.sigmoid())
