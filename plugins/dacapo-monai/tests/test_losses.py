"""Losses of MONAI on the voxels that count, and nowhere else."""

from __future__ import annotations

import math

import monai.losses
import pytest
import torch
from dacapo_monai import MonaiLossConfig

from dacapo import documents
from dacapo.config import build
from dacapo.errors import InvalidConfig
from dacapo.experiments.tasks import LossConfig, OneHotTaskConfig
from dacapo.testing import conformance

NAMES = ["DiceLoss", "DiceCELoss", "DiceFocalLoss", "FocalLoss", "GeneralizedDiceFocalLoss",
         "GeneralizedDiceLoss", "MCCLoss", "TverskyLoss"]  # fmt: skip

test_conformance = conformance([MonaiLossConfig.example(), *(MonaiLossConfig(loss=name) for name in NAMES)])


def some(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and a one-hot target of three classes."""
    torch.manual_seed(1)
    ids = torch.randint(0, 3, (batch, 6, 7))
    return torch.randn(batch, 3, 6, 7), torch.nn.functional.one_hot(ids, 3).movedim(-1, 1).float()


@pytest.mark.parametrize("name", NAMES)
def test_where_all_counts_it_is_monais_own(name: str) -> None:
    prediction, target = some()
    activation = {"use_softmax": True} if name == "FocalLoss" else {"softmax": True}
    theirs = getattr(monai.losses, name)(**activation)(prediction, target)
    ours = build(MonaiLossConfig(loss=name)).compute(prediction, target, torch.full_like(target, 0.3))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [0.0, math.inf, math.nan])
def test_masked_voxels_count_in_nothing(name: str, bad: float) -> None:
    prediction, target = some()
    weight = torch.ones_like(target)
    weight[:, :, :2] = 0
    loss = build(MonaiLossConfig(loss=name))
    spoiled = prediction.clone()
    spoiled[:, :, :2] = bad
    spoiled.requires_grad_()
    value = loss.compute(spoiled, target, weight)
    value.backward()
    assert spoiled.grad is not None and not spoiled.grad[:, :, :2].any() and spoiled.grad[:, :, 2:].any()
    cut = loss.compute(prediction[:, :, 2:], target[:, :, 2:])
    assert value.item() == pytest.approx(cut.item(), rel=1e-5)


def test_voxels_of_no_class_do_not_count() -> None:
    prediction, target = some()
    loss = build(MonaiLossConfig(loss="DiceCELoss"))
    cut = loss.compute(prediction[:, :, 1:], target[:, :, 1:])
    target[:, :, 0] = 0
    assert loss.compute(prediction, target).item() == pytest.approx(cut.item(), rel=1e-5)


def test_nothing_that_counts_is_a_loss_of_zero_with_a_gradient_of_zero() -> None:
    prediction, target = some()
    prediction.requires_grad_()
    value = build(MonaiLossConfig(loss="DiceLoss")).compute(prediction, target, torch.zeros_like(target))
    value.backward()
    assert value == 0 and prediction.grad is not None and not prediction.grad.any()


def test_a_whole_batch_may_be_one_volume() -> None:
    prediction, target = some()
    ours = build(MonaiLossConfig(loss="DiceLoss", arguments={"batch": True})).compute(prediction, target)
    theirs = monai.losses.DiceLoss(softmax=True, batch=True)(prediction, target)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_classes_are_weighted_by_the_loss() -> None:
    prediction, target = some()
    config = MonaiLossConfig(loss="DiceCELoss", arguments={"weight": [1.0, 2.0, 0.5]})
    theirs = monai.losses.DiceCELoss(softmax=True, weight=torch.tensor([1.0, 2.0, 0.5]))
    assert build(config).compute(prediction, target).item() == pytest.approx(
        theirs(prediction, target).item(), rel=1e-5
    )


def test_a_task_takes_it_and_learns_by_it() -> None:
    config = OneHotTaskConfig("classes", classes=["a", "b", "c"], loss_config=MonaiLossConfig.example())
    task = build(documents.read(documents.write(config), OneHotTaskConfig))
    prediction, target = some()
    prediction.requires_grad_()
    before = task.loss.compute_all(prediction, target)
    before.backward()
    after = task.loss.compute_all(prediction.detach() - 50 * prediction.grad, target)
    assert after < before


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"loss": "SSIMLoss"}, "should be one of 'DiceLoss'"),
        (
            {"loss": "DiceLoss", "arguments": {"reduction": "none"}},
            "reduction is not given here: it is the mean",
        ),
        (
            {"loss": "DiceLoss", "arguments": {"softmx": True}},
            "of DiceLoss: there is no softmx; did you mean",
        ),
        ({"loss": "FocalLoss", "arguments": {"gamma": "a"}}, "gamma = 'a': should be a number"),
        ({"loss": "FocalLoss", "arguments": {"gamma": math.nan}}, "numbers should be finite"),
    ],
)
def test_wrong_arguments_are_refused(values: dict, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        MonaiLossConfig(**values)


def test_arguments_that_contradict_each_other_are_refused_by_name() -> None:
    config: LossConfig = MonaiLossConfig(loss="DiceLoss", arguments={"sigmoid": True, "softmax": True})
    with pytest.raises(InvalidConfig, match="MONAI's DiceLoss does not take its arguments"):
        build(config)
