"""Tiny runs train and validate with whatever part is to be tried."""

from __future__ import annotations

import pytest

from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.run import Run
from dacapo.experiments.tasks import OneHotTaskConfig
from dacapo.experiments.trainers import DummyTrainerConfig
from dacapo.testing import tiny_run
from dacapo.testing.tiny import tiny_datasplit
from dacapo.train import train_run

TASK = OneHotTaskConfig("classes", classes=["background", "ball"])
TRAINER = DummyTrainerConfig("noise", batch_size=1)
NETWORK = CNNectomeUNetConfig.example()


@pytest.mark.parametrize("parts", [{}, {"trainer": TRAINER, "architecture": NETWORK}], ids=["all", "some"])
def test_a_tiny_run_trains_and_validates(parts, tmp_path):
    run = Run(tiny_run(tmp_path / "data", num_iterations=2, validation_interval=2, **parts))
    train_run(run, device="cpu")
    assert run.training_stats.trained_until() == 2
    assert [each.iteration for each in run.validation_scores.scores] == [2]
    for name, part in parts.items():
        assert getattr(run.config, f"{name}_config") == part


def test_a_tiny_run_takes_tasks_of_ids(tmp_path):
    split = tiny_datasplit(tmp_path / "data", ids=True)
    run = Run(tiny_run(tmp_path / "data", task=TASK, datasplit=split, num_iterations=1))
    train_run(run, device="cpu")
    assert run.task.channels == ["background", "ball"]
    assert run.training_stats.trained_until() == 1


def test_tiny_runs_in_one_folder_share_their_volumes(tmp_path):
    one, other = tiny_run(tmp_path), tiny_run(tmp_path, name="other")
    assert one.datasplit_config == other.datasplit_config
    assert one.replace(name="other") == other
