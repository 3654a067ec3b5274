"""Leases: a run is trained, validated or deleted by one process at a time.

Who takes a run takes its next number, which nobody else can get; the newest number is that of
the lawful holder.  The holder gives signs of life from a thread beside; once they stay away
for as long as it said, others may take the run.  What it writes after that is not read by
anybody (see ``history``), and it is stopped by ``LeaseLost`` when it finds out.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Any, NoReturn, Self

from dacapo.documents import Document
from dacapo.errors import LeaseHeld, LeaseLost, StoreError
from dacapo.names import Repeated, run_key

from . import history, ranking
from .backend import Claim, Epoch, StoreBackend
from .holder import SECONDS, Holder

logger = logging.getLogger(__name__)

BEATS = 4  # signs of life in the time after which a lease ends
_LOOKS = 40
# Holders of this process that have let go and could not say so, by place, run and number.
_let_go: dict[tuple[str, str, int], Document] = {}


class Watch:
    """Tells holders that have ceased to give signs of life, over as many looks as one likes.

    Where the store has a clock for all, that decides.  Elsewhere no clock can be trusted but one's own: a
    holder has ceased if its count stood still while one looked on for as long as its lease holds.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[Claim, float]] = {}

    def has_ceased(self, backend: StoreBackend, run: str, claim: Claim) -> bool:
        """Say whether the holder of an open claim, as read just now, may be taken for dead."""
        holder = Holder.read(claim.holder)
        if holder.is_gone() or _let_go.get((backend.place, run, claim.number)) == claim.holder:
            return True
        if backend.keeps_time:
            return claim.idle is not None and claim.idle > holder.seconds
        now, key = time.monotonic(), (backend.place, run)
        seen, since = self._seen.setdefault(key, (claim, now))
        if seen != claim:
            self._seen[key] = claim, now
            return False
        return now - since > holder.seconds


