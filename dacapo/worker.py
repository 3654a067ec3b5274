"""A worker: takes queued runs one after the other, and trains each in a process of its own."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from .child import Child
from .config import unknown_parts
from .errors import DacapoError, LeaseHeld, LeaseLost, Stopped, StoreUnreachable
from .resources import machine_resources, write_resources
from .stopping import StopRequest, stop_requests
from .store.create_store import create_queue

if TYPE_CHECKING:
    from .store.lease import Lease
    from .store.queue import Queue, QueueEntry

logger = logging.getLogger(__name__)

VERB = (sys.executable, "-m", "dacapo", "train")
SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_BETWEEN_POLLS = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 3600.0
_SECONDS_TO_REPORT = 60.0  # once asked to stop, with a store that cannot be reached
INTERRUPTED = 130
Answer = TypeVar("Answer")


def work(
    *,
    once: bool = False,
    idle_exit: float | None = None,
    has: Mapping[str, int] | None = None,
    requeue: bool = False,
    arguments: tuple[str, ...] = (),
    seconds_between_looks: float = SECONDS_BETWEEN_LOOKS,
    lease_seconds: float | None = None,
) -> list[QueueEntry]:
    """Train queued runs that this machine is able to train, by priority and age; return what became of them.

    A run is taken if ``has`` (else what this machine has) meets its needs and all its parts can
    be read here.  Each is trained by ``dacapo train RUN``, with further ``arguments``.

    Goes on until nothing was there to do for ``idle_exit`` seconds, or without end; with ``once``
    it ends after one run, and at once if there is none.  SIGTERM, SIGINT and SIGUSR1 are passed on to
    the training, which keeps a checkpoint; then ``Stopped`` is raised.  With ``requeue`` what was
    stopped so is queued again.

    The worker gives signs of life; if they stay away for ``lease_seconds``, others take its run.
    """
    worker = Worker(create_queue(), {**machine_resources(), **(has or {})}, arguments, seconds_between_looks)
    with worker.alive(lease_seconds), stop_requests() as stop:
        worker.go(stop, once, idle_exit, requeue)
    if stop.signal is not None:
        raise Stopped(
            f"the worker on {socket.gethostname()} was asked to stop by {stop.signal.name}, and did"
        )
    return worker.finished


class Worker:
    """One process that takes runs from a queue, one at a time."""

    def __init__(
        self,
        queue: Queue,
        has: Mapping[str, int],
        arguments: tuple[str, ...] = (),
        seconds_between_looks: float = SECONDS_BETWEEN_LOOKS,
        verb: tuple[str, ...] = VERB,
    ) -> None:
        self.verb = verb
        self.queue, self.has, self.arguments = queue, has, arguments
        self.seconds_between_looks = seconds_between_looks
        self.finished: list[QueueEntry] = []
        # What a run has begun with cannot be one of its names: this is no run.
        self.key = f"@worker-{secrets.token_hex(8)}"
        self._is_unsure = False
        self._pauses: dict[str, tuple[float, float]] = {}  # until when runs are passed over; the next pause

    def alive(self, lease_seconds: float | None = None) -> Lease:
        """Return the lease of this worker: while it is held, its runs are not taken for lost."""
        # Imported here, as is the queue: importing DaCapo should not wait for numpy.
        from .store.backend import Claim
        from .store.holder import SECONDS, Holder
        from .store.lease import Lease

        claim = Claim(0, Holder.here("work", lease_seconds or SECONDS).write())
        self.queue.backend.claim(self.key, claim)
        return Lease(self.queue.backend, self.key, claim)

    def go(self, stop: StopRequest, once: bool, idle_exit: float | None, requeue: bool = False) -> None:
        """Train runs until asked to stop, or there is nothing to do."""
        logger.info("worker %s looks for runs that need at most %s", self.key, write_resources(self.has))
        idle_since = time.monotonic()
        while not stop:
            entry = self._insist(self.take, stop)
            if entry is not None:
                self.finished.append(self.train(entry, stop, requeue))
                idle_since = time.monotonic()
            elif once or (idle_exit is not None and time.monotonic() - idle_since >= idle_exit):
                return
            else:
                _sleep(self.seconds_between_looks, stop)
            if once and entry is not None:
                return

    def take(self) -> QueueEntry | None:
        """Claim the next run that can be trained here; None if there is none."""
        for lost in self.queue.recover(self.key):
            logger.warning("run %s is %s: %s", lost.run, lost.state, lost.last.reason)
        while True:
            now = time.monotonic()
            paused = {run for run, (until, _) in self._pauses.items() if until > now}
            # Of a claim whose answer got lost nobody but this worker could tell that it is not worked on.
            found = self.queue.claimed_by(self.key) if self._is_unsure else None
            self._is_unsure = True
            entry = found or self.queue.claim(self.key, self.has, paused)
            self._is_unsure = False
            if entry is None:
                return None
            if (reason := self._hindrance(entry.run)) is None:
                return entry
            self._put_back(entry, f"passed over by a worker on {socket.gethostname()}: {reason}")

    def train(self, entry: QueueEntry, stop: StopRequest, requeue: bool = False) -> QueueEntry:
        """Train a claimed run, and write how it ended."""
        exact = entry.run if ":" in entry.run else f"{entry.run}:0"
        command = [*self.verb, exact, *self.arguments]
        try:
            entry = self._insist(lambda: self.queue.change(entry, "running", worker=self.key), stop)
            with Child(command) as child:
                logger.info("run %s is trained by process %d", entry.run, child.process.pid)
                code = _wait(child, stop)
            return self._insist(lambda: self._end(entry, code, child.last_line(), requeue, stop), stop)
        except LeaseLost as error:
            logger.warning("%s", error)
            return entry

    def _end(
        self, entry: QueueEntry, code: int, message: str, requeue: bool, stop: StopRequest
    ) -> QueueEntry:
        """Write what the exit code of a training means."""
        reason = message.removeprefix("error: ")
        if stop.signal is not None and code == -stop.signal:
            code, reason = Stopped.exit_code, f"ended by {stop.signal.name} before it began"
        if code == LeaseHeld.exit_code:
            return self._put_back(entry, reason)
        self._pauses.pop(entry.run, None)
        if code in (Stopped.exit_code, INTERRUPTED):
            if requeue and stop:
                return self.queue.put_back(entry, reason, self.key)
            ended = self.queue.change(entry, "stopped", reason, self.key)
        elif code == 0:
            ended = self.queue.change(entry, "done", "", self.key)
        else:
            what = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            ended = self.queue.change(entry, "failed", f"{what}: {reason}" if reason else what, self.key)
        logger.info(
            "run %s is %s%s", ended.run, ended.state, f": {ended.last.reason}" if ended.last.reason else ""
        )
        return ended

    def _hindrance(self, run: str) -> str | None:
        """Return why a run cannot be trained here; None if it can."""
        try:
            config = self.queue.config_store.retrieve_run_config(run if ":" in run else f"{run}:0")
        except StoreUnreachable:
            raise
        except DacapoError as error:
            return str(error)
        unknown = unknown_parts(config)
        return str(unknown[0].reason) if unknown else None

    def _put_back(self, entry: QueueEntry, reason: str) -> QueueEntry:
        """Let a run wait again for somebody else, and pass it over for a while that grows each time."""
        _, pause = self._pauses.get(entry.run, (0.0, _FIRST_PAUSE))
        self._pauses[entry.run] = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)
        logger.warning("run %s waits again: %s", entry.run, reason)
        return self.queue.put_back(entry, reason, self.key)

    def _insist(self, action: Callable[[], Answer], stop: StopRequest) -> Answer:
        """Do something with the store, again and again while that cannot be reached."""
        begin = time.monotonic()
        while True:
            try:
                return action()
            except StoreUnreachable as error:
                if stop and time.monotonic() - begin > _SECONDS_TO_REPORT:
                    raise
                logger.warning("%s; trying again", error)
                _sleep(self.seconds_between_looks, stop)


def _wait(child: Child, stop: StopRequest) -> int:
    """Wait until a command ends, and pass on the signal that asks to stop; return the exit code."""
    passed_on = False
    while True:
        try:
            if (code := child.poll()) is not None:
                return code
            if stop.signal is not None and not passed_on:
                child.send(stop.signal)
                passed_on = True
            time.sleep(_SECONDS_BETWEEN_POLLS)
        except KeyboardInterrupt:  # from somebody impatient
            child.send(signal.SIGINT)


def _sleep(seconds: float, stop: StopRequest) -> None:
    """Sleep, but no longer than until asked to stop."""
    until = time.monotonic() + seconds
    while not stop and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SECONDS_BETWEEN_POLLS))
