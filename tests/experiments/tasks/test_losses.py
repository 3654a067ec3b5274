"""Losses by hand: weights act once, and what weighs nothing is not there."""

from __future__ import annotations

import math

import pytest
import torch

from dacapo.config import build
from dacapo.errors import InvalidConfig
from dacapo.experiments.tasks import CrossEntropyDiceLossConfig
from dacapo.experiments.tasks.losses import (
    CrossEntropyDiceLoss,
    CrossEntropyLoss,
    DiceLoss,
    DummyLoss,
    HotDistanceLoss,
    Loss,
    MSELoss,
)


def batch(*values: float) -> torch.Tensor:
    """Return values along one spatial axis of one channel."""
    return torch.tensor(values).reshape(1, 1, -1)


def test_mean_squared_error_by_hand() -> None:
    loss = MSELoss().compute(batch(1, 2, 3), batch(0, 0, 1))
    assert loss.item() == pytest.approx((1 + 4 + 4) / 3)


def test_weights_act_once_and_masked_voxels_do_not_count() -> None:
    prediction, target, weight = batch(1, 2, 100), batch(0, 0, 0), batch(2, 1, 0)
    assert MSELoss().compute(prediction, target, weight).item() == pytest.approx((2 * 1 + 1 * 4) / 3)
    assert DummyLoss().compute(prediction, target, weight).item() == pytest.approx((2 * 1 + 1 * 2) / 3)


def test_a_weight_for_all_changes_nothing() -> None:
    prediction, target = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    loss = MSELoss().compute(prediction, target, torch.full_like(target, 7))
    assert loss.item() == pytest.approx(torch.nn.functional.mse_loss(prediction, target).item(), rel=1e-5)


def test_absolute_error_is_a_mean() -> None:
    assert DummyLoss().compute(batch(1, -2, 3), batch(0, 0, 0)).item() == pytest.approx(2)


def one_hot(ids: torch.Tensor, num_classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(ids, num_classes).movedim(-1, 1).float()


def test_cross_entropy_is_that_of_torch() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    expected = torch.nn.functional.cross_entropy(logits, ids)
    assert CrossEntropyLoss().compute(logits, one_hot(ids, 4)).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_cross_entropy_weighs_each_voxel_once() -> None:
    torch.manual_seed(1)
    logits, ids, classes = torch.randn(2, 3, 8), torch.randint(0, 3, (2, 8)), torch.tensor([0.5, 1.0, 4.0])
    mask = torch.rand(2, 8) < 0.7
    weight = (classes[ids] * mask)[:, None].expand(-1, 3, -1)
    ignored = torch.where(mask, ids, -1)
    expected = torch.nn.functional.cross_entropy(logits, ignored, weight=classes, ignore_index=-1)
    found = CrossEntropyLoss().compute(logits, one_hot(ids, 3), weight)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_voxels_of_no_class_do_not_count() -> None:
    logits, target = torch.randn(1, 2, 3), torch.tensor([[[1.0, 0, 0], [0, 0, 1.0]]])
    first = CrossEntropyLoss().compute(logits, target)
    second = CrossEntropyLoss().compute(logits[..., ::2], target[..., ::2])
    assert first.item() == pytest.approx(second.item())


def soft_dice(logits: torch.Tensor, ids: torch.Tensor, label: int, mask: torch.Tensor) -> float:
    """Return the overlap of one class, written down voxel by voxel of those that count."""
    p = logits.double().softmax(1)[:, label][mask]
    t = (ids[mask] == label).double()
    return float(2 * (p * t).sum() / ((p * p).sum() + (t * t).sum()))


def test_dice_is_the_overlap_of_what_counts_averaged_over_classes_by_their_weights() -> None:
    torch.manual_seed(5)
    logits, ids, classes = torch.randn(2, 3, 9), torch.randint(0, 3, (2, 9)), torch.tensor([0.5, 1.0, 4.0])
    mask = torch.rand(2, 9) < 0.6
    dice = [soft_dice(logits, ids, label, mask) for label in range(3)]
    alike = DiceLoss().compute(logits, one_hot(ids, 3), mask[:, None].expand(-1, 3, -1).float())
    assert alike.item() == pytest.approx(1 - sum(dice) / 3, rel=1e-5)
    weighted = DiceLoss().compute(logits, one_hot(ids, 3), (classes[ids] * mask)[:, None].expand(-1, 3, -1))
    by_hand = sum(float(w) * (1 - d) for w, d in zip(classes, dice, strict=True)) / 5.5
    assert weighted.item() == pytest.approx(by_hand, rel=1e-5)


def test_dice_of_the_truth_is_nothing_and_of_its_opposite_all() -> None:
    target = one_hot(torch.randint(0, 2, (2, 5, 5, 5)), 2)
    assert DiceLoss().compute(200 * target, target).item() == pytest.approx(0, abs=1e-6)
    assert DiceLoss().compute(-200 * target, target).item() == pytest.approx(1, abs=1e-6)


def test_a_class_that_the_batch_does_not_have_is_left_out_of_dice() -> None:
    torch.manual_seed(6)
    logits, ids = torch.randn(1, 3, 8), torch.randint(0, 2, (1, 8))
    everywhere = torch.ones(1, 8, dtype=torch.bool)
    expected = 1 - sum(soft_dice(logits, ids, label, everywhere) for label in (0, 1)) / 2
    assert DiceLoss().compute(logits, one_hot(ids, 3)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 0.3])
