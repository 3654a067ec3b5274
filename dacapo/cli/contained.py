"""Doing something with other people's code in a process of its own.

What crashes, leaves or hangs there takes nobody else along, and is told apart from the rest.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from dacapo.registry import Offer

# What an import prints of its own must not be taken for a report.
MARK = "\x1e"


@attrs.frozen
class Ended:
    """That the process came to its end over something, and how."""

    how: str


def each(module: str, offers: Sequence[Offer], seconds: float) -> dict[Offer, Any]:
    """Return what ``python -m module`` reports of each offer, or how it ``Ended`` over it.

    Every package gets a process, and another one each time it has ended one.
    """
    found: dict[Offer, Any] = {}
    for dist in dict.fromkeys(offer.dist for offer in offers):
        left = [offer for offer in offers if offer.dist == dist]
        while left:
            reports, how = _in_process(module, left, seconds)
            found |= dict(zip(left, reports, strict=False))
            left = left[len(reports) :]
            if left:
                found[left.pop(0)] = Ended(how)
    return found


def report_each(report: Callable[[Offer], Any]) -> None:
    """Print a report, plain data, on each offer of the command line: what runs in the process."""
    for argument in sys.argv[1:]:
        answer = json.dumps(report(Offer(*json.loads(argument))))
        print("\n" + MARK + answer, file=sys.__stdout__, flush=True)


def _in_process(module: str, offers: Sequence[Offer], seconds: float) -> tuple[list[Any], str]:
    """Return the reports that were got to, and why it ended if it did not get to all."""
    command = [sys.executable, "-m", module, *(json.dumps(attrs.astuple(offer)) for offer in offers)]
    how = f"hangs, for more than {seconds:g} seconds"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        last = done.stderr.strip().rpartition("\n")[2]
        how = f"ends the process (exit code {done.returncode}{f': {last}' if last else ''})"
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
    return [json.loads(line[1:]) for line in output.split("\n") if line.startswith(MARK)], how
