"""What DaCapo asks of parameters, and of a task that uses them, and what this post-processor leaves out."""

import numpy as np

from dacapo.config import build
from dacapo.experiments.datasplits.datasets.arrays import NumpyArray
from dacapo.experiments.tasks import DistanceTaskConfig
from dacapo.testing import conformance
from dacapo_acme.configs import AcmePostProcessorParameters

TASK = DistanceTaskConfig(
    "acme",
    channels=["a"],
    clip_distance=40,
    tol_distance=8,
    scale_factor=16,
    post_processing=AcmePostProcessorParameters(0),
    sweep={"threshold": [0.0], "peak": [0.3, 0.6]},
)

test_conformance = conformance([AcmePostProcessorParameters, TASK])


def test_objects_without_a_peak_are_left_out():
    prediction = np.full((1, 3, 4, 9), -1, np.float32)
    prediction[0, 1, 1:3, 1:4], prediction[0, 1, 1:3, 5:8] = 0.2, 0.1
    prediction[0, 1, 1, 2], prediction[0, 1, 1, 6] = 0.9, 0.5
    task = build(TASK)
    task.post_processor.set_prediction(NumpyArray(prediction, (8, 8, 8), (0, 0, 0)))
    low, high = (task.post_processor.process(one).data for one in task.parameters)
    assert np.array_equal(low, prediction > 0)
    assert high.sum() == 6
    assert high[0, 1, 1:3, 1:4].all()
