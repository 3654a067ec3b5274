"""Who holds a run: what others are told, and how they find out that a process is gone."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import attrs

from dacapo.documents import Document
from dacapo.provenance import user

SECONDS = 60.0  # after which a holder that gives no sign of life loses its lease
# Where schedulers tell a job its number.
JOBS = {"SLURM_JOB_ID": "SLURM", "LSB_JOBID": "LSF", "PBS_JOBID": "PBS", "JOB_ID": "SGE"}


@attrs.frozen(kw_only=True)
class Holder:
    """The process that holds a run; ``since`` is by its own clock, for people to read.

    ``machine`` and ``started`` tell its process from all others that had or will have its number,
    where the system lets one know.
    """

    user: str = "somebody"
    host: str = "an unknown host"
    pid: int | None = None
    job: str | None = None
    doing: str = "hold"
    since: str | None = None
    seconds: float = SECONDS
    machine: str | None = None
    started: str | None = None

    @classmethod
    def here(cls, doing: str, seconds: float = SECONDS) -> Self:
        """Describe this process."""
        pid = os.getpid()
        return cls(
            user=user(),
            host=socket.gethostname(),
            pid=pid,
            job=_job(),
            doing=doing,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=seconds,
            machine=machine(),
            started=_started(pid),
        )

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read what a claim says of its holder; what it does not say, or not well, is left open."""
        known: dict[str, Any] = {
            field.name: document[field.name]
            for field in attrs.fields(cls)
            if document.get(field.name) is not None
        }
        seconds = known.get("seconds")
        if not isinstance(seconds, int | float) or not 0 < seconds < 1e6:
            known.pop("seconds", None)
        return cls(**known)

    def write(self) -> Document:
        """Return it as a claim keeps it."""
        return attrs.asdict(self)

    def __str__(self) -> str:
        inside = [f"pid {self.pid}"] if self.pid is not None else []
        inside += [self.job] if self.job else []
        return f"{self.user} on {self.host}" + (f" ({', '.join(inside)})" if inside else "")

    def is_gone(self) -> bool:
        """Say whether the process is known to have ended: it ran on this machine, and is not there now.

        Of processes on other machines, in other containers, or before a reboot nothing is known.
        """
        if self.machine is None or self.pid is None or self.started is None or self.machine != machine():
            return False
        return _started(self.pid) != self.started


@cache
def machine() -> str | None:
    """Return what tells this machine, since it was started, and this container from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {socket.gethostname()}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Return when a process was started, in ticks since the machine was; None if it has ended."""
    try:
        # The name, in brackets, may hold spaces and brackets itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _job() -> str | None:
    found = (f"{name} job {os.environ[key]}" for key, name in JOBS.items() if os.environ.get(key))
    return next(found, None)
