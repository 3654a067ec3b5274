"""What a start loads, and that nothing goes wrong without being said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dacapo.config import build
from dacapo.documents import read, write
from dacapo.errors import InvalidConfig, ShapeError
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.model import Model
from dacapo.experiments.starts import LoadedWeights, Start, StartConfig


def model(channels, seed, num_fmaps=3, head=None):
    torch.manual_seed(seed)
    config = CNNectomeUNetConfig(
        "net", input_shape=(20, 20), fmaps_in=1, fmaps_out=4, num_fmaps=num_fmaps, fmap_inc_factor=2,
        downsample_factors=[(2, 2)],
    )  # fmt: skip
    return Model(config, head or nn.Conv2d(4, channels, 1))


@pytest.fixture
def start():
    return build(StartConfig("other run", "20000"))


def equal(one, other, keys=None):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[key], other[key]) for key in keys or one)


def test_a_start_names_a_run_and_a_checkpoint():
    config = StartConfig("other run", "cells/voi")
    assert config == StartConfig(run="other run", criterion="cells/voi")
    assert write(config) == {
        "__type__": "StartConfig",
        "run": "other run",
        "criterion": "cells/voi",
        "name": "",
    }
    assert read({"__type__": "StartConfig", "run": "r", "criterion": "c"}, StartConfig) == StartConfig(
        "r", "c"
    )
    assert isinstance(build(config), Start)
    assert (build(config).run, build(config).criterion) == ("other run", "cells/voi")
    for wrong in ({"run": "", "criterion": "c"}, {"run": "r", "criterion": ""}):
        with pytest.raises(InvalidConfig, match="should"):
            StartConfig(**wrong)


@pytest.mark.parametrize("heads", [(None, None), (["a", "b"], None), (["a", "b"], ["a", "b"])])
def test_what_fits_is_loaded_whole(start, heads):
    old, new = model(2, 1), model(2, 2)
    assert not equal(old, new)
    report = start.initialize_weights(new, old.state_dict(), *heads)
    assert equal(old, new)
    assert set(report.tensors) == set(new.state_dict())
    assert report.new_labels == ()
    assert str(report).startswith(f"{len(new.state_dict())} tensors loaded")


def test_matching_channels_of_the_head_are_copied(start):
    old, new, fresh = model(3, 1), model(4, 2), model(4, 2)
    report = start.initialize_weights(new, old.state_dict(), ["a", "b", "c"], ["c", "new", "a", "other"])
    assert equal(old, new, [key for key in old.state_dict() if key.startswith("chain.0")])
    for name in ("weight", "bias"):
        was, initial, now = (getattr(m.prediction_head, name) for m in (old, fresh, new))
        assert torch.equal(now[0], was[2]) and torch.equal(now[2], was[0])
        assert torch.equal(now[1], initial[1]) and torch.equal(now[3], initial[3])
    assert report.labels == ("c", "a") and report.new_labels == ("new", "other")
    assert "head: taken over c, a; begins anew: new, other" in str(report)


def test_equal_shapes_do_not_mean_equal_channels(start):
    old, new = model(2, 1), model(2, 2)
    start.initialize_weights(new, old.state_dict(), ["a", "b"], ["b", "a"])
    assert torch.equal(new.prediction_head.weight, old.prediction_head.weight.flip(0))


def test_a_head_without_a_match_is_said_to_begin_anew(start):
    old, new, fresh = model(2, 1), model(1, 2), model(1, 2)
    report = start.initialize_weights(new, old.state_dict(), ["a", "b"], ["z"])
    assert equal(new, fresh, ["chain.1.weight", "chain.1.bias"])
    assert "taken over nothing; begins anew: z" in str(report)


def test_weights_of_existing_dacapo_are_welcome(start):
    old, new = model(2, 1), model(1, 2)
    weights = {key.replace("chain.1", "prediction_head"): t for key, t in old.state_dict().items()}
    start.initialize_weights(new, weights | old.state_dict(), ["a", "b"], ["b"])
    assert torch.equal(new.prediction_head.weight[0], old.prediction_head.weight[1])


@pytest.mark.parametrize(
    ("old", "heads", "complaint"),
    [
        # bug B50: each of these is but a line in a log there
        (lambda: model(3, 1), (None, None), r"chain.1.weight is \(3, 4, 1, 1\) and should be \(2, 4, 1, 1\)"),
        (lambda: model(2, 1, num_fmaps=5), (None, None), "chain.0.down.0.0.weight is"),
        (lambda: model(3, 1, num_fmaps=5), (["a", "b", "c"], ["a", "z"]), "chain.0.down.0.0.weight is"),
        (lambda: model(3, 1), (["a", "b"], ["a", "z"]), "chain.1.weight is .*one row for each of its 2"),
        (lambda: model(2, 1), (["a", "b"], ["a", "b", "c"]), "one for each of 3 channels"),
        (lambda: model(2, 1, head=nn.Identity()), (["a", "b"], ["a", "z"]), "chain.1.weight is None"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_tensors(start, old, heads, complaint):
    new, fresh = model(2, 2), model(2, 2)
    with pytest.raises(ShapeError, match=complaint) as error:
        start.initialize_weights(new, old().state_dict(), *heads)
    assert "the weights of run 'other run' (20000)" in str(error.value)
    assert equal(new, fresh)


def test_labels_must_tell_channels_apart(start):
    with pytest.raises(InvalidConfig, match="each should be there once"):
        start.initialize_weights(model(2, 2), model(2, 1).state_dict(), ["a", "a"], ["a", "b"])


def test_reports_compare_by_value():
    assert LoadedWeights(("x",)) == LoadedWeights(("x",), (), ())


def test_a_checkpoint_may_be_given_as_a_number():
    assert StartConfig("other run", 20000) == StartConfig("other run", "20000")
    with pytest.raises(InvalidConfig, match="criterion"):
        StartConfig("other run", 2.5)
