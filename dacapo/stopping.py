"""Signals that ask a training to stop, heard without breaking off what it is doing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Becomes true once somebody asks for a stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def hear(self, number: int, frame: FrameType | None = None) -> None:
        """Note the request; the same signal again, from somebody impatient, ends the process at once.

        Another signal than the first does not: schedulers send SIGUSR1 or SIGINT first and SIGTERM
        later, and SIGUSR1, which only gives notice, may be repeated.
        """
        if self.signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal == number == signal.SIGTERM:
            raise SystemExit(128 + number)
        self.signal = signal.Signals(number)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM, SIGINT and SIGUSR1 into a request while the body runs.

    Only the main thread may handle signals; elsewhere the request never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.hear) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
