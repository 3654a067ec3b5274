"""What DaCapo asks of every start, and what this one leaves as it is."""

import torch

from dacapo import train_run
from dacapo.experiments.run import Run
from dacapo.testing import conformance, tiny_run
from dacapo_acme.configs import AcmeStartConfig

test_conformance = conformance([AcmeStartConfig])


def test_the_backbone_stays_and_the_head_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "runs"))
    first = Run(tiny_run(tmp_path, name="first"))
    train_run(first, False, device="cpu")
    start = AcmeStartConfig("first", str(first.train_until))
    second = Run(tiny_run(tmp_path, name="second", start_config=start))
    train_run(second, False, device="cpu")
    before, after = first.model.state_dict(), second.model.state_dict()
    assert {key for key in after if not torch.equal(before[key], after[key])} == {
        key for key in after if not key.startswith("chain.0.")
    }
