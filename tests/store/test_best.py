"""Which checkpoint is best: a few criteria are recorded, all others follow from the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dacapo.config import build
from dacapo.errors import InvalidRequest, NotFound
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_labels import ScoreLabels
from dacapo.experiments.starts import StartConfig
from dacapo.experiments.tasks import OneHotTaskConfig
from dacapo.experiments.tasks.post_processors import ThresholdPostProcessorParameters
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.create_store import create_weights_store
from dacapo.store.files import FileBackend
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore

CLASSES = [f"c{number}" for number in range(8)]
TASK = build(OneHotTaskConfig("t", classes=CLASSES, clip_distance=40, tol_distance=8))
SETS = [ThresholdPostProcessorParameters(i, threshold=i / 10) for i in range(2)]
LABELS = ScoreLabels.of(["x", "y"], SETS, TASK.evaluation_scores)
ITERATIONS = (10, 20, 30)


def scores_of(seed: int) -> ValidationScores:
    """Return scores that all differ."""
    rng = np.random.default_rng(seed)
    rows = (ValidationIterationScores(one, rng.random(LABELS.shape).tolist(), LABELS) for one in ITERATIONS)
    return ValidationScores.labelled(LABELS, rows)


@pytest.fixture
def scored(tmp_path: Path) -> tuple[WeightsStore, ValidationScores]:
    """Keep checkpoints of three iterations, and elsewhere their scores."""
    scores, stats = scores_of(0), FileBackend(tmp_path / "stats")
    StatsStore(stats).store_validation_iteration_scores("run", scores)
    weights = WeightsStore(FileBackend(tmp_path / "weights"), stats)
    for iteration in ITERATIONS:
        weights.store_weights("run", iteration, Weights({"x": np.ones(2)}))
    return weights, scores


def test_what_ranks_checkpoints_is_recorded_and_nothing_else(scored) -> None:
    weights, scores = scored
    assert len(scores.criteria) == 8 * 21 + 2 + 64
    assert weights.record_best("run", scores) == 2 * (8 * 2 + 2)
    records = weights.best("run")
    assert {one.criterion for one in records} == {
        "mean_dice", "mean_iou", *(f"{name}__{score}" for name in CLASSES for score in ("voi", "f1_score"))
    }  # fmt: skip
    for one in records:
        best = scores.best(one.dataset, one.criterion)
        assert (one.iteration, one.value, one.parameters) == (best.iteration, best.value, best.parameters)


@pytest.mark.parametrize("criterion", ["c1__precision", "c2__voi", "c0__as_c1", "c3__as_c3"])
@pytest.mark.parametrize("dataset", ["x", "y"])
def test_any_score_names_the_best_of_the_checkpoints_that_are_kept(scored, dataset, criterion) -> None:
    weights, scores = scored
    weights.record_best("run", scores)
    best = scores.best(dataset, criterion).iteration
    assert weights.retrieve_best("run", dataset, criterion) == best
    for words in (f"best {dataset}/{criterion}", f"{dataset}/{criterion}"):
        assert weights.iteration_by("run", words) == best
    weights.remove("run", best)
    left = scores.best(dataset, criterion, among=set(ITERATIONS) - {best}).iteration
    assert left != best
    assert weights.retrieve_best("run", dataset, criterion) == left
    assert weights.iteration_by("run", f"best {dataset}/{criterion}") == left


def test_the_best_is_that_by_the_first_criterion_that_ranks(scored) -> None:
    weights, scores = scored
    assert weights.iteration_by("run", "best") == scores.best("x", "mean_dice").iteration
    blank = scores_of(1)
    blank._arrays[10][...] = blank._arrays[20][...] = blank._arrays[30][...] = np.nan
    blank._arrays[20][1, :, blank.criteria.index("mean_iou")] = 0.5
    other = WeightsStore(FileBackend(weights.backend.root / "other"))
    StatsStore(other.backend).store_validation_iteration_scores("run", blank)
    other.store_weights("run", 20, Weights({"x": np.ones(2)}))
    assert other.iteration_by("run", "best") == 20


def test_a_criterion_alone_has_to_mean_one_checkpoint(scored) -> None:
    weights, scores = scored
    bests = {name: {scores.best(d, name).iteration for d in ("x", "y")} for name in scores.criteria}
    alike = next(name for name in bests if len(bests[name]) == 1)
    apart = next(name for name in bests if len(bests[name]) == 2)
    assert {weights.iteration_by("run", alike)} == bests[alike]
    with pytest.raises(InvalidRequest, match=f"several best checkpoints by '{apart}'"):
        weights.iteration_by("run", apart)


def test_what_is_no_score_is_refused_with_what_there_is(scored) -> None:
    weights, scores = scored
    weights.record_best("run", scores)
    said = r"choose an iteration \(10, 20, 30\), latest, or a score that ranks them; recorded are: x/c0__f1"
    with pytest.raises(NotFound, match=said):
        weights.iteration_by("run", "best x/precison")
    with pytest.raises(NotFound, match="no best checkpoint by x/precison; recorded are: x/c0__f1_score, "):
        weights.retrieve_best("run", "x", "precison")


def test_what_somebody_recorded_is_kept_up(scored) -> None:
    weights, scores = scored
    weights.store_best("run", 10, "x", "c0__dice")
    assert weights.retrieve_best("run", "x", "c0__dice") == 10
    weights.record_best("run", scores)
    best = scores.best("x", "c0__dice")
    assert best.iteration != 10
    assert weights.retrieve_best("run", "x", "c0__dice") == best.iteration
    assert len(weights.best("run")) == 2 * 18 + 1


def test_a_run_begins_with_the_best_by_a_score_that_is_not_recorded(trained: RunConfig) -> None:
    weights = create_weights_store()
    (dice,) = (one for one in weights.best_by_scores("tiny") if one.criterion == "ball__dice")
    assert "ball__dice" not in {one.criterion for one in weights.best("tiny")}
    start = StartConfig("tiny", "best validate/ball__dice")
    begun = Run(trained.replace(name="second", start_config=start)).model.state_dict()
    for name, tensor in weights.retrieve_weights("tiny", dice.iteration).model.items():
        assert begun[name].equal(tensor)
