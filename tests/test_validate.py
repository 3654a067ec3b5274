"""Validation tries every parameter set, scores it, and remembers the best."""

from __future__ import annotations

import numpy as np
import pytest

import dacapo
from dacapo.config import build
from dacapo.errors import InvalidArray, InvalidLabels, InvalidRequest, NotFound
from dacapo.experiments.datasplits import TrainValidateDataSplitConfig
from dacapo.experiments.datasplits.datasets.arrays import NumpyArrayConfig, ResampledArrayConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import open_zarr
from dacapo.experiments.run import Run
from dacapo.store.create_store import (
    create_array_store,
    create_config_store,
    create_stats_store,
    create_weights_store,
)
from dacapo.testing.tiny import tiny_dataset as dataset
from dacapo.testing.tiny import tiny_run
from dacapo.validate import validate_run


def test_scores_are_stored_with_their_labels(trained):
    scores = create_stats_store().retrieve_validation_iteration_scores("tiny")
    assert [s.iteration for s in scores] == [4, 8]
    labels = scores[0].labels
    assert labels.datasets == ("validate",)
    assert "ball__dice" in [c.name for c in labels.criteria]
    assert len(labels.parameters) == len(Run(trained).task.parameters) > 1


def test_the_best_checkpoint_and_parameters_are_recorded(trained):
    scores = Run.get_validation_scores(trained)
    scores.scores = create_stats_store().retrieve_validation_iteration_scores("tiny")
    best = scores.best("validate", "ball__f1_score")
    weights = create_weights_store()
    record = next(
        r for r in weights.best("tiny") if (r.dataset, r.criterion) == ("validate", "ball__f1_score")
    )
    assert (record.iteration, record.value) == (best.iteration, best.value)
    assert weights.retrieve_best("tiny", "validate", "ball__f1_score") == best.iteration


def test_the_stored_scores_are_those_of_the_stored_segmentation(trained):
    run = Run(trained)
    arrays, scores = (
        create_array_store(),
        create_stats_store().retrieve_validation_iteration_scores("tiny")[-1],
    )
    data = run.datasplit.validate[0]
    for index, parameters in enumerate(run.task.parameters):
        where = arrays.validation_output_array("tiny", 8, parameters, data)
        segmentation = open_zarr(where.container, where.dataset)
        again = run.task.evaluator.evaluate(segmentation, data.gt, data.mask)
        criterion = scores.labels.criteria[0].name
        np.testing.assert_equal(float(getattr(again, criterion)), scores.scores[0][index][0])


def test_validating_an_earlier_checkpoint_again_replaces_its_scores(trained):
    before = create_stats_store().retrieve_validation_iteration_scores("tiny")
    again = dacapo.validate("tiny", 4, device="cpu")
    after = create_stats_store().retrieve_validation_iteration_scores("tiny")
    assert [s.iteration for s in after] == [4, 8]
    np.testing.assert_equal(again.scores, before[0].scores)


def test_an_untrained_run_can_be_validated_at_iteration_0(tmp_path):
    config = tiny_run(tmp_path / "data", name="fresh")
    create_config_store().store_run_config(config)
    assert dacapo.validate("fresh", 0, device="cpu").iteration == 0


def test_unknown_runs_and_checkpoints_are_not_found(trained):
    with pytest.raises(NotFound, match="nobody"):
        dacapo.validate("nobody", 1)
    with pytest.raises(NotFound, match="5"):
        dacapo.validate("tiny", 5)


def test_without_validation_data_there_is_nothing_to_do(trained):
    config = trained.replace(datasplit_config=trained.datasplit_config.replace(validate_configs=[]))
    with pytest.raises(InvalidRequest, match="has no validation datasets"):
        validate_run(Run(config), 0)


def test_other_datasets_can_be_given(trained, tmp_path):
    other = TrainValidateDataSplitConfig(
        "other", train_configs=[], validate_configs=[dataset("train", tmp_path / "data" / "train.zarr")]
    )
    scores = dacapo.validate("tiny", 8, other, device="cpu")
    assert np.shape(scores.scores)[0] == 1
    stored = create_stats_store().retrieve_validation_iteration_scores("tiny")
    assert stored[0].labels.datasets == ("validate",)


def test_ground_truth_of_another_voxel_size_is_refused(trained):
    crop = trained.datasplit_config.validate_configs[0]
    coarse = ResampledArrayConfig(
        "coarse",
        source_array_config=crop.gt_config,
        upsample=(1, 1, 1),
        downsample=(2, 2, 2),
        interp_order=False,
    )
    split = trained.datasplit_config.replace(validate_configs=[crop.replace(gt_config=coarse)])
    with pytest.raises(InvalidArray, match="bring it there with a ResampledArrayConfig"):
        validate_run(Run(trained.replace(datasplit_config=split)), 0, device="cpu")


def test_labels_that_the_task_does_not_know_are_named_with_their_dataset(trained, tmp_path):
    strange = NumpyArrayConfig("seven", file_name=tmp_path / "gt.npy", voxel_size=(8, 8, 8))
    crop = trained.datasplit_config.validate_configs[0]
    np.save(strange.file_name, 7 * build(crop).gt.data[0])
    split = trained.datasplit_config.replace(validate_configs=[crop.replace(gt_config=strange)])
    named = "validation dataset 'validate': channel 'ball' of .* has the labels 7, .*BinarizeArrayConfig"
    with pytest.raises(InvalidLabels, match=named):
        validate_run(Run(trained.replace(datasplit_config=split)), 0, device="cpu")


def test_arrays_of_earlier_validations_that_are_best_of_nothing_are_removed(trained):
    best = {record.iteration for record in create_weights_store().best("tiny")}
    container = create_array_store().validation_container("tiny").container
    kept = {int(path.name) for path in container.iterdir() if path.name.isdigit()}
    assert kept == best | {8}
