"""What DaCapo asks of every dataset, and what is in this one."""

import numpy as np

from dacapo.config import build
from dacapo.testing import conformance
from dacapo_acme.configs import AcmeDatasetConfig

test_conformance = conformance([AcmeDatasetConfig("acme", size=16, balls=3)])


def test_the_same_seed_gives_the_same_balls_and_another_does_not():
    one, same, other = (build(AcmeDatasetConfig("acme", seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(one.raw.data, same.raw.data)
    assert not np.array_equal(one.gt.data, other.gt.data)


def test_balls_are_bright():
    dataset = build(AcmeDatasetConfig("acme"))
    inside = dataset.gt.data == 1
    assert dataset.raw.data[inside].mean() > dataset.raw.data[~inside].mean() + 0.9
