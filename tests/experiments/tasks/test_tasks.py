"""Tasks as a whole: what a config makes, and that making it leaves the config alone."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from dacapo import documents
from dacapo.config import build
from dacapo.errors import InvalidConfig
from dacapo.experiments.architectures import DummyArchitectureConfig
from dacapo.experiments.datasplits.datasets.arrays.array import NumpyArray
from dacapo.experiments.tasks import (
    CrossEntropyDiceLossConfig,
    CrossEntropyLossConfig,
    DiceLossConfig,
    DistanceTaskConfig,
    DummyTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    MSELossConfig,
    OneHotTaskConfig,
    Task,
    TaskConfig,
)
from dacapo.experiments.tasks.losses import CrossEntropyLoss, DummyLoss, HotDistanceLoss, MSELoss

DISTANCE: dict[str, Any] = {
    "channels": ["mito", "er"],
    "clip_distance": 50,
    "tol_distance": 10,
    "scale_factor": 20,
}
CONFIGS = [
    DistanceTaskConfig("distance", **DISTANCE),
    OneHotTaskConfig("classes", classes=["background", "mito", "er"], kernel_size=3),
    DummyTaskConfig("dummy", embedding_dims=2, detection_threshold=0.1),
    HotDistanceTaskConfig("hot", **DISTANCE, kernel_size=3),
    InnerDistanceTaskConfig("inner", **DISTANCE),
]
ARCHITECTURE = DummyArchitectureConfig("backbone", num_in_channels=1, num_out_channels=4)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda one: one.name)
def test_making_a_task_leaves_its_config_alone(config: TaskConfig) -> None:
    before, document = copy.deepcopy(config), documents.write(config)
    task = build(config)
    task.channels.append("another")
    task.create_model(build(ARCHITECTURE))
    assert isinstance(task, Task)
    assert config == before
    assert documents.write(config) == document
    assert documents.read(document, TaskConfig) == config


@pytest.mark.parametrize(
    ("config", "channels", "loss", "criterion"),
    [
        (CONFIGS[0], ["mito", "er"], MSELoss, "er__voi"),
        (CONFIGS[1], ["background", "mito", "er"], CrossEntropyLoss, "mito__dice"),
        (CONFIGS[2], ["e0", "e1"], DummyLoss, "frizz_level"),
        (CONFIGS[3], ["mito", "er", "mito__distance", "er__distance"], HotDistanceLoss, "er__voi"),
        (CONFIGS[4], ["mito", "er"], MSELoss, "er__f1_score"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_task_has_its_parts(config: TaskConfig, channels: list[str], loss: type, criterion: str) -> None:
    task = build(config)
    assert task.channels == channels
    assert type(task.loss) is loss
    assert criterion in task.evaluation_scores.criteria
    assert task.evaluator.criteria == task.evaluation_scores.criteria
    assert task.parameters == tuple(task.post_processor.enumerate_parameters())
    assert len({str(one) for one in task.parameters}) == len(task.parameters)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda one: one.name)
def test_a_model_gives_out_the_channels_of_its_task(config: TaskConfig) -> None:
    task = build(config)
    model = task.create_model(build(ARCHITECTURE)).eval()
    with torch.no_grad():
        prediction = model(torch.randn(1, 1, 12, 12, 12))
    assert prediction.shape[1] == len(task.channels) == model.num_out_channels


def test_one_hot_predicts_logits_in_training_and_probabilities_after() -> None:
    model = build(CONFIGS[1]).create_model(build(ARCHITECTURE))
    image = torch.randn(1, 1, 8, 8, 8)
    logits = model.train()(image)
    probabilities = model.eval()(image)
    torch.testing.assert_close(probabilities, logits.softmax(dim=1))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones_like(probabilities[:, 0]))


def truth(config: TaskConfig, size: int = 20) -> NumpyArray:
    grid = np.mgrid[:size, :size, :size]
    balls = [((grid - centre) ** 2).sum(axis=0) < 25 for centre in (6, 13)]
    if isinstance(config, OneHotTaskConfig):
        return NumpyArray((balls[0] + 2 * (balls[1] & ~balls[0])).astype(np.uint8), (8, 8, 8))
    return NumpyArray(np.stack(balls).astype(np.uint8), (8, 8, 8))


@pytest.mark.parametrize("config", [*CONFIGS[:2], *CONFIGS[3:]], ids=lambda one: one.name)
def test_a_perfect_prediction_has_no_loss_and_perfect_scores(config: TaskConfig) -> None:
    """The whole chain: the target, taken for a prediction, must lead back to the ground truth."""
    task, gt = build(config), truth(config)
    target = task.predictor.create_target(gt)
    weight, _ = task.predictor.create_weight(gt, target)
    logits = np.array(target.data)
    if isinstance(config, OneHotTaskConfig):
        logits *= 100
    elif isinstance(config, HotDistanceTaskConfig):
        logits[:2] = 200 * logits[:2] - 100
    tensors = [torch.from_numpy(np.array(one))[None] for one in (logits, target.data, weight.data)]
    assert task.loss.compute(*tensors).item() == pytest.approx(0, abs=1e-6)
    task.post_processor.set_prediction(target)
    rows = [task.evaluator.evaluate(task.post_processor.process(one), gt) for one in task.parameters]
    channel = "er"
    scores = {str(one): row for one, row in zip(task.parameters, rows, strict=True)}
    usual = {"classes": "argmax", "inner": "threshold_0.02"}
    best = scores[usual.get(config.name, "threshold_0.0")]
    assert getattr(best, f"{channel}__dice") == 1
    assert getattr(best, f"{channel}__voi") == 0
    assert not any(math.isnan(getattr(row, f"{channel}__dice")) for row in rows)
    if config.name in ("distance", "inner"):  # where thresholds cut the truth differently
        assert len({getattr(row, f"{channel}__dice") for row in rows}) > 1


def test_thresholds_come_from_the_config() -> None:
    task = build(DistanceTaskConfig("distance", **DISTANCE, thresholds=[0.0, 0.2]))
    assert [str(one) for one in task.parameters] == ["threshold_0.0", "threshold_0.2"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channels": []}, "channels = .*at least 1 class"),
        ({"channels": ["a", "a"]}, "each once"),
        ({"channels": [""]}, "channels"),
        ({"scale_factor": 0}, "scale_factor = 0.0: should be above 0"),
        ({"clip_distance": -1}, "clip_distance = -1.0: should be above 0"),
        ({"tol_distance": -1}, "tol_distance = -1.0: should be 0 or more"),
        ({"clipmin": 0}, r"clipmin = 0.0: should be above 0 and at most clipmax \(0.95\)"),
        ({"clipmin": 0.5, "clipmax": 0.4}, "clipmin"),
        ({"clipmax": 1}, "clipmin"),
        ({"thresholds": []}, "thresholds = .*at least one"),
        ({"thresholds": [0.1, 0.1]}, "each once"),
        ({"thresholds": [127]}, "should lie between -1 and 1"),
    ],
)
@pytest.mark.parametrize("kind", [DistanceTaskConfig, HotDistanceTaskConfig])
def test_distance_configs_that_make_no_sense_are_refused(
    kind: type, change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        kind("distance", **{**DISTANCE, **change})


def test_an_inner_distance_is_cut_above_0() -> None:
    with pytest.raises(InvalidConfig, match="should lie between 0 and 1"):
        InnerDistanceTaskConfig("inner", **DISTANCE, thresholds=[-0.1])
    with pytest.raises(InvalidConfig, match="odd number of voxels"):
        HotDistanceTaskConfig("hot", **DISTANCE, kernel_size=2)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"classes": ["one"]}, "at least 2 class"),
        ({"classes": ["a", "a"]}, "each once"),
        ({"kernel_size": 2}, "odd number of voxels"),
        ({"kernel_size": -1}, "odd number of voxels"),
        ({"clip_distance": 0}, "clip_distance"),
        ({"tol_distance": -1}, "tol_distance"),
        ({"clipmin": -0.1}, "clipmin"),
    ],
)
def test_one_hot_configs_that_make_no_sense_are_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        OneHotTaskConfig("classes", **{"classes": ["a", "b"], **change})


def test_a_dummy_has_at_least_one_channel() -> None:
    with pytest.raises(InvalidConfig, match="embedding_dims = 0: should be 1 or more"):
        DummyTaskConfig("dummy", embedding_dims=0, detection_threshold=0)


def test_names_parameters_and_scores_are_light() -> None:
    """Reading stored configs, parameter sets and scores must not cost an ``import torch``."""
    code = (
        "import sys, dacapo.experiments.tasks, dacapo.experiments.tasks.evaluators, "
        "dacapo.experiments.tasks.post_processors as p\n"
        "heavy = {'torch', 'zarr', 'tensorstore', 'scipy', 'numba', 'edt', 'pymongo'} & sys.modules.keys()\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_loss_of_a_task_can_be_chosen() -> None:
    config = OneHotTaskConfig("classes", classes=["background", "mito"], loss_config=MSELossConfig())
    again = documents.read(documents.write(config), TaskConfig)
    assert again == config and isinstance(build(again).loss, MSELoss)
    with pytest.raises(InvalidConfig, match="loss_config = 'mse': should be a LossConfig"):
        OneHotTaskConfig("classes", classes=["background", "mito"], loss_config="mse")


def test_documents_without_a_loss_have_the_usual_one() -> None:
    document = documents.write(DistanceTaskConfig("distance", **DISTANCE))
    del document["loss_config"]
    assert documents.read(document, TaskConfig) == DistanceTaskConfig("distance", **DISTANCE)


def classes(**rest: Any) -> OneHotTaskConfig:
    return OneHotTaskConfig("classes", classes=["background", "mito", "er"], **rest)


@pytest.mark.parametrize("loss", [CrossEntropyLossConfig(), DiceLossConfig(), CrossEntropyDiceLossConfig()])
@pytest.mark.parametrize("weights", [None, {"mito": 3.0}])
def test_what_is_ignored_is_neither_learned_nor_scored(loss: Any, weights: Any) -> None:
    task = build(classes(loss_config=loss, class_weights=weights, ignore_label=9))
    labels = np.random.default_rng(0).integers(0, 3, (6, 7, 8)).astype(np.uint8)
    labels[:, 2:4] = 9
    gt = NumpyArray(labels, (8, 8, 8))
    target = task.predictor.create_target(gt)
    weight, _ = task.predictor.create_weight(gt, target)
    logits = torch.randn(1, 3, 6, 7, 8).requires_grad_()
    given = [torch.from_numpy(np.array(one.data))[None] for one in (target, weight)]
    (gradient,) = torch.autograd.grad(task.loss.compute(logits, *given), logits)
    assert not gradient[:, :, :, 2:4].any() and gradient[:, :, :, 4:].all()
    found = np.where(labels == 9, 0, labels).astype(np.uint8)
    scores = task.evaluator.evaluate(NumpyArray(found, (8, 8, 8)), gt)
    assert scores.mean_iou == scores.background__precision == 1
    assert np.sum(scores.confusion) == (labels != 9).sum()


def test_class_weights_are_those_of_torch() -> None:
    by_name, in_order = classes(class_weights={"er": 4, "mito": 0.5}), classes(class_weights=[1, 0.5, 4])
    labels = np.random.default_rng(1).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    logits, gt = torch.randn(1, 3, 4, 5, 6), NumpyArray(labels, (8, 8, 8))
    expected = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(labels).long()[None], weight=torch.tensor([1, 0.5, 4])
    )
    for config in (by_name, in_order):
        assert (
            documents.read(documents.from_json(documents.to_json(documents.write(config))), TaskConfig)
            == config
        )
        task = build(config)
        target = task.predictor.create_target(gt)
        weight, _ = task.predictor.create_weight(gt, target)
        given = [torch.from_numpy(np.array(one.data))[None] for one in (target, weight)]
        assert task.loss.compute(logits, *given).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    "weights", [[1.0, 2.0], {"other": 1.0}, [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, math.inf, 1.0]]
)
def test_class_weights_that_do_not_fit_are_refused(weights: Any) -> None:
    with pytest.raises(InvalidConfig, match="'classes': class_weights = .*: should be"):
        classes(class_weights=weights)


def test_documents_of_older_versions_are_one_hot_tasks() -> None:
    document = {"__type__": "OneHotTaskConfig", "name": "old", "classes": ["a", "b"], "kernel_size": None}
    config = documents.read(document, TaskConfig)
    assert config == OneHotTaskConfig("old", classes=["a", "b"]) and build(config).channels == ["a", "b"]


@pytest.mark.parametrize(
    ("config", "mask_distances", "lowest"),
    [(DistanceTaskConfig, True, -1), (HotDistanceTaskConfig, False, -1), (InnerDistanceTaskConfig, True, 0)],
)
def test_tasks_of_distances_share_their_fields_and_keep_their_defaults(
    config: Any, mask_distances: bool, lowest: float
) -> None:
    made = config("name", channels=["a"], clip_distance=1, tol_distance=1)
    assert (made.scale_factor, made.mask_distances, made.clipmin, made.clipmax) == (
        1, mask_distances, 0.05, 0.95,
    )  # fmt: skip
    assert made.replace(thresholds=[lowest]).thresholds == [lowest]
    with pytest.raises(InvalidConfig, match=f"thresholds = .*: should lie between {lowest} and 1"):
        made.replace(thresholds=[lowest - 0.1])
