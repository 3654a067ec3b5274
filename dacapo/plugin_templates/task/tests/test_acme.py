"""What DaCapo asks of every task, and whether this one trains."""

from dacapo import train_run
from dacapo.experiments.run import Run
from dacapo.testing import conformance, tiny_run
from dacapo_acme.configs import AcmeTaskConfig

test_conformance = conformance([AcmeTaskConfig("acme")])


def test_it_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    run = Run(tiny_run(tmp_path, task=AcmeTaskConfig("acme")))
    train_run(run, device="cpu")
    assert run.training_stats.trained_until() == run.train_until
    assert run.validation_scores.iterations
