"""What MongoDB stores keep when the server is killed, when its answers are lost, and when it refuses: counts.

    python -m benchmarks.mongo_faults [--quick]

Servers of its own are started, one standing alone and a replica set of one.  Each count has to
be what the target says.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dacapo.errors import StoreUnreachable
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.mongo.server import Server

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from mongod import Mongod  # noqa: E402
from proxy import Proxy  # noqa: E402
from server_faults import (  # noqa: E402
    FAULTS,
    KINDS,
    failing,
    kill_and_restart,
    meet,
    quick_to_see,
    unpublished,
    wrong,
)

SERVERS = {"replica set": "rs0", "standalone": None}
LIMIT = 2.0


@contextmanager
def server(replica_set: str | None) -> Any:
    """Yield a server that may be killed."""
    with tempfile.TemporaryDirectory() as folder:
        started = Mongod(Path(folder), replica_set).start()
        try:
            yield started
        finally:
            connection.close_all()
            started.stop()


def killed(kind: str, kills: int) -> dict[str, str]:
    """Count what is lost of what was acknowledged."""
    with server(SERVERS[kind]) as one:
        acknowledged, lost = kill_and_restart(one, kills)
    how = f"{kills} x kill -9 under a writer of each of {len(acknowledged)} kinds; all else stored once"
    figure = f"{lost} of {sum(acknowledged.values())}"
    return row(f"acknowledged writes lost, {kind}", figure, "0", how)


def failed(kind: str, rounds: int) -> dict[str, str]:
    """Count the writes that were done more or less than once when the server fails them."""
    calls: Counter[str] = Counter()
    missed = 0
    with server(SERVERS[kind]) as one:
        backend = MongoBackend(quick_to_see(one.uri), "lab")
        for _ in range(rounds):
            for fault in FAULTS.values():
                for write in KINDS:
                    if write.before:
                        write.before(backend, calls[write.name])
                    with failing(one.uri, write.command, fault) as hits:
                        meet(backend, write, calls[write.name])
                        missed += hits() != 1
                    calls[write.name] += 1
        missed += _wrong(backend, calls)
    how = f"failCommand, {len(FAULTS)} faults x {len(KINDS)} kinds of write x {rounds}: {', '.join(FAULTS)}"
    return row(f"writes not done once, {kind}", f"{missed} of {sum(calls.values())}", "0", how)


def cut(kind: str, rounds: int) -> dict[str, str]:
    """Count the same when the network loses the answer of a write that was done."""
    calls: Counter[str] = Counter()
    with server(SERVERS[kind]) as one:
        between = Proxy(one.port)
        backend = MongoBackend(quick_to_see(between.uri), "lab")
        for number in range(rounds):
            for write in KINDS:
                if write.before:
                    write.before(backend, number)
                between.cut_after, between.cuts = write.command.encode(), 1
                meet(backend, write, number)
                calls[write.name] += 1
        missed = _wrong(backend, calls)
        connection.close_all()
        between.close()
    how = f"answer cut off by a proxy, {rounds} x each of {len(KINDS)} kinds of write"
    return row(f"answers lost, writes not done once, {kind}", f"{missed} of {sum(calls.values())}", "0", how)


def silent(kind: str) -> dict[str, str]:
    """Measure how long the slowest operation waits for a server that was stopped."""
    slowest = 0.0
    with server(SERVERS[kind]) as one:
        backend = MongoBackend(Server(one.uri, timeout=LIMIT), "lab")
        for write in KINDS:
            if write.before:
                write.before(backend, 0)
        one.pause()
        for write in KINDS:
            begin = time.perf_counter()
            try:
                write.write(backend, 1)
            except StoreUnreachable:
                slowest = max(slowest, time.perf_counter() - begin)
        one.go_on()
    how = f"SIGSTOP, each of {len(KINDS)} kinds of write, with mongo_db_timeout: {LIMIT:g}"
    return row(f"slowest to give up, {kind}", f"{slowest:.1f} s", f"about {LIMIT:g} s", how)


def _wrong(backend: MongoBackend, calls: Counter[str]) -> int:
    """Return how many writes are not stored once, and uploads that belong to nothing."""
    return unpublished(backend) + sum(wrong(backend, kind, calls[kind.name]) for kind in KINDS)


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was counted, the figure, the target, how."""
    return list(counted(quick))


def counted(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the same rows, each as soon as it is counted."""
    for kind in SERVERS:
        yield killed(kind, 3 if quick else 25)
        yield cut(kind, 2 if quick else 20)
        yield failed(kind, 1 if quick else 3)
        yield silent(kind)


def row(bar: str, figure: str, target: str, how: str) -> dict[str, str]:
    """Return one line of the table."""
    return {"bar": bar, "figure": figure, "target": target, "how": how}


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in counted("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one), flush=True)


if __name__ == "__main__":
    main()
