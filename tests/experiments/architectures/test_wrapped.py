"""Any torch module can be a backbone, with the weights it has; no code is run that nobody allowed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from dacapo.cli import cli
from dacapo.config import build
from dacapo.documents import documents
from dacapo.errors import InvalidConfig, MissingPlugin, NotReady, ShapeError
from dacapo.experiments import Run
from dacapo.experiments.architectures import ArchitectureConfig, WrappedArchitectureConfig
from dacapo.experiments.model import Model
from dacapo.registry import registry
from dacapo.store.create_store import create_config_store, create_weights_store
from dacapo.testing import fake_package, tiny_run
from dacapo.train import train_run

SOURCE = """
import os
from os import system
from pathlib import Path

import torch
from torch import nn

Path(__file__).with_name("imported").touch()


class Net(nn.Module):
    '''Two convolutions.'''

    def __init__(self, width=4, act="relu"):
        super().__init__()
        self.first = nn.Conv3d(1, width, 3, padding=1)
        self.last = nn.Conv3d(width, 4, 3, padding=1)

    def forward(self, raw):
        return self.last(torch.relu(self.first(raw)))


class Other:
    pass


def pretrained(value):
    '''A network whose weights are all the same.'''
    net = Net()
    for one in net.parameters():
        nn.init.constant_(one, value)
    return net


def text():
    return "no network"
