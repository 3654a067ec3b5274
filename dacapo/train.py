"""Training a run: batches, stats, checkpoints and validations, until it is done or asked to stop."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .compute_context import create_compute_context
from .errors import InvalidRequest, NotFound, Stopped, StoreUnreachable
from .progress import Progress
from .stopping import StopRequest, stop_requests
from .store.create_store import (
    create_array_store,
    create_config_store,
    create_stats_store,
    create_weights_store,
    take_lease,
)
from .validate import validate_run

if TYPE_CHECKING:
    from .experiments.run import Run
    from .store.lease import Lease

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_STORES = 10.0


def train(run_name: str, do_validate: bool = True, **options: Any) -> None:
    """Train the stored run of that name (``name`` or ``name:repetition``), going on where it left off.

    Further options are those of ``train_run``.  Raises ``NotFound`` for an unknown run,
    ``NotReady`` for parts that are missing here, and ``Stopped`` when a signal asked for it.
    """
    # Imported here, as in all verbs: importing DaCapo should not wait for what a run needs.
    from .experiments.run import Run

    run = Run(create_config_store().retrieve_run_config(run_name))
    train_run(run, do_validate, **options)


def train_run(
    run: Run,
    do_validate: bool = True,
    *,
    validate: bool | None = None,
    save_snapshots: bool = True,
    device: str | None = None,
    lease: Lease | None = None,
) -> None:
    """Train a run up to its number of iterations, going on from its newest checkpoint.

    Stats are stored every ten seconds, checkpoints at every ``validation_interval`` (and
    ``checkpoint_interval``) and at the end; after each validation interval and at the end the
    run is validated.  ``validate`` is another name for ``do_validate``.

    SIGTERM, SIGINT and SIGUSR1 make it write a checkpoint after the current iteration and
    raise ``Stopped``; training the run again goes on from there as if nothing had happened.

    While the store cannot be reached training goes on, and delivers later.  If it still cannot an hour
    after the end, ``StoreUnreachable`` says where everything waits for the next ``train``.

    The run is trained under a ``lease``, taken here unless it is given: ``LeaseHeld`` says who else
    has the run, ``LeaseLost`` that somebody took it because this process gave no sign of life.
    """
    run.ready("train")
    do_validate = (do_validate if validate is None else validate) and bool(run.datasplit.validate)
    if not run.trainer.can_train(run.datasplit.train):
        raise InvalidRequest(
            f"run {run.key}: {type(run.trainer).__name__} {run.config.trainer_config.name!r} cannot train "
            f"on datasplit {run.config.datasplit_config.name!r}: it needs training datasets with ground truth"
        )
    device = device or str(create_compute_context().device)
    with lease or take_lease(run, "train") as held, stop_requests() as stop:
        _Session(run, do_validate, device, held).go(stop, save_snapshots)


class _Session:
    """One process training one run: what it stores, when, and where it is."""

    def __init__(self, run: Run, do_validate: bool, device: str, lease: Lease) -> None:
        self.run, self.do_validate, self.device, self.lease = run, do_validate, device, lease
        self.stats_store = create_stats_store()
        self.weights_store = create_weights_store()
        self.stats_store.write_under(lease)
        self.weights_store.write_under(lease)
        # Imported here: it imports the stores, and every command imports this module.
        from .delivery import Delivery

        self.delivery = Delivery(run, self.stats_store, self.weights_store)
        self.stored_at = time.monotonic()

    def go(self, stop: StopRequest, save_snapshots: bool) -> None:
        run = self.run
        self.delivery.deliver_spool()
        iteration = run.resume(self.stats_store, self.weights_store)
        run.model.to(self.device)
        if run.loaded is not None:
            self._note(f"began with {run.loaded.whose}: {run.loaded}")
        self.delivery.begin()
        run.move_optimizer(self.device)
        # What earlier epochs recorded beyond where this one begins does not count any more.
        self.weights_store.record_best(run, run.validation_scores)
        self._catch_up(iteration)
        self._train(iteration, stop, save_snapshots)
        self.delivery.finish(stop)
        self.stats_store.compact(run)

    def _note(self, text: str) -> None:
        """Add a note to the stored config of the run, if it is stored, and has none of that text."""
        store = create_config_store()
        with suppress(NotFound):
            if all(note.text != text for note in store.notes("runs", self.run)):
                store.note("runs", self.run, text)

    def _train(self, iteration: int, stop: StopRequest, save_snapshots: bool) -> None:
        """Train from an iteration to the end."""
        run = self.run
        if iteration >= run.train_until:
            logger.info("run %s is trained: it has reached iteration %d", run.key, iteration)
            return
        snapshots = create_array_store().snapshot_container(run.key) if save_snapshots else None
        run.trainer.build_batch_provider(run.datasplit.train, run.model, run.task, snapshots)
        # Imported here: it imports torch.
        from .experiments.threads import room_for_workers

        progress = Progress(f"training {run.key}", run.train_until, iteration)
        with room_for_workers(self.device), run.trainer as trainer, progress:
            run.model.train()
            steps = trainer.iterate(run.train_until - iteration, run.model, run.optimizer, self.device)
            for stats in steps:
                run.training_stats.add_iteration_stats(stats)
                progress.advance(note=f"loss {stats.loss:.4f}")
                self._after(stats.iteration + 1, stop)

    def _after(self, reached: int, stop: StopRequest) -> None:
        """Store what is due once ``reached`` iterations are done."""
        self.lease.raise_if_lost()
        run, config = self.run, self.run.config
        last = reached == run.train_until
        # Read once: a request that comes while something is stored waits for the next iteration.
        signal = stop.signal
        valid = last or reached % run.validation_interval == 0
        extra = config.checkpoint_interval is not None and reached % config.checkpoint_interval == 0
        if valid or extra or signal:
            self.delivery.checkpoint()
            self.stored_at = time.monotonic()
        elif time.monotonic() - self.stored_at > SECONDS_BETWEEN_STORES:
            self.delivery.persist()
            self.stored_at = time.monotonic()
        if signal is not None and not last:
            where = (
                f" in {self.delivery.spool.folder}, for the store is away" if self.delivery.leave() else ""
            )
            raise Stopped(
                f"run {run.key}: asked to stop by {signal.name}; iteration {reached} of "
                f"{run.train_until} is kept as a checkpoint{where}; go on with  dacapo train {run.key}"
            )
        if valid and self.do_validate:
            self._validate(reached)

    def _catch_up(self, iteration: int) -> None:
        """Validate the checkpoint to go on from, if it was due and the last process did not get to it."""
        due = iteration and (
            iteration % self.run.validation_interval == 0 or iteration == self.run.train_until
        )
        done = {scores.iteration for scores in self.run.validation_scores.scores}
        if self.do_validate and due and iteration not in done:
            self._validate(iteration)

    def _validate(self, iteration: int) -> None:
        try:
            validate_run(self.run, iteration, device=self.device, lease=self.lease)
        except StoreUnreachable as error:
            self.delivery.validated(error)
        self.run.model.train()
