"""Weights in files of any make get into a model, or it is said why not; nothing in them is run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from dacapo.config import build
from dacapo.errors import CorruptData, InvalidConfig, MissingData, ShapeError
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.model import Model
from dacapo.experiments.starts import FileStartConfig


def model(channels=2, seed=0, num_fmaps=3):
    torch.manual_seed(seed)
    config = CNNectomeUNetConfig(
        "net", input_shape=(20, 20), fmaps_in=1, fmaps_out=4, num_fmaps=num_fmaps, fmap_inc_factor=2,
        downsample_factors=[(2, 2)],
    )  # fmt: skip
    return Model(config, nn.Conv2d(4, channels, 1))


def begin(new, path, labels=("a", "b"), **fields):
    start = build(FileStartConfig(path, **fields))
    brought = start.bring()
    return start.initialize_weights(new, brought.tensors, brought.channels, labels)


def same(one, other, beginning=""):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one if key.startswith(beginning))


def prefixed(state, *prefixes):
    return {"".join(prefixes) + key: tensor for key, tensor in state.items()}


WRAPPINGS = {
    "plain": lambda state: state,
    "of Lightning": lambda state: {"epoch": 3, "state_dict": prefixed(state, "model.")},
    "of DataParallel": lambda state: {"model": prefixed(state, "module."), "optimizer": {"state": {}}},
    "of a compiled one": lambda state: {"model_state_dict": prefixed(state, "_orig_mod.", "module.")},
    "twice": lambda state: {"model": {"state_dict": state, "config": {"width": 3}}, "loss": torch.ones(1)},
    "of DaCapo 0.3.5": lambda state: {
        "model": {
            key.replace("chain.0.", "architecture.").replace("chain.1.", "prediction_head."): tensor
            for key, tensor in state.items()
        }
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_state_dict_is_found_however_it_is_wrapped(tmp_path, wrapping):
    old, new = model(seed=1), model(seed=2)
    torch.save(WRAPPINGS[wrapping](old.state_dict()), tmp_path / "weights.pt")
    loaded = begin(new, tmp_path / "weights.pt")
    assert same(old, new)
    assert set(loaded.tensors) == set(new.state_dict())


def test_safetensors_are_read(tmp_path):
    old, new = model(seed=1), model(seed=2)
    safetensors.torch.save_file(old.state_dict(), tmp_path / "weights.safetensors")
    begin(new, tmp_path / "weights.safetensors")
    assert same(old, new)


def test_channels_of_a_file_are_matched_by_label(tmp_path):
    old, new, fresh = model(3, seed=1), model(2, seed=2), model(2, seed=2)
    torch.save(old.state_dict(), tmp_path / "weights.pt")
    loaded = begin(new, tmp_path / "weights.pt", ("c", "new"), channels=["a", "b", "c"])
    assert same(old, new, "chain.0.")
    assert torch.equal(new.prediction_head.weight[0], old.prediction_head.weight[2])
    assert torch.equal(new.prediction_head.weight[1], fresh.prediction_head.weight[1])
    assert (loaded.labels, loaded.new_labels) == (("c",), ("new",))


def test_a_backbone_alone_is_taken_if_it_is_allowed_to_be_a_part(tmp_path):
    old, new, fresh = model(seed=1), model(seed=2), model(seed=2)
    torch.save(old.chain[0].state_dict(), tmp_path / "backbone.pt")
    with pytest.raises(ShapeError, match="chain.1.weight is missing"):
        begin(new, tmp_path / "backbone.pt")
    loaded = begin(new, tmp_path / "backbone.pt", partial=True)
    assert same(old, new, "chain.0.") and same(fresh, new, "chain.1.")
    assert loaded.new_tensors == ("chain.1.weight", "chain.1.bias")
    assert "2 begin anew: chain.1.weight; chain.1.bias" in str(loaded)


def test_what_does_not_fit_is_left_out_and_named_if_a_part_is_enough(tmp_path):
    old, new, fresh = model(3, seed=1), model(2, seed=2), model(2, seed=2)
    torch.save(old.state_dict() | {"extra": torch.ones(1)}, tmp_path / "weights.pt")
    loaded = begin(new, tmp_path / "weights.pt", partial=True)
    assert same(old, new, "chain.0.") and same(fresh, new, "chain.1.")
    assert loaded.new_tensors == ("chain.1.weight", "chain.1.bias")
    assert loaded.unused == ("chain.1.weight", "chain.1.bias", "extra")
    assert "3 not used: chain.1.weight; chain.1.bias; extra" in str(loaded)


def test_a_head_of_another_shape_is_not_said_to_be_taken_over(tmp_path):
    old, new = model(2, seed=1), model(2, seed=2)
    state = old.state_dict() | {"chain.1.weight": torch.ones(2, 4, 3, 3)}
    torch.save(state, tmp_path / "weights.pt")
    loaded = begin(new, tmp_path / "weights.pt", ("a", "b"), channels=["a", "b"], partial=True)
    assert (loaded.labels, loaded.new_labels) == ((), ("a", "b"))
    assert loaded.new_tensors == loaded.unused == ("chain.1.weight",)


def test_a_file_of_which_nothing_fits_is_an_error(tmp_path):
    # bug B50: a line in a log there, and training from scratch
    new, fresh = model(seed=2), model(seed=2)
    torch.save(nn.Linear(3, 5).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ShapeError, match=r"weights.pt do not fit the model: .*missing"):
        begin(new, tmp_path / "weights.pt", partial=True)
    assert same(fresh, new)


def test_a_file_that_is_no_state_dict_says_what_it_is(tmp_path):
    torch.save({"epoch": 3, "args": {"lr": 0.1}}, tmp_path / "args.pt")
    with pytest.raises(CorruptData, match="holds no state dict, but epoch, args"):
        begin(model(), tmp_path / "args.pt")
    (tmp_path / "no.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CorruptData, match="no.safetensors is no safetensors file"):
        begin(model(), tmp_path / "no.safetensors")
    with pytest.raises(MissingData, match="there is no file .*absent.pt"):
        begin(model(), tmp_path / "absent.pt")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_run(tmp_path):
    torch.save({"state_dict": {}, "hook": Bomb(tmp_path / "ran")}, tmp_path / "weights.pt")
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
    for name in ("weights.pt", "weights.pth"):
        with pytest.raises(CorruptData, match="never loaded.*save the state dict alone"):
            begin(model(), tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_whole_network_that_was_pickled_is_not_loaded(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "weights.pt")
    with pytest.raises(CorruptData, match="never loaded"):
        begin(model(), tmp_path / "weights.pt")


def test_values_are_checked():
    with pytest.raises(InvalidConfig, match="path"):
        FileStartConfig(path=3)
