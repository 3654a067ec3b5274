"""Showing how far a verb has come: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts ``total`` units of work under a title, on standard error."""

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "it") -> None:
        self.title, self.total, self.done, self.unit = title, total, done, unit
        self._begun, self._first, self._last_line = time.monotonic(), done, time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            # Imported here: without a terminal there is no bar.
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, desc=title, unit=unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.done > self._first:
            self._line("")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count ``steps`` as done; ``note`` is shown behind the numbers."""
        self.to(self.done + steps, note)

    def to(self, done: int, note: str = "") -> None:
        """Set the count of what is done."""
        steps, self.done = done - self.done, done
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(steps)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line(note)

    def _line(self, note: str) -> None:
        self._last_line = time.monotonic()
        rate = (self.done - self._first) / max(self._last_line - self._begun, 1e-9)
        text = f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.2f} {self.unit}/s"
        print(f"{text}, {note}" if note else text, file=sys.stderr, flush=True)
