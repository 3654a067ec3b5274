"""Checks for losses, by themselves and as parts of a task."""

from __future__ import annotations

import torch

from dacapo.config import Config, build
from dacapo.experiments.tasks.losses import Loss

from .checks import check, demand


def _one_hot() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the target of three classes, which any loss can take, and a weight of 1 everywhere."""
    labels = torch.randint(0, 3, (2, 6, 6, 6))
    target = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    return target, torch.ones_like(target)


@check("losses")
def a_loss_is_finite_and_has_a_gradient(config: Config) -> None:
    """The loss of a prediction, with weights and without, is a finite scalar with a finite gradient."""
    target, weight = _one_hot()
    for given in (weight, None):
        demand_gradient(build(config), target, given)


@check("losses")
def a_loss_is_less_for_the_truth_than_for_noise(config: Config) -> None:
    """Predicting the target costs less than predicting noise."""
    target, weight = _one_hot()
    demand_less_for_the_truth(build(config), target, weight)


@check("losses")
def what_weighs_nothing_does_not_count(config: Config) -> None:
    """Where the weight is 0 the gradient is 0, and the loss does not change with the prediction."""
    target, weight = _one_hot()
    weight[..., :3] = 0
    loss: Loss = build(config)
    demand_masked(loss, target, weight)
    prediction = torch.randn_like(target)
    other = torch.where(weight > 0, prediction, prediction + 1)
    values = [float(loss.compute(each, target, weight)) for each in (prediction, other)]
    demand(
        abs(values[0] - values[1]) < 1e-5 * (1 + abs(values[0])),
        f"predicting otherwise where the weight is 0 changes the loss from {values[0]:g} to {values[1]:g}; "
        "multiply errors by the weight before they are summed",
    )


@check("losses")
def a_loss_is_finite_where_nothing_counts(config: Config) -> None:
    """Where everything weighs 0 the loss is finite and has no gradient."""
    target, weight = _one_hot()
    prediction = torch.randn_like(target).requires_grad_()
    loss = build(config).compute(prediction, target, torch.zeros_like(weight))
    demand(bool(loss.isfinite()), f"the loss is {loss.detach()} where everything weighs 0; it should be 0")
    (gradient,) = torch.autograd.grad(loss, prediction, allow_unused=True)
    demand(gradient is None or not gradient.any(), "there is a gradient where everything weighs 0")


def demand_gradient(loss: Loss, target: torch.Tensor, weight: torch.Tensor | None) -> None:
    """Demand a finite scalar with a finite gradient that is not all 0."""
    prediction = torch.randn_like(target).requires_grad_()
    value = loss.compute(prediction, target, weight)
    demand(value.dim() == 0, f"the loss has shape {tuple(value.shape)}, and should be one number")
    demand(bool(value.isfinite()), f"the loss of noise is {value.detach()}, and should be finite")
    demand(value.requires_grad, "the loss has no gradient; compute it by torch, and detach nothing")
    (gradient,) = torch.autograd.grad(value, prediction, allow_unused=True)
    demand(gradient is not None, "the loss does not depend on the prediction")
    demand(bool(gradient.isfinite().all()), "the gradient of the loss is not finite")
    demand(bool(gradient.any()), "the gradient of the loss is 0 everywhere; nothing can be learned from it")


def demand_less_for_the_truth(loss: Loss, target: torch.Tensor, weight: torch.Tensor) -> None:
    """Demand that the target itself costs less than noise."""
    truth, noise = (float(loss.compute(each, target, weight)) for each in (target, torch.randn_like(target)))
    demand(
        truth < noise,
        f"predicting the truth costs {truth:g} and predicting noise {noise:g}; the loss should fall towards "
        "the target",
    )


def demand_masked(loss: Loss, target: torch.Tensor, weight: torch.Tensor) -> None:
    """Demand that there is no gradient where the weight is 0, and some elsewhere."""
    prediction = torch.randn_like(target).requires_grad_()
    (gradient,) = torch.autograd.grad(loss.compute(prediction, target, weight), prediction)
    learned = int((gradient[weight == 0] != 0).sum())
    demand(
        learned == 0,
        f"{learned} values that weigh 0 have a gradient; multiply errors by the weight first",
    )
    demand(bool(gradient[weight > 0].any()), "no value that counts has a gradient")
