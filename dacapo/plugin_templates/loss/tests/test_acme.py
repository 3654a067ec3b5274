"""What DaCapo asks of every loss, and the two sides of this one's bend."""

import pytest
import torch

from dacapo.config import build
from dacapo.testing import conformance
from dacapo_acme.configs import AcmeLossConfig

test_conformance = conformance([AcmeLossConfig()])


@pytest.mark.parametrize(("error", "expected"), [(0.5, 0.125), (3.0, 2.5)])
def test_small_errors_are_squared_and_large_ones_are_not(error, expected):
    loss, target = build(AcmeLossConfig(bend=1.0)), torch.zeros(1, 1, 2, 2)
    assert loss.compute(target + error, target).item() == pytest.approx(expected)


def test_what_weighs_nothing_does_not_count():
    loss, target = build(AcmeLossConfig()), torch.zeros(1, 1, 1, 2)
    prediction = torch.tensor([[[[0.1, torch.nan]]]])
    assert loss.compute(prediction, target, torch.tensor([[[[1.0, 0.0]]]])).item() == pytest.approx(0.005)
