"""Pretrained tasks: another task whose models begin with the weights of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import dacapo
from dacapo import documents
from dacapo.config import build
from dacapo.errors import CorruptData, MissingData, ShapeError
from dacapo.experiments.model import Model
from dacapo.experiments.run import Run
from dacapo.experiments.tasks import OneHotTaskConfig, PretrainedTaskConfig, TaskConfig
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.testing import tiny_run
from dacapo.train import train_run
from old_networks import assert_same_outputs
from old_stores import ERAS, NAME, run_document, write_checkpoint


@pytest.fixture
def config(tmp_path: Path) -> Any:
    return tiny_run(tmp_path / "data", num_iterations=2, validation_interval=2)


def other_weights(config: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a model of the run, begun with another seed."""
    return Run(config.replace(seed=7)).model.state_dict()


def pretrained(config: Any, path: Path) -> Any:
    task = PretrainedTaskConfig("again", sub_task_config=config.task_config, weights=path)
    return config.replace(name="fine", task_config=task)


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def in_a_chain(weights: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("chain."): tensor for key, tensor in weights.items()}


SAVED = {
    "state.pt": torch.save,
    "checkpoint.pt": lambda weights, path: torch.save({"model": weights, "optimizer": {}}, path),
    "chain.pt": lambda weights, path: torch.save({"model": in_a_chain(weights)}, path),
    "weights.safetensors": save_file,
}


@pytest.mark.parametrize("name", SAVED)
def test_a_model_begins_with_backbone_and_head_of_the_file(config, tmp_path, name):
    weights = other_weights(config)
    SAVED[name](weights, tmp_path / name)
    run = Run(pretrained(config, tmp_path / name))
    assert not same(Run(config).model.state_dict(), weights)
    assert same(run.model.state_dict(), weights)


@pytest.mark.parametrize("era", ERAS)
def test_what_an_earlier_dacapo_checkpointed_is_taken(config, tmp_path, era):
    model, _ = write_checkpoint(tmp_path, config, 4, era)
    path = tmp_path / NAME / "checkpoints" / "iterations" / "4"
    new = Run(pretrained(config, path)).model
    assert_same_outputs(new, model, new.input_shape)


def test_it_trains_validates_and_goes_on_as_the_task_it_holds(config, tmp_path):
    torch.save(other_weights(config), tmp_path / "state.pt")
    fine = pretrained(config, tmp_path / "state.pt").replace(num_iterations=4)
    create_config_store().store_run_config(fine)
    assert create_config_store().retrieve_run_config("fine") == fine
    dacapo.train("fine", device="cpu")
    run = Run(fine)
    assert run.resume(create_stats_store(), create_weights_store()) == 4
    assert not same(run.model.state_dict(), other_weights(config))
    assert [each.iteration for each in run.validation_scores.scores] == [2, 4]
    assert run.validation_scores.criteria == Run(config).validation_scores.criteria
    assert run.task.channels == ["ball"] and run.task.parameters == Run(config).task.parameters


def test_documents_of_earlier_versions_are_read(tmp_path, config):
    torch.save(other_weights(config), tmp_path / "state.pt")
    run = run_document(tmp_path / "data")
    document = {
        "__type__": "PretrainedTaskConfig",
        "name": "again",
        "sub_task_config": run["task_config"],
        "weights": str(tmp_path / "state.pt"),
    }
    task = documents.read(document, TaskConfig)
    assert task == PretrainedTaskConfig(
        "again", sub_task_config=config.task_config, weights=tmp_path / "state.pt"
    )
    assert build(task).channels == ["ball"]


def test_what_does_not_fit_is_named(config, tmp_path):
    weights = other_weights(config)
    head = weights.pop("chain.1.weight")
    torch.save({**weights, "chain.1.mass": head}, tmp_path / "state.pt")
    with pytest.raises(ShapeError, match=r"state.pt do not fit.*chain.1.weight is missing; chain.1.mass is"):
        Run(pretrained(config, tmp_path / "state.pt")).model  # noqa: B018
    torch.save({**weights, "chain.1.weight": head[:, :2]}, tmp_path / "state.pt")
    with pytest.raises(ShapeError, match=r"chain.1.weight is \(1, 2, 1, 1, 1\) and should be \(1, 4,"):
        Run(pretrained(config, tmp_path / "state.pt")).model  # noqa: B018


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
def test_a_file_that_is_gone_or_damaged_is_named(config, tmp_path, name):
    with pytest.raises(MissingData, match=f"there is no file of weights at .*{name}"):
        train_run(Run(pretrained(config, tmp_path / name)), device="cpu")
    (tmp_path / name).write_bytes(b"nothing of the sort")
    with pytest.raises(CorruptData, match=f"the file of weights .*{name}"):
        train_run(Run(pretrained(config, tmp_path / name)), device="cpu")


def test_once_there_is_a_checkpoint_the_file_may_go(config, tmp_path):
    torch.save(other_weights(config), tmp_path / "state.pt")
    fine = pretrained(config, tmp_path / "state.pt")
    create_config_store().store_run_config(fine)
    train_run(Run(fine), device="cpu")
    (tmp_path / "state.pt").unlink()
    assert dacapo.validate("fine", 2, device="cpu").iteration == 2
    raw = tmp_path / "data" / "validate.zarr"
    assert dacapo.predict("fine", 2, raw, "raw", tmp_path / "out", device="cpu").shape == (1, 40, 40, 40)
    longer = fine.replace(num_iterations=3)
    train_run(Run(longer), do_validate=False, device="cpu")
    assert create_weights_store().latest_iteration("fine") == 3
    with pytest.raises(MissingData):
        Run(fine).model  # noqa: B018


def test_a_file_of_weights_runs_nothing(config, tmp_path):
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": {"chain.1.weight": Bomb()}}, tmp_path / "state.pt")
    with pytest.raises(CorruptData, match="more than tensors and plain data, which is never loaded"):
        Run(pretrained(config, tmp_path / "state.pt")).model  # noqa: B018
    assert not (tmp_path / "ran").exists()


def test_any_task_can_be_pretrained(tmp_path):
    sub = OneHotTaskConfig("classes", classes=["background", "ball"])
    config = tiny_run(tmp_path / "data", task=sub)
    torch.save(other_weights(config), tmp_path / "state.pt")
    run = Run(pretrained(config, tmp_path / "state.pt"))
    assert isinstance(run.model, Model) and run.model.eval_activation is not None
    assert type(run.task.loss) is type(Run(config).task.loss)
    assert documents.read(documents.write(run.config.task_config), TaskConfig) == run.config.task_config
