"""Checkpoints of earlier versions: read without running anything, and gone on from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from dacapo.errors import CorruptData, NotFound, ShapeError, StoreError
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.model import Model
from dacapo.experiments.run import Run
from dacapo.experiments.starts import StartConfig
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.weights_store import Weights
from dacapo.train import train
from old_networks import assert_same_outputs, trained
from old_stores import ERAS, NAME, OldFileStore, fill, write_best, write_checkpoint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def old_store(root: Path, **changes: Any) -> OldFileStore:
    store = OldFileStore(root)
    fill(store, root.parent / "data", **changes)
    return store


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize("era", ERAS)
def test_model_and_optimizer_come_back(root, era, rewritten):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    model, optimizer = write_checkpoint(root, config, 4, era)
    store = create_weights_store()
    assert store.iterations(NAME) == [4]
    assert store.latest_iteration(NAME) == 4
    if rewritten:
        store.store_weights(NAME, 4, store.retrieve_weights(NAME, 4))
    found = store.retrieve_weights(NAME, 4)
    assert same(found.model, model.state_dict())
    run = Run(config)
    store.load_weights(run, 4)
    assert_same_outputs(run.model, model, run.model.input_shape)
    # Each parameter goes on with the moments that it had; every one of them had others.
    theirs = {parameter.abs().sum().item(): optimizer.state[parameter] for parameter in model.parameters()}
    for parameter in run.model.parameters():
        moments = theirs.pop(parameter.abs().sum().item())
        assert torch.equal(run.optimizer.state[parameter]["exp_avg"], moments["exp_avg"])
        assert run.optimizer.state[parameter]["step"] == 1
    assert theirs == {}


UNET = {"fmaps_in": 1, "fmaps_out": 5, "num_fmaps": 4, "fmap_inc_factor": 2}
UNETS = {
    "three levels": {"downsample_factors": [(2, 2, 2), (1, 2, 2)], "input_shape": (40, 48, 48)},
    "valid": {"padding": "valid", "input_shape": (40, 40, 40)},
    "transposed": {"constant_upsample": False},
    "batch norm": {"batch_norm": True, "fmaps_in": 2},
    "in two dimensions": {"input_shape": (24, 24), "downsample_factors": [(2, 2), (3, 3)], "num_fmaps": 3},
    "kernels": {
        "kernel_size_down": [[(1, 3, 3), (3, 3, 3)], [(3, 3, 3), (1, 3, 3), (3, 3, 3)]],
        "kernel_size_up": [[(3, 3, 3), (1, 1, 1)]],
    },
    "one convolution": {"kernel_size_down": [[(3, 3, 3)], [(3, 3, 3)]], "kernel_size_up": [[(3, 3, 3)]]},
}  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("change", UNETS.values(), ids=UNETS)
def test_unets_of_earlier_versions_compute_what_they_did(change, era):
    values = {"input_shape": (24, 24, 24), "downsample_factors": [(2, 2, 2)], "padding": "same"}
    config = CNNectomeUNetConfig("unet", **UNET | values | change)
    old = trained(config, 2, era, seed=1).eval()
    new = Model(config, torch.nn.Conv2d(5, 2, 1) if config.dims == 2 else torch.nn.Conv3d(5, 2, 1)).eval()
    new.load_state_dict(old.state_dict())
    assert_same_outputs(new, old, config.input_shape)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"num_fmaps": 5},
            r"chain\.0\.down\.0\.0\.weight is missing, and nothing among them is \(5, 1, 3, 3, 3\)",
        ),
        (
            {"kernel_size_up": [[(3, 3, 3)]] * 2},
            "their layers have other names, and their shapes do not tell",
        ),
        (
            {"fmap_inc_factor": 1},
            "their layers have other names, and their shapes do not tell which is which",
        ),
        ({"use_attention": True}, r"chain.0.up.0.gate.of_skip.weight is missing, and nothing among them is"),
    ],
)
def test_unets_whose_layers_cannot_be_told_are_refused(change, complaint):
    factors = {"downsample_factors": [(2, 2, 2)] * 2, "input_shape": (24, 24, 24), "padding": "same"}
    config = CNNectomeUNetConfig("unet", **UNET | factors)
    same_levels = {key: value for key, value in change.items() if key == "fmap_inc_factor"}
    old = trained(config.replace(**same_levels), 1, "seed", seed=1)
    new = Model(config.replace(**change), torch.nn.Conv3d(config.fmaps_out, 1, 1))
    before = {key: tensor.clone() for key, tensor in new.state_dict().items()}
    with pytest.raises(ShapeError, match=f"the weights do not fit the model: {complaint}"):
        new.load_state_dict(old.state_dict())
    assert same(new.state_dict(), before)


@pytest.mark.parametrize("era", ERAS)
def test_a_run_begins_with_an_old_checkpoint(root, era):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    model, _ = write_checkpoint(root, config, 4, era)
    start = StartConfig(NAME, "latest")
    new = Run(config.replace(name="new", start_config=start))
    assert_same_outputs(new.model, model, new.model.input_shape)
    task = config.task_config.replace(name="two", channels=["other", "ball"])
    other = Run(config.replace(name="other", start_config=start, task_config=task))
    assert torch.equal(other.model.prediction_head.weight[1], model.prediction_head.weight[0])
    assert not torch.equal(other.model.prediction_head.weight[0], model.prediction_head.weight[0])


def test_checkpoints_of_a_repetition_are_its_own(root):
    old_store(root, repetition=2)
    write_checkpoint(root, create_config_store().retrieve_run_config(NAME), 4)
    store = create_weights_store()
    assert store.iterations(f"{NAME}:2") == [4]
    assert store.iterations(f"{NAME}:0") == []
    assert store.backend.blob_runs() == [f"{NAME}:2"]
    store.store_weights(f"{NAME}:0", 4, Weights({"a": torch.ones(1)}))
    assert store.retrieve_weights(f"{NAME}:0", 4).model["a"] == 1
    assert "a" not in store.retrieve_weights(f"{NAME}:2", 4).model
    store.delete(f"{NAME}:0")
    assert create_weights_store().iterations(f"{NAME}:2") == [4]


def test_weights_that_no_run_is_there_for_are_found_by_a_start(root):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 1820500, name="setup04")
    weights = create_weights_store().retrieve_weights_by("setup04", "1820500")
    assert "chain.1.weight" in weights.model
    create_config_store().store_run_config(config.replace(name="setup04"))
    with pytest.raises(NotFound):
        create_weights_store().retrieve_weights("setup04", 1820500)


def test_what_was_recorded_as_best_is_found_and_removed_with_its_checkpoint(root):
    old_store(root)
    write_checkpoint(root, create_config_store().retrieve_run_config(NAME), 4)
    write_best(root, "validate", "ball__voi", 4)
    store = create_weights_store()
    assert store.retrieve_best(NAME, "validate", "ball__voi") == 4
    assert [(one.dataset, one.criterion, one.iteration) for one in store.best(NAME)] == [
        ("validate", "ball__voi", 4)
    ]
    store.remove(NAME, 4)
    assert store.best(NAME) == [] and store.iterations(NAME) == []
    assert not (root / NAME / "checkpoints" / "iterations" / "4").exists()


def test_a_new_checkpoint_takes_the_place_of_an_old_one_which_is_read_until_then(root):
    old_store(root)
    write_checkpoint(root, create_config_store().retrieve_run_config(NAME), 4)
    store = create_weights_store()

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with mock.patch("dacapo.store.weights_store.seal", killed), pytest.raises(KeyboardInterrupt):
        store.store_weights(NAME, 4, Weights({"a": torch.ones(1)}))
    assert "chain.1.weight" in create_weights_store().retrieve_weights(NAME, 4).model
    store.store_weights(NAME, 4, Weights({"a": torch.ones(1)}))
    assert list(create_weights_store().retrieve_weights(NAME, 4).model) == ["a"]
    store.delete(NAME)
    assert create_weights_store().iterations(NAME) == []


def test_a_network_that_the_tensors_do_not_fit_says_which(root):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 4)
    wider = config.replace(architecture_config=config.architecture_config.replace(num_fmaps=6))
    weights = create_weights_store().retrieve_weights(NAME, 4)
    with pytest.raises(ShapeError, match=r"nothing among them is \(6, 1, 3, 3, 3\)"):
        Run(wider).load_weights(weights, training=True)


@pytest.mark.parametrize("damage", ["count", "shape"])
def test_an_optimizer_that_does_not_fit_is_left_out(root, damage, caplog):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 4)
    weights = create_weights_store().retrieve_weights(NAME, 4)
    if damage == "count":
        weights.optimizer["param_groups"][0]["params"].pop()
    else:
        weights.optimizer["state"][0]["exp_avg"] = torch.zeros(7)
    run = Run(config)
    run.load_weights(weights, training=True)
    assert run.optimizer.state_dict()["state"] == {}
    assert "begins anew" in caplog.text


def test_a_hyperparameter_that_an_older_optimizer_did_not_have_is_taken_from_the_present_one(root):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 4)
    weights = create_weights_store().retrieve_weights(NAME, 4)
    del weights.optimizer["param_groups"][0]["decoupled_weight_decay"]
    run = Run(config)
    run.load_weights(weights, training=True)
    assert run.optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert len(run.optimizer.state_dict()["state"]) > 0


def test_training_goes_on_from_an_old_checkpoint(root):
    old_store(root)
    config = create_config_store().retrieve_run_config(NAME)
    write_checkpoint(root, config, 4)
    train(NAME, do_validate=False, device="cpu")
    store = create_weights_store()
    assert store.iterations(NAME) == [4, 8]
    assert create_stats_store().retrieve_training_stats(NAME).iterations.tolist() == [4, 5, 6, 7]
    assert (root / NAME / "checkpoints" / "iterations" / "4").is_file()


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("whole", [True, False])
def test_a_hostile_checkpoint_runs_nothing(root, tmp_path, whole):
    old_store(root)
    path = root / NAME / "checkpoints" / "iterations" / "4"
    path.parent.mkdir(parents=True)
    hostile = Hostile(tmp_path / "made")
    torch.save(hostile if whole else {"model": {"a": torch.ones(1)}, "optimizer": hostile}, path)
    with pytest.raises(CorruptData, match="never loaded"):
        create_weights_store().retrieve_weights(NAME, 4)
    assert create_weights_store().latest_iteration(NAME) is None
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "damaged"),
        (b"PK\3\4 rubbish", "damaged"),
        ({"epoch": 3}, "neither a model nor tensors"),
        ([torch.ones(1)], "neither a model nor tensors"),
    ],
)
def test_what_is_no_checkpoint_says_so(root, content, complaint):
    old_store(root)
    path = root / NAME / "checkpoints" / "iterations" / "4"
    path.parent.mkdir(parents=True)
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CorruptData, match=complaint):
        create_weights_store().retrieve_weights(NAME, 4)


@pytest.mark.parametrize("form", ["parts", "cosem", "model"])
def test_checkpoints_that_are_plain_dictionaries_are_read(root, form):
    old_store(root)
    path = root / "setup" / "checkpoints" / "iterations" / "4"
    path.parent.mkdir(parents=True)
    model = {"a": torch.ones(2)}
    contents = {
        "parts": {"model": model, "optimizer": {"state": {}, "param_groups": []}},
        "cosem": {"model_state_dict": model, "iteration": 4},
        "model": model,
    }
    torch.save(contents[form], path)
    found = create_weights_store().retrieve_weights("setup", 4)
    assert found.model["a"].tolist() == [1, 1]
    assert (found.optimizer is not None) == (form == "parts")


def test_torch_that_could_be_tricked_is_refused(root, monkeypatch):
    old_store(root)
    write_checkpoint(root, create_config_store().retrieve_run_config(NAME), 4)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu126")
    with pytest.raises(StoreError, match=r"pip install --upgrade 'torch>=2.10'"):
        create_weights_store().retrieve_weights(NAME, 4)
