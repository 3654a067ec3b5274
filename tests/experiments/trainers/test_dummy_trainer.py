"""The trainer that other tests use."""

from __future__ import annotations

import pytest
import torch

from dacapo.config import build
from dacapo.errors import InvalidRequest
from dacapo.experiments.trainers import DummyTrainerConfig
from memory_dataset import TinyModel, tiny_task


def trained(**values: object) -> tuple[list[tuple[int, float]], TinyModel]:
    torch.manual_seed(0)
    trainer = build(DummyTrainerConfig("dummy", batch_size=2, learning_rate=1e-2, **values))
    model = TinyModel((6, 6, 6))
    trainer.build_batch_provider([], model, tiny_task())
    with trainer:
        stats = list(trainer.iterate(3, model, trainer.create_optimizer(model), "cpu"))
    assert trainer.can_train([]) and trainer.state_dict() == {"iteration": 3}
    return [(s.iteration, s.loss) for s in stats], model


def test_losses_fall_as_promised_and_weights_change() -> None:
    stats, model = trained()
    assert stats == [(0, 1.0), (1, 1 / 2), (2, 1 / 3)]
    torch.manual_seed(0)
    assert not torch.equal(model.convolution.weight, TinyModel((6, 6, 6)).convolution.weight)
    assert torch.equal(model.convolution.weight, trained()[1].convolution.weight)


def test_mirroring_changes_the_noise() -> None:
    assert not torch.equal(
        trained(mirror_augment=True)[1].convolution.weight, trained()[1].convolution.weight
    )


def test_it_needs_a_task_and_goes_on_where_it_is_told() -> None:
    trainer, model = build(DummyTrainerConfig("dummy")), TinyModel((6, 6, 6))
    with pytest.raises(InvalidRequest, match="trainer 'dummy' has no task yet"):
        next(iter(trainer.iterate(1, model, trainer.create_optimizer(model), "cpu")))
    trainer.load_state_dict({"iteration": 7})
    assert trainer.iteration == 7
