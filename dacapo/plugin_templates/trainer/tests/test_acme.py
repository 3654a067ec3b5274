"""What DaCapo asks of every trainer, and whether this one trains."""

import torch

from dacapo import train_run
from dacapo.experiments.run import Run
from dacapo.testing import conformance, tiny_run
from dacapo_acme.configs import AcmeTrainerConfig

CONFIG = AcmeTrainerConfig("acme", learning_rate=0.05, warmup_iterations=2, num_workers=0)

test_conformance = conformance([CONFIG])


def test_it_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    run = Run(tiny_run(tmp_path, trainer=CONFIG))
    train_run(run, device="cpu")
    assert isinstance(run.optimizer, torch.optim.SGD)
    assert run.training_stats.trained_until() == run.train_until
