"""What DaCapo asks of every network, and whether this one trains."""

import torch

from dacapo import train_run
from dacapo.experiments.run import Run
from dacapo.testing import conformance, tiny_run
from dacapo_acme.configs import AcmeArchitectureConfig

CONFIG = AcmeArchitectureConfig("acme", input_shape=(20, 20, 20), width=4, num_out_channels=4)
FLAT = AcmeArchitectureConfig("flat", input_shape=(20, 20))

test_conformance = conformance([CONFIG, FLAT])


def test_every_convolution_takes_a_voxel_off_every_side():
    assert FLAT.module()(torch.zeros(1, 1, 20, 20)).shape == (1, 8, 14, 14)


def test_it_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    run = Run(tiny_run(tmp_path, architecture=CONFIG))
    train_run(run, device="cpu")
    assert run.training_stats.trained_until() == run.train_until
    assert run.validation_scores.iterations