def test_cross_entropy_and_dice_are_added_up(ratio: float) -> None:
    torch.manual_seed(7)
    target, weight = one_hot(torch.randint(0, 3, (2, 4, 4)), 3), torch.rand(2, 1, 4, 4).expand(-1, 3, -1, -1)
    logits = torch.randn(2, 3, 4, 4)
    both = build(CrossEntropyDiceLossConfig(dice_to_cross_entropy_ratio=ratio))
    one, other = (loss.compute(logits, target, weight) for loss in (CrossEntropyLoss(), DiceLoss()))
    assert both.compute(logits, target, weight).item() == pytest.approx((one + ratio * other).item())


@pytest.mark.parametrize("ratio", [-1.0, math.inf, math.nan])
def test_a_ratio_that_makes_no_sense_is_refused(ratio: float) -> None:
    with pytest.raises(InvalidConfig, match="dice_to_cross_entropy_ratio = .*: should be 0 or more"):
        CrossEntropyDiceLossConfig(dice_to_cross_entropy_ratio=ratio)


LOSSES = [
    MSELoss(),
    DummyLoss(),
    CrossEntropyLoss(),
    HotDistanceLoss(),
    DiceLoss(),
    CrossEntropyDiceLoss(CrossEntropyDiceLossConfig()),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_where_all_is_masked_the_loss_is_zero_and_so_is_the_gradient(loss: Loss) -> None:
    prediction = torch.randn(1, 2, 4, requires_grad=True)
    value = loss.compute(prediction, torch.rand(1, 2, 4), torch.zeros(1, 2, 4))
    value.backward()
    assert value.item() == 0
    assert prediction.grad is not None
    assert prediction.grad.eq(0).all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_not_even_infinity_gets_through_a_mask(loss: Loss, bad: float) -> None:
    torch.manual_seed(2)
    prediction, target = torch.randn(1, 2, 4), torch.eye(2)[None, :, [0, 1, 1, 0]]
    weight = torch.ones(1, 2, 4)
    weight[..., 3] = 0
    spoiled = prediction.clone()
    spoiled[..., 3] = bad
    values, gradients = [], []
    for one in (prediction, spoiled):
        one.requires_grad_()
        value = loss.compute(one, target, weight)
        value.backward()
        values.append(value.item())
        gradients.append(one.grad)
    assert values[0] == values[1] > 0
    assert torch.equal(*gradients)
    assert gradients[1][..., 3].eq(0).all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradients_agree_with_differences(loss: Loss) -> None:
    torch.manual_seed(3)
    target, weight = torch.eye(2)[None, :, [0, 1, 1, 0]], torch.tensor([0.5, 2.0, 0.0, 1.0]).expand(1, 2, 4)
    prediction = torch.randn(1, 2, 4, requires_grad=True)
    loss.compute(prediction, target, weight).backward()
    assert prediction.grad is not None
    for place in [(0, 0, 0), (0, 1, 1), (0, 1, 2)]:
        shift = torch.zeros(1, 2, 4)
        shift[place] = 1e-2
        with torch.no_grad():
            up, down = (loss.compute(prediction + sign * shift, target, weight) for sign in (1, -1))
        assert prediction.grad[place].item() == pytest.approx((up - down).item() / 2e-2, abs=1e-3)


def test_half_precision_is_summed_in_full() -> None:
    ones = torch.ones(1, 1, 100_000, dtype=torch.bfloat16)
    loss = MSELoss().compute(ones, torch.zeros_like(ones), ones)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1)


def test_several_predictions_count_less_the_coarser_they_are() -> None:
    torch.manual_seed(4)
    target, fine, coarse = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)
    weight = torch.rand(2, 3, 8, 8)
    loss = MSELoss()
    grown = torch.nn.functional.interpolate(coarse, (8, 8), mode="bilinear")
    first, second = loss.compute(fine, target, weight), loss.compute(grown, target, weight)
    assert loss.compute_all((fine, coarse), target, weight).item() == pytest.approx(
        ((first + second / 2) / 1.5).item()
    )
    assert loss.compute_all(fine, target, weight) == first == loss.compute_all((fine,), target, weight)


def test_a_prediction_of_another_size_is_not_stretched() -> None:
    with pytest.raises(RuntimeError, match="size"):
        MSELoss().compute_all(torch.zeros(1, 1, 4), torch.zeros(1, 1, 8))
