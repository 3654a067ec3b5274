"""What DaCapo asks of every augment, and what this one does."""

import numpy as np
from funlib.geometry import Coordinate

from dacapo.config import build
from dacapo.experiments.trainers import Patch
from dacapo.testing import conformance
from dacapo_acme.configs import AcmeAugmentConfig

test_conformance = conformance([AcmeAugmentConfig()])


def test_one_section_is_lost():
    ones, voxel = np.ones((1, 4, 5, 6), np.float32), Coordinate(8, 8, 8)
    patch = Patch(ones, ones[0], None, voxel, voxel)
    build(AcmeAugmentConfig(axis=1)).change(patch, np.random.default_rng(0))
    assert (patch.raw == 0).sum() == 4 * 6
    assert (patch.raw.max(axis=(1, 3)) == 0).sum() == 1
    assert ones.all()
