"""Predicting any region of any array with a stored run."""

from __future__ import annotations

import numpy as np
import pytest
from funlib.geometry import Roi

import dacapo
from dacapo.errors import DuplicateNameError, InvalidRequest, MissingData, NotFound
from dacapo.experiments.run import Run
from dacapo.predict import parse_roi
from dacapo.store.array_store import LocalArrayIdentifier


def predict(tmp_path, **options):
    options = {
        "iteration": 8,
        "output_path": tmp_path / "out",
        "device": "cpu",
        "output_dtype": "float32",
    } | options
    return dacapo.predict(
        options.pop("run", "tiny"),
        options.pop("iteration"),
        tmp_path / "data" / "validate.zarr",
        "raw",
        **options,
    )


def test_the_whole_input_is_predicted_by_default(trained, tmp_path):
    output = predict(tmp_path)
    assert output.shape == (1, 40, 40, 40)
    assert (tmp_path / "out" / "validate.zarr" / "prediction_tiny_8").exists()
    assert 0 < np.abs(output.data).max() <= 1


def test_a_region_equals_that_part_of_the_whole(trained, tmp_path):
    roi = Roi((64, 64, 64), (128, 64, 96))
    part = predict(tmp_path, output_roi="[64:192,64:128,64:160]", output_path=tmp_path / "part.zarr")
    assert part.roi == roi
    assert part.shape == (1, 16, 8, 12)


def test_integers_scale_the_range_of_the_prediction(trained, tmp_path):
    real = predict(tmp_path, precision="fp32").data
    whole = predict(tmp_path, output_dtype="uint8", output_path=tmp_path / "u.zarr", precision="fp32").data
    np.testing.assert_allclose(whole, np.clip((real + 1) / 2 * 255, 0, 255), atol=1)


def test_whole_numbers_are_normalised_as_in_training(trained, tmp_path):
    from dacapo.predict import open_input

    opened = open_input(trained, tmp_path / "data" / "validate.zarr", "raw")
    in_training = Run(trained).datasplit.validate[0].raw
    np.testing.assert_array_equal(opened.data, in_training.data)


def test_a_run_object_is_predicted_with_the_weights_it_holds(trained, tmp_path):
    run = Run(trained)
    untrained = predict(tmp_path, run=run, iteration=None).data
    stored = predict(tmp_path, run=Run(trained), iteration=8, output_path=tmp_path / "o").data
    assert not np.allclose(untrained, stored)
    identifier = LocalArrayIdentifier(tmp_path / "data" / "validate.zarr", "raw")
    target = LocalArrayIdentifier(tmp_path / "mine.zarr", "here")
    dacapo.predict("tiny", "best", identifier, output_path=target, device="cpu")
    assert (tmp_path / "mine.zarr" / "here").exists()


def test_what_exists_is_kept_when_asked_for(trained, tmp_path):
    predict(tmp_path)
    with pytest.raises(DuplicateNameError, match="exists; choose another output, or pass --overwrite"):
        predict(tmp_path, overwrite=False)


def test_wrong_requests_are_named(trained, tmp_path):
    with pytest.raises(NotFound, match="nobody"):
        predict(tmp_path, run="nobody")
    with pytest.raises(NotFound, match="7"):
        predict(tmp_path, iteration=7)
    with pytest.raises(MissingData):
        dacapo.predict("tiny", 8, tmp_path / "gone.zarr", "raw", tmp_path)
    with pytest.raises(InvalidRequest, match="2 axes"):
        predict(tmp_path, output_roi=Roi((0, 0), (8, 8)))
    with pytest.raises(InvalidRequest, match="num_workers"):
        predict(tmp_path, num_workers=0)
    with pytest.raises(InvalidRequest, match="output_path"):
        predict(tmp_path, output_path=None)
    assert not (tmp_path / "out").exists()


def test_regions_are_written_as_existing_scripts_write_them():
    assert parse_roi("[0:800, 0:400,-80:400]") == Roi((0, 0, -80), (800, 400, 480))
    for wrong in ("0:1,", "[a:b]", "[5:5]", "[9:3,0:1]", ""):
        with pytest.raises(InvalidRequest):
            parse_roi(wrong)
