"""How the long forms of the fault tests are run and told; each is a function that returns a row.

A form is given an empty folder and whether to be quick.  Whatever goes wrong raises.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dacapo.store.mongo import connection
from mongod import Mongod

Row = dict[str, str]
Form = Callable[[Path, bool], Row]
SERVERS = {"replica set": "rs0", "standalone": None}


def row(bar: str, figure: str, how: str, target: str = "0") -> Row:
    """Return one line of the table."""
    return {"bar": bar, "figure": figure, "target": target, "how": how}


def measure_all(forms: Sequence[Form], quick: bool, chosen: Sequence[str] = ()) -> list[Row]:
    """Run forms, or those chosen by name, one after the other; tell each as it ends."""
    rows = []
    for form in forms:
        if chosen and form.__name__ not in chosen:
            continue
        folder = Path(tempfile.mkdtemp())
        try:
            begin = time.monotonic()
            rows.append(form(folder, quick))
            took = time.monotonic() - begin
            print(f"{rows[-1]['bar']}: {rows[-1]['figure']} ({rows[-1]['how']}; {took:.0f} s)", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return rows


def main(measure: Callable[[bool, Sequence[str]], list[Row]]) -> None:
    """Run what the command line names: ``[--quick] [NAME ...]``."""
    logging.disable(logging.WARNING)  # every fault is told, which is what is wanted elsewhere
    measure("--quick" in sys.argv, [name for name in sys.argv[1:] if not name.startswith("-")])


@contextmanager
def server(folder: Path, replica_set: str | None = "rs0") -> Iterator[Mongod]:
    """Yield a server of one's own, which may be killed."""
    started = Mongod(Path(tempfile.mkdtemp(dir=folder)), replica_set).start()
    try:
        yield started
    finally:
        connection.close_all()
        if started.process:  # it may be stopped, and may be gone
            started.go_on()
        started.stop()


@contextmanager
def options(**values: object) -> Iterator[pytest.MonkeyPatch]:
    """Set options of DaCapo by the environment, as its users do, while the body runs."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in values.items():
            patch.setenv(f"DACAPO_{key.upper()}", str(value))
        yield patch
