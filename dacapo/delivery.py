"""Bringing what training makes to the stores, and going on while they cannot be reached."""

from __future__ import annotations

import copy
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .errors import StoreError, StoreUnreachable
from .options import Options
from .stopping import StopRequest
from .store.spool import Spool

if TYPE_CHECKING:
    from .experiments.run import Run
    from .store.backend import Epoch, StoreBackend
    from .store.stats_store import StatsStore
    from .store.weights_store import Weights, WeightsStore

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 5.0  # at a store that did not answer
SECONDS_BETWEEN_LINES = 30.0
SECONDS_TO_WAIT = 3600.0  # at the end of training


class Delivery:
    """Stores the stats, scores and checkpoints of one training, in this order.

    While a store cannot be reached nothing is lost: stats and scores stay in memory, of the
    checkpoints the newest, and all of it is delivered once there is an answer.  A thread looks
    for that, so that training need not wait.
    """

    def __init__(self, run: Run, stats_store: StatsStore, weights_store: WeightsStore) -> None:
        self.run, self.stats_store, self.weights_store = run, stats_store, weights_store
        self.spool = Spool(Options.instance().runs_base_dir, run)
        self._epoch: Epoch | None = None
        self._outage: _Outage | None = None
        self._waiting: tuple[int, Weights] | None = None
        self._unrecorded = False

    def deliver_spool(self) -> None:
        """Deliver what an earlier training had to leave behind; comes before the run is resumed."""
        self._unrecorded = self.spool.deliver(self.stats_store, self.weights_store)

    def begin(self) -> None:
        """Note under which epoch the run is trained, once it is resumed."""
        self._epoch = self.stats_store.epochs(self.run)[-1]
        if self._unrecorded:
            self.weights_store.record_best(self.run, self.run.validation_scores)
            self._unrecorded = False

    def persist(self) -> bool:
        """Store what is new, and what has waited; return False if it has to wait."""
        if self._outage is not None and not self._outage.is_over():
            return False
        try:
            self.run.persist(self.stats_store)
            self._deliver_waiting()
        except StoreUnreachable as error:
            self._note(error)
            return False
        if self._outage is not None:
            logger.warning(
                "run %s: the store is back after %.0f s; stats up to iteration %d are delivered",
                self.run.key, self._outage.seconds(), self.run.training_stats.trained_until(),
            )  # fmt: skip
            self._outage = None
        return True

    def checkpoint(self) -> None:
        """Store a checkpoint, or keep it in memory until the stats before it are stored."""
        # Stats first: a checkpoint without its stats would leave a gap in them, the other way
        # round the stats are only cut back to the checkpoint.
        if self.persist():
            try:
                self.run.checkpoint(self.weights_store)
                return
            except StoreUnreachable as error:
                self._note(error)
        iteration = self.run.training_stats.trained_until()
        self._waiting = iteration, _copied(self.run.checkpoint_weights())

    def validated(self, error: StoreUnreachable) -> None:
        """Note that a validation could not store its scores; they are delivered with the stats."""
        self._note(error)
        self._unrecorded = True

    def leave(self) -> bool:
        """Keep what could not be delivered in files; return False if there is nothing."""
        if self.persist():
            return False
        scores = self.run.__dict__.get("validation_scores")
        assert self._epoch is not None
        self.spool.write(self._epoch, self.run.training_stats, scores, self._waiting)
        return True

    def finish(self, stop: StopRequest) -> None:
        """Wait at the end until all is delivered; raises ``StoreUnreachable`` if that takes too long.

        What is not delivered is in files then, and before: whatever ends the waiting, nothing is lost.
        """
        if not self.leave():
            return
        begun = told = time.monotonic()
        self._tell(SECONDS_TO_WAIT)
        while (left := begun + SECONDS_TO_WAIT - time.monotonic()) > 0 and not stop:
            if self.persist():
                self.spool.remove()
                return
            if time.monotonic() - told > SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                self._tell(left)
            time.sleep(min(0.2, SECONDS_BETWEEN_LOOKS))
        raise StoreUnreachable(
            f"run {self.run.key} is trained, but the store still cannot be reached ({self._reason()}). "
            f"Its stats, scores and last checkpoint wait in {self.spool.folder}; once there is an answer, "
            f"deliver them with  dacapo train {self.run.key}"
        )

    def _tell(self, left: float) -> None:
        reached = self.run.training_stats.trained_until()
        print(
            f"run {self.run.key}: trained to iteration {reached}; waiting for the store to take what is not "
            f"delivered yet, for {left / 60:.0f} min more (it is safe in {self.spool.folder})",
            file=sys.stderr,
            flush=True,
        )

    def _reason(self) -> str:
        return "" if self._outage is None else str(self._outage.error)

    def _deliver_waiting(self) -> None:
        if self._waiting is not None:
            iteration, weights = self._waiting
            if not self.weights_store.is_whole(self.run, iteration):
                self.weights_store.store_weights(self.run, iteration, weights)
            self._waiting = None
            self._unrecorded = True  # scores that were stored meanwhile may have found it best
        if self._unrecorded:
            self.weights_store.record_best(self.run, self.run.validation_scores)
            self._unrecorded = False

    def _note(self, error: StoreUnreachable) -> None:
        """Begin an outage, or go on with it, and say so once."""
        if self._outage is None:
            logger.warning(
                "run %s: the store cannot be reached. Training goes on; stats are kept in memory and "
                "checkpoints wait until it is back (%s)",
                self.run.key, error,
            )  # fmt: skip
            self._outage = _Outage(self.stats_store.backend, self.run.key, error)
        else:
            self._outage.go_on(error)


class _Outage:
    """The time in which a store does not answer, and a thread that asks it."""

    def __init__(self, backend: StoreBackend, key: str, error: StoreUnreachable) -> None:
        self._backend, self._key, self._since = backend, key, time.monotonic()
        self.go_on(error)

    def go_on(self, error: StoreUnreachable) -> None:
        self.error, self._over = error, threading.Event()
        threading.Thread(target=self._look, args=(self._over,), daemon=True).start()

    def is_over(self) -> bool:
        return self._over.is_set()

    def seconds(self) -> float:
        return time.monotonic() - self._since

    def _look(self, over: threading.Event) -> None:
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            try:
                self._backend.newest_epoch(self._key)
            except StoreUnreachable:
                continue
            except StoreError:  # it answers; whoever writes next finds out what is wrong
                pass
            over.set()
            return


def _copied(weights: Weights) -> Weights:
    """Return weights that training does not change any more, in the memory of the host."""
    known: dict[tuple[Any, ...], Any] = {}

    def copied(value: Any) -> Any:
        if hasattr(value, "detach"):
            # Tensors that share their memory go on doing so.
            place = value.data_ptr(), value.shape, value.stride(), value.dtype
            return known.setdefault(place, value.detach().to("cpu", copy=True))
        if isinstance(value, dict):
            return {key: copied(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(copied(item) for item in value)
        return copy.deepcopy(value)

    fields = ("model", "optimizer", "scheduler", "random_state")
    return type(weights)(**{field: copied(getattr(weights, field)) for field in fields})