class Lease:
    """What lets this process write to a run; ``take`` gives one.

    Leaving it as a context, or ``release``, lets others have the run at once.  It is not for
    another process: one that was forked cannot go on with it.
    """

    def __init__(self, backend: StoreBackend, run: str, claim: Claim) -> None:
        self.backend, self.run = backend, run
        self.holder = Holder.read(claim.holder)
        self.begun: Epoch | None = None
        self._claim = claim
        self._found = history.found(backend, run)
        self._renewed = time.monotonic()
        self._lost: LeaseLost | None = None
        self._turn = threading.RLock()  # the number changes when nobody is about to renew it
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._live, name=f"lease of {run}", daemon=True)
        if not claim.released:
            self._heart.start()

    def __repr__(self) -> str:
        return f"Lease({self.run!r}, {self.number}, {self.holder.doing!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def number(self) -> int:
        """The fencing token: whoever holds a higher one is who the run belongs to."""
        return self._claim.number

    def begin(self, start: int | None = None, checkpoint: str | None = None) -> int:
        """Go on with the run from an iteration, or from where it ends; return the number of the epoch.

        What earlier epochs wrote at or after ``start`` is no longer read, and what they wrote
        since this lease was taken, or will write, neither.  Of checkpoints at ``start`` itself
        only that called ``checkpoint`` stays, from which the run was restored; "" is none, and
        None any.  Beginning again takes the next number.  Raises ``LeaseLost`` if somebody else
        took the run.
        """
        with self._turn:
            if self.begun is not None:
                self._take_next()
            else:
                self.confirm()
            start = self.end() if start is None else start
            epoch = Epoch(self.number, start, history.cut(self._found, start, checkpoint))
            if not self.backend.add_epoch(self.run, epoch):
                self._lose()
            self.begun = epoch
            if any(part.scores for part in epoch.past or ()):
                ranking.epoch_began(self.backend, self.run, epoch.number)
            return epoch.number

    def raise_if_lost(self) -> None:
        """Raise ``LeaseLost`` if it is known that somebody else took the run; asks nobody."""
        if self._lost is not None:
            raise self._lost

    def check(self) -> None:
        """Raise ``LeaseLost`` if the lease is lost.

        After a time without signs of life the store is asked, so that a process that was asleep
        finds out before it does anything.  Raises ``StoreUnreachable`` if there is no answer.
        """
        self.raise_if_lost()
        if time.monotonic() - self._renewed > self.holder.seconds:
            self._renew()

    def confirm(self) -> None:
        """Ask the store whether this lease still is the newest; raises ``LeaseLost`` if not."""
        self.check()
        with self._turn:
            newest = self.backend.newest_claim(self.run)
            if newest is None or newest.number != self.number or newest.released != self._claim.released:
                self._lose()

    def release(self) -> None:
        """Let the run go, so that others may have it at once; a lease that is lost is left alone.

        A store that cannot be reached or written does not keep anybody from ending: then the lease
        runs out, and only this process knows sooner that it has ended.
        """
        self.stop_beating()
        with self._turn:
            if self._lost is not None:
                return
            self._lost = LeaseLost(
                f"run {self.run}: this lease was released; take another one to go on with the run"
            )
            if self._claim.released:
                return
            try:
                self.backend.release_claim(self.run, self.number)
            except StoreError as error:
                _let_go[self.backend.place, self.run, self.number] = self._claim.holder
                logger.warning(
                    "run %s: its lease could not be released, and ends by itself in %g s: %s",
                    self.run, self.holder.seconds, error,
                )  # fmt: skip

    def stop_beating(self) -> None:
        """Give no more signs of life, as if asleep: the lease then runs out by itself."""
        self._ended.set()

    def _take_next(self) -> None:
        """Take the next number for an epoch of the same holder."""
        self.check()
        newest = self.backend.newest_claim(self.run)
        claim = Claim(self.number + 1, self._claim.holder, released=self._claim.released)
        if newest is None or newest.number != self.number or not self.backend.claim(self.run, claim, newest):
            self._lose()
        self._claim, self.begun = claim, None
        self._found = history.found(self.backend, self.run)

    def end(self) -> int:
        """Return the iteration from which to begin so that no stats and scores that count are cut."""
        reached = [part.stats for part in self._found if part.stats is not None]
        scored = [
            record.iteration
            for part in self._found
            if part.scores
            for record in self.backend.scores(self.run, part.number)[: part.scores]
            if part.cut is None or record.iteration <= part.cut
        ]
        return max([*reached, *scored], default=0)

    def _live(self) -> None:
        """Give signs of life until the lease ends."""
        while not self._ended.wait(self.holder.seconds / BEATS):
            try:
                self._renew()
            except LeaseLost as error:
                logger.warning("%s", error)
                return
            except StoreError as error:
                logger.warning("run %s: no sign of life could be given: %s", self.run, error)

    def _renew(self) -> None:
        with self._turn:
            self.raise_if_lost()
            before = time.monotonic()
            if not self.backend.renew_claim(self.run, self.number):
                self._lose()
            self._renewed = before

    def _lose(self) -> NoReturn:
        """Note and raise that somebody else has the run, naming them if they can be found."""
        newest = self.backend.newest_claim(self.run)
        if newest is None or newest.number == self.number:
            reason = "its record is gone from the store"
        else:
            reason = f"it was taken over by {_told(newest)}"
        self._lost = LeaseLost(
            f"run {self.run}: the lease on it is lost: {reason}. This process had given no sign of life for "
            f"too long, and stops; nothing that it wrote since then counts. See who has the run with  "
            f"dacapo run show {self.run}"
        )
        self._ended.set()
        raise self._lost


def take(
    backend: StoreBackend,
    run: str | Repeated,
    doing: str,
    *,
    seconds: float = SECONDS,
    watch: Watch | None = None,
    held: bool = True,
) -> Lease:
    """Take a run to do something with it (``train``, ``validate``, ``delete``), as nobody else can.

    The lease ends if there are no signs of life for ``seconds``.  Raises ``LeaseHeld``, naming the
    holder, if somebody else has the run.  A holder that seems to be dead is looked at until that
    is certain, which takes no longer than its lease; with a ``watch`` it is looked at only once.
    What is not ``held`` gives no signs of life and keeps nobody away: it only takes the number.
    """
    key = run_key(run)
    while True:
        newest = backend.newest_claim(key)
        if newest is not None and not newest.released:
            _refuse_if_alive(backend, key, doing, newest, watch)
        number = _after(newest, backend.newest_epoch(key))
        claim = Claim(number, Holder.here(doing, seconds).write(), released=not held)
        if backend.claim(key, claim, newest):
            _let_go.pop((backend.place, key, number), None)
            if newest is not None and not newest.released:
                logger.warning("run %s: taken over from %s", key, _told(newest))
            return Lease(backend, key, claim)


