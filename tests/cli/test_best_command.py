"""``dacapo best --confusion``: which classes the best checkpoint takes for which."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dacapo.config import build
from dacapo.experiments.datasplits.datasets.arrays import NumpyArray
from dacapo.experiments.score_labels import ScoreLabels
from dacapo.experiments.tasks import OneHotTaskConfig
from dacapo.experiments.validation_scores import ValidationIterationScores, ValidationScores
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.weights_store import Weights
from dacapo.testing import tiny_run

CLASSES = ["rest", "mito", "er"]
TRUTH = np.random.default_rng(0).integers(0, 3, (6, 7, 8)).astype(np.uint8)


def found(wrong: float) -> np.ndarray:
    """Return the truth with part of its voxels given to the next class."""
    away = np.random.default_rng(1).random(TRUTH.shape) < wrong
    return np.where(away, (TRUTH + 1) % 3, TRUTH).astype(np.uint8)


# What the checkpoints of iterations 1 and 2 find in two volumes; in one the first is better.
FOUND = {1: {"x": found(0.1), "y": found(0.5)}, 2: {"x": found(0.4), "y": found(0.2)}}


def scored(folder: Path, config: OneHotTaskConfig) -> None:
    """Store a run with the scores of two checkpoints."""
    run = tiny_run(folder, task=config)
    create_config_store().store_run_config(run)
    task, weights = build(config), create_weights_store()
    labels = ScoreLabels.of(["x", "y"], task.parameters, task.evaluation_scores)
    scores = ValidationScores.labelled(labels)
    truth = NumpyArray(TRUTH, (8, 8, 8))
    for iteration, volumes in FOUND.items():
        rows = []
        for volume in volumes.values():
            one = task.evaluator.evaluate(NumpyArray(volume, (8, 8, 8)), truth)
            rows.append([[float(getattr(one, name)) for name in scores.criteria]])
        scores.add_iteration_scores(ValidationIterationScores(iteration, rows, labels))
        weights.store_weights(run.name, iteration, Weights({"x": np.ones(2)}))
    create_stats_store().store_validation_iteration_scores(run.name, scores)
    weights.record_best(run.name, scores)


def confusion(volume: np.ndarray) -> list[list[int]]:
    return [[int(((a == TRUTH) & (volume == b)).sum()) for b in range(3)] for a in range(3)]


def test_the_confusion_matrix_is_that_of_the_best_checkpoint(dacapo, tmp_path):
    scored(tmp_path, OneHotTaskConfig("classes", classes=CLASSES, clip_distance=80, tol_distance=8))
    rows = dacapo("best", "tiny", "--confusion", "--json").json
    assert [row["truth"] for row in rows] == CLASSES * 2
    shown = [[row[f"as {name}"] for name in CLASSES] for row in rows]
    assert shown == confusion(FOUND[1]["x"]) + confusion(FOUND[2]["y"])
    assert [row["iteration"] for row in rows] == [1] * 3 + [2] * 3

    # By a score that is not recorded: no checkpoint takes rest for er, and of equals the first counts.
    called = dacapo("best", "tiny", "--confusion", "--criterion", "rest__as_er", "--dataset", "y", "--json")
    assert [[row[f"as {name}"] for name in CLASSES] for row in called.json] == confusion(FOUND[1]["y"])
    table = dacapo("best", "tiny", "--confusion", "--dataset", "x").stdout.splitlines()
    assert " ".join(table[0].split()) == "dataset iteration parameters truth as rest as mito as er"
    assert [list(map(int, line.split()[-3:])) for line in table[2:]] == confusion(FOUND[1]["x"])


def test_who_tells_no_classes_apart_has_no_confusion_matrix(dacapo, trained):
    called = dacapo("best", "tiny", "--confusion")
    assert (called.exit_code, called.stdout) == (3, "")
    assert "run tiny has no confusion matrix: its task does not tell classes" in called.stderr
