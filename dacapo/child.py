"""A command in a process of its own, whose messages are passed on and whose last one is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

_LONGEST = 2000


class Child:
    """A running command; use it as a context, which ends it if it is still there.

    It begins a session of its own, so that Ctrl-C on a terminal reaches it only through
    whoever started it.  Its messages go through a file: should its starter die, it can still
    write them.
    """

    def __init__(self, command: list[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._shown = 0
        self._tail = b""
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=self._log, start_new_session=True
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def poll(self) -> int | None:
        """Pass on new messages; return the exit code once the command has ended."""
        code = self.process.poll()
        while data := os.pread(self._log.fileno(), 2**16, self._shown):
            self._shown += len(data)
            self._tail = (self._tail + data)[-_LONGEST:]
            sys.stderr.write(data.decode(errors="replace"))
            sys.stderr.flush()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        self.process.send_signal(number)

    def last_line(self) -> str:
        """Return the last line of its messages that is not empty."""
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")
