"""Training on random patches."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dacapo.errors import InvalidRequest, TrainingDiverged
from dacapo.experiments.memory import keep_freed_memory
from dacapo.experiments.training_stats import TrainingIterationStats

from .batches import Batch, BatchMaker, Prefetcher
from .configs import GunpowderTrainerConfig, PatchTrainerConfig
from .precision import is_mixed, lay_out
from .snapshots import save_snapshot
from .trainer import Trainer

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasets.dataset import Dataset
    from dacapo.experiments.model import Model
    from dacapo.experiments.tasks.task import Task

logger = logging.getLogger(__name__)

LOWEST_RATE = 0.01
SKIPPED_IN_A_ROW = 10


class PatchTrainer(Trainer):
    """Trains with RAdam on batches of random patches, made in threads while the network works.

    An iteration whose loss or gradients are not finite changes nothing; after ten of them in a row
    ``TrainingDiverged`` is raised.
    """

    def __init__(self, config: PatchTrainerConfig | GunpowderTrainerConfig) -> None:
        super().__init__(config)
        if isinstance(config, GunpowderTrainerConfig):
            config = config.as_patch_trainer()
        self.config = config
        self.scheduler: torch.optim.lr_scheduler.LambdaLR | None = None
        self._steps: int | None = None
        self._skipped = 0
        self._maker: BatchMaker | None = None
        self._batches: Prefetcher[Batch] | None = None
        self._snapshots: Path | str | None = None
        self._task: Task | None = None
        self._memory_format = torch.contiguous_format

    def create_optimizer(self, model: Model) -> torch.optim.Optimizer:
        """Return RAdam, with weight decay apart from the gradient."""
        return torch.optim.RAdam(
            model.parameters(),
            lr=self.learning_rate,
            weight_decay=self.config.weight_decay,
            decoupled_weight_decay=True,
        )

    def create_scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """Return the linear warm-up and the decay after it, at the place where this trainer is."""
        warm, end = self.config.warmup_iterations, self.config.decay_until

        def factor(step: int) -> float:
            if step < warm:
                return LOWEST_RATE + (1 - LOWEST_RATE) * step / warm
            if end is None:
                return 1.0
            fallen = min((step - warm) / (end - warm), 1.0)
            return LOWEST_RATE + (1 - LOWEST_RATE) * (1 + math.cos(math.pi * fallen)) / 2

        for group in optimizer.param_groups:
            group["initial_lr"] = self.learning_rate
        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=self._steps_done() - 1)

    def can_train(self, datasets: Sequence[Dataset]) -> bool:
        """Say whether there are datasets, and all have ground truth."""
        return bool(datasets) and all(dataset.gt is not None for dataset in datasets)

    def build_batch_provider(
        self, datasets: Sequence[Dataset], model: Model, task: Task, snapshot_container: Any = None
    ) -> None:
        """Prepare to make batches; see ``Trainer``.

        Raises ``OutsideData`` for patches larger than the data, ``InvalidArray`` and ``ShapeError``
        for data that the network cannot take, ``InvalidLabels`` for labels the task does not know,
        and ``DataError`` where no place for a patch fits the sample strategy.
        """
        self.close()
        self._maker = BatchMaker(self.config, datasets, model, task, self.seed)
        self._maker.class_counts(self.iteration)  # so that wrong labels are found before training begins
        self._task = task
        self._snapshots = None
        if snapshot_container is not None and self.config.snapshot_interval is not None:
            self._snapshots = getattr(snapshot_container, "container", snapshot_container)

    def iterate(
        self, num_iterations: int, model: Model, optimizer: torch.optim.Optimizer, device: Any
    ) -> Iterator[TrainingIterationStats]:
        """Train the model, which is on ``device``, and yield the stats of each iteration once it is done."""
        maker, device = self._ready_maker(), torch.device(device)
        if self._batches is None:
            maker.pinned = device.type == "cuda"
            ahead = self.config.num_workers + self.config.prefetch
            self._batches = Prefetcher(maker.make, self.config.num_workers, ahead)
        if self.scheduler is None or self.scheduler.optimizer is not optimizer:
            self.scheduler = self.create_scheduler(optimizer)
        mixed = is_mixed(self.config.precision, device, model.input_shape)
        context = torch.autocast(device.type, torch.bfloat16, enabled=mixed)
        self._memory_format = lay_out(model, device, mixed)
        if device.type == "cpu":
            keep_freed_memory()
        end = self.iteration + num_iterations
        model.train()
        while self.iteration < end:
            begun = time.perf_counter()
            batch = self._batches.get(self.iteration, end)
            loss = self._step(batch, model, optimizer, device, context)
            seconds = time.perf_counter() - begun
            self.iteration += 1
            yield TrainingIterationStats(iteration=self.iteration - 1, loss=loss, time=seconds)

    def visualize_pipeline(self, bind_address: str = "0.0.0.0", bind_port: int = 0) -> None:
        """Refuse: what a network is trained on is seen in snapshots."""
        raise InvalidRequest(
            f"trainer {self.config.name!r} has no live view; set its snapshot_interval, train, and open "
            "<iteration>/volumes/ in the snapshot.zarr of the run, where image, ground truth, target, weight "
            "and prediction lie side by side"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return iteration, steps of the warm-up, and how many iterations were skipped last."""
        return {"iteration": self.iteration, "steps": self._steps_done(), "skipped": self._skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where another trainer of this config was when it returned this state."""
        super().load_state_dict(state)
        self._steps, self._skipped = state.get("steps"), int(state.get("skipped", 0))
        self.scheduler = None

    def close(self) -> None:
        """Stop the threads that make batches."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _steps_done(self) -> int:
        """Return how many steps the warm-up has done: fewer than iterations, if some were left out."""
        if self.scheduler is not None:
            return int(self.scheduler.last_epoch)
        return self.iteration if self._steps is None else self._steps

    def _ready_maker(self) -> BatchMaker:
        if self._maker is None:
            raise InvalidRequest(
                f"trainer {self.config.name!r} has no data yet; "
                "call build_batch_provider(datasets, model, task) first"
            )
        return self._maker

    def _step(
        self, batch: Batch, model: Model, optimizer: torch.optim.Optimizer, device: torch.device,
        context: torch.autocast,
    ) -> float:  # fmt: skip
        """Train on one batch and return the loss."""
        tensors = batch.raw, batch.target, batch.weight
        raw, target, weight = (tensor.to(device, non_blocking=True) for tensor in tensors)
        raw = raw.contiguous(memory_format=self._memory_format)
        optimizer.zero_grad(set_to_none=True)
        with context:
            predictions = model(raw)
        prediction = predictions[0] if isinstance(predictions, tuple) else predictions
        if kept := self._is_kept():
            prediction.retain_grad()
        assert self._task is not None
        loss = self._task.loss.compute_all(predictions, target, weight)
        torch.autograd.backward(loss)
        value = self._descend(loss, model, optimizer)
        if kept:
            self._keep(batch, prediction)
        return value

    def _descend(self, loss: torch.Tensor, model: Model, optimizer: torch.optim.Optimizer) -> float:
        """Change the model along its gradient, if that is finite, and return the loss."""
        longest = math.inf if self.config.max_gradient_norm is None else self.config.max_gradient_norm
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), longest)
        # One wait for the device: for both at once.
        value, length = torch.stack([loss.detach().float(), norm.float()]).tolist()
        if math.isfinite(value) and math.isfinite(length):
            optimizer.step()
            assert self.scheduler is not None
            self.scheduler.step()
            self._skipped = 0
        else:
            self._skip(value, length)
        return float(value)

    def _is_kept(self) -> bool:
        interval = self.config.snapshot_interval
        return self._snapshots is not None and interval is not None and self.iteration % interval == 0

    def _keep(self, batch: Batch, prediction: torch.Tensor) -> None:
        if self._snapshots is not None and self._maker is not None:
            save_snapshot(self._snapshots, self.iteration, self._maker.shape, batch, prediction)

    def _skip(self, loss: float, norm: float) -> None:
        self._skipped += 1
        state = f"iteration {self.iteration}: loss {loss:g}, length of the gradient {norm:g}"
        if self._skipped < SKIPPED_IN_A_ROW:
            logger.warning("%s; left out", state)
            return
        raise TrainingDiverged(
            f"trainer {self.config.name!r}, {state}, not finite for {self._skipped} iterations in a row; "
            f"go back to an earlier checkpoint with a lower learning_rate (now {self.learning_rate:g}), "
            "max_gradient_norm=1 or precision='fp32', and look for NaN in the images"
        )
