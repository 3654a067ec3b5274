"""What is frozen stays as it is, bit for bit, and nothing else does."""

from __future__ import annotations

import pytest
import torch

from dacapo.documents import documents
from dacapo.errors import InvalidConfig
from dacapo.experiments import Run, RunConfig
from dacapo.store.create_store import create_weights_store
from dacapo.testing import tiny_run
from dacapo.train import train_run


@pytest.fixture
def config(tmp_path, monkeypatch) -> RunConfig:
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    config = tiny_run(tmp_path / "data", freeze=["chain.0.down.*", "*.0.upsample.*"])
    return config.replace(architecture_config=config.architecture_config.replace(batch_norm=True))


def is_frozen(name: str) -> bool:
    return name.startswith(("chain.0.down.", "chain.0.up.0.upsample."))


def parted(before: dict, after: dict) -> tuple[set[str], set[str]]:
    """Return the names of what stayed, and of what changed."""
    same = {name for name in before if torch.equal(before[name], after[name])}
    return same, before.keys() - same


def test_what_is_frozen_stays_bit_for_bit_and_the_rest_is_trained(config):
    run = Run(config)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    train_run(run, do_validate=False, device="cpu")
    same, changed = parted(before, create_weights_store().retrieve_weights("tiny", 8).model)
    # Running statistics of frozen layers are among them.
    assert "chain.0.down.0.1.running_mean" in same
    assert same == {name for name in before if is_frozen(name)}
    assert "chain.1.weight" in changed


def test_what_is_frozen_gets_no_gradient_and_is_not_in_the_optimizer(config):
    run = Run(config)
    run.model.train()
    run.model(torch.rand(2, 1, 24, 24, 24)).square().sum().backward()
    names = dict(run.model.named_parameters())
    assert {name for name, one in names.items() if one.grad is None} == set(filter(is_frozen, names))
    optimized = {id(one) for group in run.optimizer.param_groups for one in group["params"]}
    assert optimized == {id(one) for name, one in names.items() if not is_frozen(name)}
    assert not run.model.chain[0].down[0][1].training and run.model.chain[0].up[0].convolutions[1].training


def test_freezing_survives_stopping_and_going_on(config, monkeypatch, tmp_path):
    train_run(Run(config), do_validate=False, device="cpu")
    whole = create_weights_store().retrieve_weights("tiny", 8)
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "parts"))
    train_run(Run(config.replace(num_iterations=4)), do_validate=False, device="cpu")
    train_run(Run(config), do_validate=False, device="cpu")
    parts = create_weights_store().retrieve_weights("tiny", 8)
    assert parted(whole.model, parts.model)[1] == set()
    for key, state in whole.optimizer["state"].items():
        assert all(torch.equal(torch.as_tensor(state[k]), torch.as_tensor(v))
                   for k, v in parts.optimizer["state"][key].items())  # fmt: skip


def test_nothing_is_frozen_unless_it_is_asked_for(config):
    # bug B17: wrapped networks and those of the zoo are frozen by default there
    free = Run(config.replace(freeze=[]))
    assert all(parameter.requires_grad for parameter in free.model.parameters())
    document = documents.write(config)
    assert documents.read(document, RunConfig) == config
    del document["freeze"]
    assert documents.read(document, RunConfig).freeze == []


def test_a_pattern_that_fits_nothing_names_what_there_is(config):
    with pytest.raises(
        InvalidConfig,
        match=r"freeze = .*'backbone' is the name of no parameter.*chain.0.down.0.0.weight.*chain.1.bias",
    ):
        _ = Run(config.replace(freeze=["chain.0.*", "backbone"])).model
    with pytest.raises(InvalidConfig, match=r"'chain.\*' freezes all, and leaves nothing to train"):
        _ = Run(config.replace(freeze=["chain.*"])).model