"""


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A folder with a module that tells whether it was imported, and a package that offers a network."""
    folder = fake_package(
        tmp_path / "site", "acme-dacapo", offers={"networks": {"acme.Net": "lab_nets:Net"}},
        modules={"lab_nets.py": SOURCE},
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    registry.refresh()
    yield folder
    sys.modules.pop("lab_nets", None)
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture
def allowed(lab, monkeypatch):
    monkeypatch.setenv("DACAPO_ALLOW_IMPORTS", "[lab_nets]")
    return lab


def config(module="lab_nets:Net", **changes):
    values = {"fmaps_in": 1, "fmaps_out": 4, "input_shape": (24, 24, 24)}
    return WrappedArchitectureConfig("wrapped", module=module, **values | changes)


def was_imported(lab: Path) -> bool:
    return (lab / "imported").exists() or "lab_nets" in sys.modules


def test_a_network_is_made_by_import_path_with_its_arguments(allowed):
    network = config(arguments={"width": 7}).module()
    assert network.first.weight.shape[0] == 7
    assert build(config()).module()(torch.rand(1, 1, 5, 5, 5)).shape == (1, 4, 5, 5, 5)


def test_a_network_is_made_by_the_name_a_package_offers_it_under(lab):
    assert type(config("acme.Net").module()).__name__ == "Net"
    with pytest.raises(MissingPlugin, match="offers acme.Nett among its networks; did you mean acme.Net?"):
        config("acme.Nett").module()


def test_a_class_given_itself_is_offered_to_the_session(session_types):
    class Mine(nn.Conv3d):
        """A convolution."""

    made = config(Mine, arguments={"in_channels": 1, "out_channels": 4, "kernel_size": 1})
    assert made.factory == "local.Mine"
    assert isinstance(made.module(), Mine)


def test_it_is_stored_and_trains_and_goes_on(allowed, tmp_path):
    run = tiny_run(tmp_path / "data", architecture=config(arguments={"width": 2}))
    assert documents.read(documents.write(run), type(run)) == run
    create_config_store().store_run_config(run)
    train_run(Run(run.replace(num_iterations=4)), do_validate=False, device="cpu")
    again = Run(create_config_store().retrieve_run_config("tiny"))
    train_run(again, device="cpu")
    assert again.training_stats.trained_until() == 8
    weights = create_weights_store().retrieve_weights("tiny", 8).model
    assert weights["chain.0.first.weight"].shape[0] == 2


def test_a_pretrained_network_keeps_its_weights_and_is_trained(allowed):
    # bug B17: all convolutions are initialised anew there, and frozen by default
    made = config("lab_nets:pretrained", arguments={"value": 0.25})
    model = Model(made, nn.Conv3d(4, 1, 1))
    backbone = [one for name, one in model.named_parameters() if name.startswith("chain.0.")]
    assert backbone
    for one in backbone:
        assert torch.equal(one, torch.full_like(one, 0.25)) and one.requires_grad


def test_parameters_to_train_are_chosen_by_an_expression(allowed):
    network = config(trainable_parameters="^last").module()
    assert {name for name, one in network.named_parameters() if one.requires_grad} == {
        "last.weight",
        "last.bias",
    }
    with pytest.raises(InvalidConfig, match="is found in no name; there are first.weight"):
        config(trainable_parameters="middle").module()
    with pytest.raises(InvalidConfig, match="is no regular expression"):
        config(trainable_parameters="(")


def test_nothing_is_imported_that_is_not_allowed(lab, tmp_path):
    run = tiny_run(tmp_path / "data", architecture=config())
    store = create_config_store()
    store.store_run_config(run)
    store.store_architecture_config(run.architecture_config)
    again = store.retrieve_run_config("tiny")
    assert again.architecture_config.input_shape == (24, 24, 24)
    for command in (["run", "list"], ["run", "show", "tiny"], ["architecture", "show", "wrapped"],
                    ["run", "diff", "tiny", "tiny"], ["plugins", "list"]):  # fmt: skip
        assert CliRunner().invoke(cli, command).exit_code == 0, command
    message = r"lab_nets:Net would have to be imported.*allow_imports: \[lab_nets\]"
    with pytest.raises(NotReady, match=message):
        Run(again).ready("predict")
    with pytest.raises(InvalidConfig, match=message):
        again.architecture_config.module()
    assert not was_imported(lab)


@pytest.mark.parametrize("other", ["lab", "lab_net", "lab_nets.sub", "os"])
def test_what_allows_one_module_allows_no_other(lab, monkeypatch, other):
    monkeypatch.setenv("DACAPO_ALLOW_IMPORTS", f"[{other}]")
    with pytest.raises(InvalidConfig, match="would have to be imported"):
        config().module()
    assert not was_imported(lab)


@pytest.mark.parametrize(
    ("factory", "complaint"),
    [
        ("lab_nets:system", "is a builtin_function_or_method of posix"),
        ("lab_nets:os", "is a module of nowhere"),
        ("lab_nets:Path", "is a type of pathlib"),
        ("lab_nets:Other", "it should be a torch module's class or a function"),
        ("lab_nets:Absent", "cannot be imported.*Absent"),
        ("lab_nets:text", "makes a str, and should make a torch.nn.Module"),
    ],
)
def test_only_networks_of_the_module_itself_are_made(allowed, factory, complaint):
    with pytest.raises(InvalidConfig, match=complaint):
        config(factory).module()


@pytest.mark.parametrize(
    "factory", ["lab_nets:os.system", "lab_nets:Net()", ":Net", "lab_nets:", "a b:c", ""]
)
def test_what_is_no_import_path_is_refused(factory):
    with pytest.raises(InvalidConfig, match="should be the name of a network, or"):
        config(factory)


def test_a_network_that_is_made_already_says_what_to_do_instead():
    with pytest.raises(InvalidConfig, match="a Conv3d cannot be stored: give the class.*FileStartConfig"):
        config(nn.Conv3d(1, 4, 1))


def test_arguments_that_the_class_does_not_take_are_named(allowed):
    with pytest.raises(InvalidConfig, match="arguments = .*lab_nets:Net does not take them.*depth"):
        config(arguments={"depth": 3}).module()


def test_voxels_may_come_out_larger_or_smaller():
    assert config().scale((8, 8, 4)) == (8, 8, 4)
    assert config(scale=(2, 1, 1)).scale((8, 8, 4)) == (16, 8, 4)
    finer = config(scale=(0.5, 0.5, 1))
    assert finer.scale((8, 8, 4)) == (4, 4, 4)
    with pytest.raises(ShapeError, match="change voxel_scale"):
        finer.scale((8, 3, 4))
    assert documents.read(documents.write(finer), ArchitectureConfig) == finer


@pytest.mark.parametrize(
    "changes", [{"input_shape": (0, 1, 1)}, {"fmaps_in": 0}, {"scale": (1, 1)}, {"scale": (0, 1, 1)},
                {"stride": (0, 1, 1)}, {"eval_shape_increase": (-1, 0, 0)}, {"input_shape": (1, 1, 1, 1)}],
)  # fmt: skip
def test_wrong_values_are_refused(changes):
    with pytest.raises(InvalidConfig, match="should be"):
        config(**changes)
