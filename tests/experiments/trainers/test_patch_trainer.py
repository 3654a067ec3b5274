"""The training loop: exact resume, warm-up, what is skipped, what is kept."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.config import build
from dacapo.errors import InvalidConfig, InvalidLabels, InvalidRequest, OutsideData, TrainingDiverged
from dacapo.experiments.architectures import CNNectomeUNetConfig
from dacapo.experiments.datasplits.datasets.arrays.zarr_array import open_zarr
from dacapo.experiments.tasks import (
    AffinitiesTaskConfig,
    CrossEntropyDiceLossConfig,
    DistanceTaskConfig,
    HotDistanceTaskConfig,
    InnerDistanceTaskConfig,
    OneHotTaskConfig,
    TaskConfig,
)
from dacapo.experiments.trainers import (
    ElasticAugmentConfig,
    GunpowderTrainerConfig,
    IntensityAugmentConfig,
    PatchTrainerConfig,
    SimpleAugmentConfig,
    precision,
)
from dacapo.experiments.trainers.patch_trainer import PatchTrainer
from dacapo.testing.volumes import small_architecture
from memory_dataset import MeanSquares, MemoryDataset, TinyModel, balls, noise, tiny_task

SHAPE = (24, 24, 24)
AUGMENTS = [
    SimpleAugmentConfig(),
    ElasticAugmentConfig(
        control_point_spacing=(6, 6, 6),
        control_point_displacement_sigma=(8, 8, 8),
        rotation_interval=(0, 1.5),
    ),
    IntensityAugmentConfig(scale=(0.8, 1.2), shift=(-0.1, 0.1)),
]


def dataset(mask: Any = None) -> MemoryDataset:
    gt = balls(SHAPE)
    raw = noise(SHAPE)
    raw.data[:] = 0.5 * raw.data + 0.5 * gt.data
    return MemoryDataset("data", raw, gt, mask)


def trainer(config: Any = None, **values: Any) -> PatchTrainer:
    values = {"learning_rate": 0.02, "warmup_iterations": 5, "num_workers": 1, **values}
    made = build(config or PatchTrainerConfig("trainer", **values))
    made.seed = 3
    return made


def network(seed: int = 0, **values: Any) -> TinyModel:
    torch.manual_seed(seed)
    return TinyModel((10, 10, 10), valid=True, **values)


def trained(
    made: PatchTrainer, number: int, model: Any, optimizer: Any, task: Any = None, **rest: Any
) -> list[Any]:
    made.build_batch_provider([dataset()], model, task or tiny_task(), **rest)
    with made:
        return list(made.iterate(number, model, optimizer, "cpu"))


def test_training_in_two_parts_is_training_in_one() -> None:
    """B21: weights and losses are equal bit for bit, with other objects and more threads."""
    whole, model = trainer(augments=AUGMENTS, batch_size=2), network()
    stats = trained(whole, 40, model, optimizer := whole.create_optimizer(model))

    first, half = trainer(augments=AUGMENTS, batch_size=2), network()
    begun = trained(first, 20, half, kept := first.create_optimizer(half))
    checkpoint = copy.deepcopy((half.state_dict(), kept.state_dict(), first.state_dict()))

    second, other = trainer(augments=AUGMENTS, batch_size=2, num_workers=3), network(seed=9)
    resumed = second.create_optimizer(other)
    other.load_state_dict(checkpoint[0])
    resumed.load_state_dict(checkpoint[1])
    second.load_state_dict(checkpoint[2])
    ended = trained(second, 20, other, resumed)

    assert [s.iteration for s in begun + ended] == list(range(40))
    assert [s.loss for s in begun + ended] == [s.loss for s in stats]
    for name, weights in model.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name])
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert np.mean([s.loss for s in stats[-10:]]) < 0.5 * np.mean([s.loss for s in stats[:10]])


DISTANCES: dict[str, Any] = {
    "channels": ["ball"], "clip_distance": 40, "tol_distance": 8, "scale_factor": 24, "clipmin": 1e-6,
}  # fmt: skip
TASKS = [
    DistanceTaskConfig("distance", **DISTANCES),
    HotDistanceTaskConfig("hot distance", **DISTANCES),
    InnerDistanceTaskConfig("inner distance", **DISTANCES),
    OneHotTaskConfig("cross-entropy", classes=["rest", "ball"]),
    OneHotTaskConfig("dice", classes=["rest", "ball"], loss_config=CrossEntropyDiceLossConfig()),
    AffinitiesTaskConfig("affinities", neighborhood=[(1, 0, 0), (0, 1, 0), (0, 0, -2)]),
]


@pytest.mark.parametrize("config", TASKS, ids=lambda config: config.name)
def test_training_in_two_parts_is_training_in_one_for_all_tasks(config: TaskConfig) -> None:
    """Class weights go on as they would have, although of their window nothing is stored."""
    values: dict[str, Any] = {"augments": AUGMENTS, "batch_size": 2, "balance_window": 2}
    losses = []
    for parts in ([6], [3, 3]):
        torch.manual_seed(0)
        task, losses_here = build(config), []
        model = task.create_model(small_architecture())
        made = trainer(**values)
        optimizer = made.create_optimizer(model)
        for number in parts:
            state, made = made.state_dict(), trainer(**values)
            made.load_state_dict(state)
            losses_here += [s.loss for s in trained(made, number, model, optimizer, task)]
        losses.append(losses_here)
    assert losses[0] == losses[1] and len(set(losses[0])) == 6


def test_the_learning_rate_warms_up_once() -> None:
    """B8: from 1 % at the first iteration, whatever the intervals, and never down again."""
    made, model = trainer(warmup_iterations=10), network()
    optimizer = made.create_optimizer(model)
    made.build_batch_provider([dataset()], model, tiny_task())
    rates = [optimizer.param_groups[0]["lr"] / 0.02 for _ in made.iterate(15, model, optimizer, "cpu")]
    made.close()
    # Each is the rate of the next iteration.
    assert rates == pytest.approx([min(1, 0.01 + 0.099 * i) for i in range(1, 16)])
    scheduler = trainer(warmup_iterations=10).create_scheduler(made.create_optimizer(model))
    assert scheduler.get_last_lr() == pytest.approx([0.0002])
    assert trainer(warmup_iterations=0).create_scheduler(optimizer).get_last_lr() == [0.02]


def test_an_iteration_set_from_outside_is_where_warm_up_goes_on() -> None:
    made, model = trainer(warmup_iterations=10), network()
    made.iteration = 5
    assert made.create_scheduler(made.create_optimizer(model)).get_last_lr() == pytest.approx([0.02 * 0.505])


def test_the_learning_rate_falls_along_a_half_cosine_where_that_is_asked_for() -> None:
    rates = []
    for iteration in (10, 20, 30, 40):
        made, model = trainer(warmup_iterations=10, decay_until=30), network()
        made.iteration = iteration
        rates.append(made.create_scheduler(made.create_optimizer(model)).get_last_lr()[0] / 0.02)
    assert rates == pytest.approx([1, 0.505, 0.01, 0.01])
    with pytest.raises(InvalidConfig, match=r"should lie beyond warmup_iterations \(10\)"):
        trainer(warmup_iterations=10, decay_until=10)


class Poisoned(MeanSquares):
    """A loss that is not finite at some iterations."""

    def __init__(self, *bad: int) -> None:
        self.bad, self.calls = bad, itertools.count()

    def compute(self, prediction: Any, target: Any, weight: Any = None) -> Any:
        loss = super().compute(prediction, target, weight)
        return loss * float("nan") if next(self.calls) in self.bad else loss


def test_what_is_not_finite_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    made, model = trainer(), network()
    task = SimpleNamespace(predictor=tiny_task().predictor, loss=Poisoned(1))
    optimizer = made.create_optimizer(model)
    made.build_batch_provider([dataset()], model, task)
    weights, losses = [], []
    for stats in made.iterate(3, model, optimizer, "cpu"):
        weights.append(model.convolution.weight.clone())
        losses.append(stats.loss)
    made.close()
    assert np.isnan(losses).tolist() == [False, True, False]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    assert "iteration 1: loss nan" in caplog.text and made.state_dict() == {
        "iteration": 3,
        "steps": 2,
        "skipped": 0,
    }


def test_training_that_has_diverged_stops() -> None:
    made, model = trainer(), network()
    task = SimpleNamespace(predictor=tiny_task().predictor, loss=Poisoned(*range(2, 40)))
    with pytest.raises(
        TrainingDiverged, match="iteration 11: .* 10 iterations in a row.* lower learning_rate .now 0.02"
    ):
        trained(made, 40, model, made.create_optimizer(model), task)


def test_gradients_are_shortened() -> None:
    made, model = trainer(max_gradient_norm=1e-3), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    made.build_batch_provider([dataset()], model, tiny_task())
    before = [p.detach().clone() for p in model.parameters()]
    next(iter(made.iterate(1, model, optimizer, "cpu")))
    made.close()
    moved = [(p.detach() - b).norm() for p, b in zip(model.parameters(), before, strict=True)]
    assert float(torch.stack(moved).norm()) == pytest.approx(1e-3 * 0.02 * 0.01, rel=0.1)


def test_weight_decay_acts_apart_from_the_gradient() -> None:
    model = network()
    group = trainer(weight_decay=0.1).create_optimizer(model).param_groups[0]
    assert group["weight_decay"] == 0.1 and group["decoupled_weight_decay"]


@pytest.mark.parametrize("mask", [None, balls(SHAPE, seed=5)])
def test_snapshots(tmp_path: Path, mask: Any) -> None:
    """B36: the ground truth is the ground truth, a missing mask is no error, there is no batch axis."""
    made, model = trainer(snapshot_interval=2, batch_size=2, sample_strategy="uniform"), network()
    container = tmp_path / "snapshot.zarr"
    made.build_batch_provider(
        [dataset(mask)], model, tiny_task(margin=1), SimpleNamespace(container=container)
    )
    batches = [made._ready_maker().make(i) for i in range(3)]
    with made:
        list(made.iterate(3, model, made.create_optimizer(model), "cpu"))
    assert sorted(path.name for path in container.iterdir() if path.is_dir()) == ["0", "2"]
    patch = batches[2].first.patch
    ones = np.ones_like(patch.gt)
    for name, expected in {
        "raw": patch.raw[0], "gt": patch.gt, "mask": ones if patch.mask is None else patch.mask,
        "target": batches[2].target[0, 0].numpy(), "weight": batches[2].weight[0, 0].numpy(),
    }.items():  # fmt: skip
        kept = open_zarr(container, f"2/volumes/{name}")
        assert (kept.data == expected).all() and kept.voxel_size == (8, 8, 8)
    prediction, gradients = (
        open_zarr(container, f"0/volumes/{name}") for name in ("prediction", "gradients")
    )
    assert prediction.shape == gradients.shape == (8, 8, 8)
    error = (
        2 * (prediction.data - batches[0].target[0, 0].numpy()) * batches[0].weight[0, 0].numpy() / (2 * 8**3)
    )
    assert np.allclose(gradients.data, error, atol=1e-6)
    assert open_zarr(container, "0/volumes/raw").offset == (-8, -8, -8)


def test_no_snapshots_without_interval_or_container(tmp_path: Path) -> None:
    for values, rest in (({}, {"snapshot_container": tmp_path / "a.zarr"}), ({"snapshot_interval": 1}, {})):
        made, model = trainer(**values), network()
        trained(made, 1, model, made.create_optimizer(model), **rest)
    assert not (tmp_path / "a.zarr").exists()


def test_the_gunpowder_trainer_trains_alike() -> None:
    values: dict[str, Any] = {"batch_size": 2, "learning_rate": 0.02, "augments": AUGMENTS}
    old, new = trainer(GunpowderTrainerConfig("a", **values)), trainer(PatchTrainerConfig("b", **values))
    losses = []
    for made in (old, new):
        model = network()
        losses.append([s.loss for s in trained(made, 4, model, made.create_optimizer(model))])
    assert losses[0] == losses[1] and old.batch_size == 2 and old.learning_rate == 0.02


def test_impossible_training_is_refused_before_it_begins() -> None:
    made, model = trainer(), TinyModel((30, 30, 30))
    with pytest.raises(OutsideData, match="dataset data"):
        made.build_batch_provider([dataset()], model, tiny_task())
    with pytest.raises(InvalidRequest, match="trainer 'trainer' has no data yet"):
        next(iter(trainer().iterate(1, model, None, "cpu")))
    assert made.can_train([dataset()]) and not made.can_train([])
    assert not made.can_train([dataset(), MemoryDataset("bare", noise(SHAPE), None)])


def test_the_pipeline_is_seen_in_snapshots() -> None:
    with pytest.raises(InvalidRequest, match="set its snapshot_interval"):
        trainer().visualize_pipeline()


@pytest.mark.parametrize("able", [True, False])
def test_precision_is_what_the_device_has(able: bool, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(precision, "computes_bf16", lambda device: able)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [precision.is_mixed(name, cpu) for name in ("fp32", "auto", "bf16")] == [False, False, able]
    assert [precision.is_mixed(name, gpu) for name in ("fp32", "auto")] == [False, able]
    assert ("cpu does not compute in bf16" in caplog.text) != able


def test_wide_slices_are_not_trained_in_bf16_on_the_cpu(monkeypatch, caplog):
    """Torch corrupts its memory there."""
    monkeypatch.setattr(precision, "computes_bf16", lambda device: True)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert precision.is_mixed("bf16", cpu, (80, 80, 80)) and precision.is_mixed("bf16", gpu, (1, 128, 128))
    assert precision.is_mixed("bf16", cpu, (128, 128)) and not caplog.records
    assert not precision.is_mixed("bf16", cpu, (1, 128, 128))
    assert "slices beyond 6400 voxels; training in fp32" in caplog.text


def test_weights_are_laid_out_as_the_device_likes_them() -> None:
    channels_last, as_they_are = torch.channels_last_3d, torch.contiguous_format
    for device, mixed, expected in (
        ("cpu", False, channels_last),
        ("cuda", True, channels_last),
        ("cuda", False, as_they_are),
    ):
        model = network(channels=2)
        before = model.convolution.weight.detach().clone()
        assert precision.lay_out(model, torch.device(device), mixed) == expected
        assert model.convolution.weight.is_contiguous(memory_format=expected)
        assert torch.equal(model.convolution.weight, before)
    assert precision.lay_out(torch.nn.Linear(2, 2), torch.device("cpu"), False) == as_they_are


def test_mixed_precision_trains_weights_that_stay_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "computes_bf16", lambda device: True)
    made, model = trainer(precision="bf16"), network()
    losses = [s.loss for s in trained(made, 30, model, made.create_optimizer(model))]
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def distance_task() -> Any:
    return build(
        DistanceTaskConfig("task", channels=["ball"], clip_distance=40, tol_distance=8, scale_factor=24)
    )


def test_labels_that_the_task_does_not_know_end_training_before_it_begins() -> None:
    """B46: the existing one fails an assertion at the first batch that has one."""
    data = dataset()
    assert data.gt is not None
    data.gt.data[data.gt.data == 1] = 2
    with pytest.raises(
        InvalidLabels,
        match="channel 'ball' of gt of dataset data has the labels 2, .* BinarizeArrayConfig .* or mask",
    ):
        trainer().build_batch_provider([data], network(), distance_task())


def test_a_unet_learns_distances() -> None:
    task = distance_task()
    architecture = build(
        CNNectomeUNetConfig(
            "unet", input_shape=(16, 16, 16), fmaps_in=1, fmaps_out=4, num_fmaps=4, fmap_inc_factor=2,
            downsample_factors=[(2, 2, 2)], padding="same",
        )
    )  # fmt: skip
    torch.manual_seed(0)
    made, model = trainer(augments=AUGMENTS), task.create_model(architecture)
    losses = [s.loss for s in trained(made, 60, model, made.create_optimizer(model), task)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:3])