def next_number(backend: StoreBackend, run: str) -> int:
    """Return the number that the next lease of a run gets, if nobody is quicker."""
    return _after(backend.newest_claim(run), backend.newest_epoch(run))


def _after(newest: Claim | None, epoch: int | None) -> int:
    return 1 + max(-1 if newest is None else newest.number, -1 if epoch is None else epoch)


def begin_unheld(
    backend: StoreBackend, run: str, start: int | None = None, checkpoint: str | None = None
) -> int:
    """Take the next number of a run without holding it, and begin an epoch; see ``Lease.begin``.

    That is for scripts that write to a run which nobody holds; they find out that another has gone
    on with it when that one has.
    """
    with take(backend, run, "begin an epoch of", held=False) as lease:
        return lease.begin(start, checkpoint)


def make_sure_that_nobody_holds(backend: StoreBackend, run: str, doing: str) -> None:
    """Raise ``LeaseHeld`` if somebody holds a run; the claim of one who is dead is ended."""
    newest = backend.newest_claim(run)
    if newest is not None and not newest.released:
        take(backend, run, doing, held=False).release()


def _refuse_if_alive(backend: StoreBackend, run: str, doing: str, claim: Claim, watch: Watch | None) -> None:
    """Return once the holder of a claim is certainly dead or has let go; raise if it is alive."""
    seconds = Holder.read(claim.holder).seconds
    patient, watch = watch is None, watch or Watch()
    first: Claim | None = claim
    told = False
    while claim == first and not watch.has_ceased(backend, run, claim):
        if not patient or (claim.idle is not None and claim.idle <= seconds):
            raise LeaseHeld(refusal(run, doing, claim))
        if not told:
            logger.warning("run %s: watching for %g s whether %s is alive", run, seconds, _told(claim))
            told = True
        time.sleep(seconds / _LOOKS)
        first = backend.newest_claim(run)
        if first is not None and first != claim and not first.released:
            raise LeaseHeld(refusal(run, doing, first))


def refusal(run: str, doing: str, claim: Claim) -> str:
    """Say who holds a run, and what whoever wanted it can do now."""
    holder = Holder.read(claim.holder)
    return (
        f"run {run} cannot be taken to {doing} it: it is held by {_told(claim)}. Wait for its end, "
        f"or stop it there; if it has died, its lease ends {holder.seconds:g} s after its last sign of life: "
        "then try again"
    )


def held(claim: Claim) -> dict[str, Any]:
    """Return as plain data who holds a run, what for, and whether that process is ``held`` or ``lost``.

    It is lost if it has ended without releasing the run, or has given no sign of life for too long.
    """
    holder = Holder.read(claim.holder)
    is_lost = holder.is_gone() or (claim.idle is not None and claim.idle > holder.seconds)
    told = {name: getattr(holder, name) for name in ("doing", "user", "host", "pid", "job", "since")}
    return {"state": "lost" if is_lost else "held", **told, "idle": claim.idle}


def in_words(claim: Claim) -> str:
    """Say in a few words who holds a run: ``train: ann on gpu7 (pid 41)``, or that they are lost."""
    holder, idle = Holder.read(claim.holder), claim.idle
    beat = "" if idle is None else f", last sign of life {idle:.0f} s ago"
    return f"lost: {holder}{beat}" if held(claim)["state"] == "lost" else f"{holder.doing}: {holder}"


def _told(claim: Claim) -> str:
    holder = Holder.read(claim.holder)
    since = f" since {holder.since}" if holder.since else ""
    beat = "" if claim.idle is None else f", last sign of life {claim.idle:.0f} s ago"
    return f"{holder} to {holder.doing} it{since}{beat}"
