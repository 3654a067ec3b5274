"""What DaCapo asks of every array, and what is in this one."""

import numpy as np

from dacapo.config import build
from dacapo.experiments.datasplits.datasets.arrays import NumpyArrayConfig
from dacapo.testing import conformance
from dacapo_acme.configs import AcmeArrayConfig

test_conformance = conformance([AcmeArrayConfig.example()])


def test_bright_becomes_dark(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "values.npy", values)
    source = NumpyArrayConfig(
        "source",
        file_name=tmp_path / "values.npy",
        voxel_size=(4, 4, 4),
        offset=(8, 0, 0),
        axis_names=["z", "y", "x"],
        units=["nm"] * 3,
    )
    array = build(AcmeArrayConfig("inverted", source_array_config=source, white=255.0))
    assert np.array_equal(array.data, 255 - values.astype(np.float32))
    assert np.array_equal(array[1, :2, 3], 255 - values[1, :2, 3].astype(np.float32))
    assert array.roi == array.source.roi
