"""Evaluators: channels by their names, masks, and a memory of the best that no gap disturbs."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scored import binary_scores

from dacapo import documents
from dacapo.errors import InvalidArray, InvalidLabels, InvalidRequest, OutsideData
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks.evaluators import (
    BinarySegmentationEvaluationScores,
    BinarySegmentationEvaluator,
    DummyEvaluationScores,
    DummyEvaluator,
    EvaluationScores,
    MultiChannelBinarySegmentationEvaluationScores,
    OneHotEvaluator,
)
from dacapo.experiments.tasks.post_processors import ThresholdPostProcessorParameters
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores

VOXEL = (8, 4, 4)
NAMES = [
    "dice",
    "jaccard",
    "hausdorff",
    "false_negative_rate",
    "false_negative_rate_with_tolerance",
    "false_positive_rate",
    "false_discovery_rate",
    "false_positive_rate_with_tolerance",
    "voi",
    "mean_false_distance",
    "mean_false_negative_distance",
    "mean_false_positive_distance",
    "mean_false_distance_clipped",
    "mean_false_negative_distance_clipped",
    "mean_false_positive_distance_clipped",
    "precision_with_tolerance",
    "recall_with_tolerance",
    "f1_score_with_tolerance",
    "precision",
    "recall",
    "f1_score",
]


def array(data: np.ndarray, offset: tuple[int, ...] = (0, 0, 0), name: str = "array") -> NumpyArray:
    return NumpyArray(data, VOXEL, offset, name=name)


def volume(seed: int, *channels: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((*channels, 6, 7, 8)) < 0.3).astype(np.uint8)


def test_criteria_stand_in_their_order_and_know_their_direction() -> None:
    scores = BinarySegmentationEvaluationScores
    assert scores.criteria == scores().criteria == NAMES
    assert NAMES[20] == "f1_score"
    high = {"dice", "jaccard", "precision", "recall", "f1_score"}
    high |= {f"{name}_with_tolerance" for name in ("precision", "recall", "f1_score")}
    assert {name for name in NAMES if scores.higher_is_better(name)} == high
    assert {name for name in NAMES if scores.store_best(name)} == {"voi", "f1_score"}
    for name in NAMES:
        low, top = scores.bounds(name)
        distance = name == "hausdorff" or "distance" in name
        assert (low, top) == (0, math.inf if distance else 2 if name == "voi" else 1)
    assert all(math.isnan(getattr(scores(), name)) for name in NAMES)


def test_an_unknown_criterion_is_named_with_the_nearest() -> None:
    evaluator = BinarySegmentationEvaluator(10, 2, ["mito"])
    with pytest.raises(InvalidRequest, match="no criterion 'dize'; did you mean dice?"):
        evaluator.bounds("mito__dize")
    with pytest.raises(InvalidRequest, match="no criterion 'xyz'; choose from dice, jaccard"):
        BinarySegmentationEvaluationScores.store_best("xyz")


def test_channels_are_called_by_their_names() -> None:
    truth, test = volume(0, 2), volume(1, 2)
    evaluator = BinarySegmentationEvaluator(20, 5, ["mito", "my__er"])
    scores = evaluator.evaluate(array(test), array(truth))
    assert evaluator.criteria == scores.criteria == [f"{c}__{n}" for c in ("mito", "my__er") for n in NAMES]
    for i, channel in enumerate(evaluator.channels):
        single = binary_scores(truth[i] > 0, test[i] > 0, VOXEL, 20, 5)
        for name in NAMES:
            assert getattr(scores, f"{channel}__{name}") == getattr(single, name)
    assert evaluator.higher_is_better("my__er__dice")
    assert not evaluator.higher_is_better("mito__voi")
    assert evaluator.store_best("mito__f1_score")
    assert evaluator.bounds("mito__voi") == (0, 2)
    for wrong in ("other__dice", "mito__size", "dice", "__dice"):
        assert not hasattr(scores, wrong)


def test_single_volumes_need_no_channels() -> None:
    truth, test = volume(0), volume(1)
    evaluator = BinarySegmentationEvaluator(20, 5)
    scores = evaluator.evaluate(array(test), array(truth[np.newaxis]))
    assert scores == binary_scores(truth > 0, test > 0, VOXEL, 20, 5)
    assert evaluator.criteria == NAMES


def test_evaluation_covers_the_output_within_a_larger_truth() -> None:
    truth, test = volume(0, 1), volume(9, 1)[:, 1:5, 2:6, 3:7]
    evaluator = BinarySegmentationEvaluator(20, 5)
    found = evaluator.evaluate(array(test, (8, 8, 12)), array(truth))
    cut = np.ascontiguousarray(truth[0, 1:5, 2:6, 3:7])
    assert found == binary_scores(cut > 0, test[0] > 0, VOXEL, 20, 5)


def test_what_lies_beyond_the_mask_does_not_count() -> None:
    truth, test, mask = volume(0), volume(1), volume(2)[:, :, :4]
    evaluator = BinarySegmentationEvaluator(20, 5)
    found = evaluator.evaluate(array(test), array(truth), array(mask))
    padded = np.pad(mask, ((0, 0), (0, 0), (0, 4))) > 0
    assert found == binary_scores(truth > 0, test > 0, VOXEL, 20, 5, padded)


def test_truth_and_output_must_lie_on_one_grid() -> None:
    evaluator = BinarySegmentationEvaluator(20, 5)
    with pytest.raises(InvalidArray, match=r"segmentation with voxel size .* cannot be compared with gt"):
        evaluator.evaluate(NumpyArray(volume(0), (4, 4, 4), name="segmentation"), array(volume(0), name="gt"))
    with pytest.raises(InvalidArray, match="predict on the grid of the ground truth"):
        evaluator.evaluate(array(volume(0), (8, 0, 0)), array(volume(0)))
    with pytest.raises(InvalidArray, match="2 channel"):
        evaluator.evaluate(array(volume(0, 2)), array(volume(0, 2)))


def test_truth_of_other_labels_is_refused_unless_masked_out() -> None:
    truth = volume(0)
    truth[0, 0, 0] = 5
    evaluator = BinarySegmentationEvaluator(20, 5, ["mito"])
    with pytest.raises(InvalidLabels, match=r"channel 'mito' of gt has the labels 5"):
        evaluator.evaluate(array(volume(1)), array(truth, name="gt"))
    evaluator.evaluate(array(volume(1)), array(truth), array((truth < 2).astype(np.uint8)))


def test_one_hot_scores_each_class_against_all_others() -> None:
    rng = np.random.default_rng(0)
    truth, test = rng.integers(0, 3, (2, 6, 7, 8)).astype(np.uint8)
    mask = rng.random(truth.shape) < 0.7
    evaluator = OneHotEvaluator(["background", "mito", "er"], 20, 5)
    scores = evaluator.evaluate(array(test), array(truth[np.newaxis]), array(mask))
    assert evaluator.criteria[23] == "mito__dice"
    for label, name in enumerate(evaluator.channels):
        single = binary_scores(truth == label, test == label, VOXEL, 20, 5, mask)
        assert [getattr(scores, f"{name}__{c}") for c in NAMES] == [getattr(single, c) for c in NAMES]
    truth[0, 0, 0] = 3
    with pytest.raises(InvalidLabels, match="labels 3, but only 0 to 2"):
        evaluator.evaluate(array(test), array(truth))


def test_dummy_says_the_same_twice() -> None:
    evaluator, truth, test = DummyEvaluator(), array(volume(0)), array(volume(1))
    first, second = (evaluator.evaluate(test, truth) for _ in range(2))
    assert first == second
    assert first.frizz_level == pytest.approx(test.data.mean())
    assert first.blipp_score == pytest.approx((test.data != truth.data).mean())
    assert evaluator.criteria == ["frizz_level", "blipp_score"]
    assert evaluator.higher_is_better("frizz_level")
    assert not evaluator.higher_is_better("blipp_score")
    assert evaluator.bounds("blipp_score") == (0, 1)
    assert evaluator.store_best("frizz_level")


ALL_SCORES = [
    BinarySegmentationEvaluationScores(dice=0.5),
    DummyEvaluationScores(frizz_level=1, blipp_score=0),
    MultiChannelBinarySegmentationEvaluationScores(
        channel_scores=[
            ("mito", BinarySegmentationEvaluationScores(voi=0.25)),
            ("er", BinarySegmentationEvaluationScores()),
        ]
    ),
]


@pytest.mark.parametrize("scores", ALL_SCORES, ids=lambda one: type(one).__name__)
def test_scores_survive_storing(scores: EvaluationScores) -> None:
    again = documents.read(documents.from_json(documents.to_json(documents.write(scores))), EvaluationScores)
    assert type(again) is type(scores)
    assert again.criteria == scores.criteria
    for criterion in scores.criteria:
        assert getattr(again, criterion) == pytest.approx(getattr(scores, criterion), nan_ok=True)


LOW, HIGH = (
    ThresholdPostProcessorParameters(0, threshold=0.1),
    ThresholdPostProcessorParameters(1, threshold=0.3),
)


def validated(*rows: tuple[float, float, float, float]) -> ValidationScores:
    """Return scores whose iterations have (frizz, blipp) with the first parameters, then the second."""
    scores = ValidationScores([LOW, HIGH], ["crop"], DummyEvaluationScores())
    for i, (a, b, c, d) in enumerate(rows):
        scores.add_iteration_scores(ValidationIterationScores(i * 100, [[[a, b], [c, d]]]))
    return scores


def test_the_best_is_remembered_in_each_criterions_own_direction() -> None:
    evaluator = DummyEvaluator()
    evaluator.set_best(validated((0.1, 0.9, 0.5, 0.2), (0.7, 0.4, 0.2, 0.3)))
    best = evaluator.best_scores
    assert (best["crop", LOW, "frizz_level"].iteration, best["crop", LOW, "frizz_level"].value) == (100, 0.7)
    assert (best["crop", HIGH, "blipp_score"].iteration, best["crop", HIGH, "blipp_score"].value) == (0, 0.2)
    assert evaluator.get_overall_best("crop", "frizz_level") == 0.7
    assert evaluator.get_overall_best_parameters("crop", "frizz_level") == LOW
    assert evaluator.get_overall_best("crop", "blipp_score") == 0.2
    assert evaluator.get_overall_best_parameters(SimpleNamespace(name="crop"), "blipp_score") == HIGH


def test_a_missing_score_does_not_make_the_best_forgotten() -> None:
    evaluator, nan = DummyEvaluator(), math.nan
    evaluator.set_best(validated((0.6, nan, nan, nan), (nan, nan, 0.5, nan)))
    assert evaluator.get_overall_best("crop", "frizz_level") == 0.6
    assert evaluator.get_overall_best("crop", "blipp_score") is None
    assert evaluator.get_overall_best_parameters("crop", "blipp_score") is None
    assert evaluator.is_best(
        "crop", LOW, "blipp_score", DummyEvaluationScores(frizz_level=0, blipp_score=0.9)
    )
    assert not evaluator.is_best("crop", LOW, "frizz_level", DummyEvaluationScores(frizz_level=0.6))
    assert evaluator.is_best("crop", LOW, "frizz_level", DummyEvaluationScores(frizz_level=0.61))
    assert not evaluator.is_best("crop", LOW, "frizz_level", DummyEvaluationScores())


def test_comparing() -> None:
    evaluator = DummyEvaluator()
    assert evaluator.compare(0.2, 0.1, "frizz_level")
    assert not evaluator.compare(0.1, 0.1, "frizz_level")
    assert evaluator.compare(0.1, 0.2, "blipp_score")
    assert evaluator.compare(0.1, math.nan, "blipp_score")
    assert evaluator.compare(0.1, None, "blipp_score")
    assert not evaluator.compare(math.nan, None, "blipp_score")


def test_an_output_beyond_the_dummy_s_truth_is_cut() -> None:
    truth = array(volume(0)[:3])
    assert DummyEvaluator().evaluate(array(volume(0)), truth).blipp_score == 0
    with pytest.raises(OutsideData):
        truth[array(volume(0)).roi]
