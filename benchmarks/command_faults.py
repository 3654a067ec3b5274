"""Every verb with a store that is away, a password that must not show, and accounts that may little: counts.

python -m benchmarks.command_faults [--quick] [NAME ...]
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import every_verb
import guarded
import psutil
import pymongo
import yaml
from click.testing import CliRunner, Result
from every_verb import VERBS, WITHOUT_A_STORE, path_of

from dacapo.cli import cli
from dacapo.documents import write
from dacapo.errors import NotAllowed
from dacapo.options import Options
from dacapo.store.create_store import create_config_store, create_stats_store, create_weights_store
from dacapo.store.mongo import MongoBackend, backend, connection
from dacapo.testing import stores, tiny_run
from mongo_places import MongoPlace, empty, fresh_place
from proxy import Proxy

from .long_forms import SERVERS, Row, main, measure_all, options, row, server

CANARY = guarded.PASSWORD
TIMEOUT, LIMIT = 1.0, 10.0  # seconds; a verb may ask more than once, and imports what it needs
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, with the files that the verbs name."""
    before = Path.cwd()
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    try:
        every_verb.write_files()
        yield
    finally:
        os.chdir(before)


def call(*arguments: str) -> Result:
    """Call the command line as its users do."""
    backend._opened.clear()
    return CliRunner().invoke(cli, arguments)


def use(uri: str, name: str = "lab") -> dict[str, object]:
    """Return options that name a database, as environment and as the options file from.yaml."""
    given = {"type": "mongo", "mongo_db_host": uri, "mongo_db_name": name, "weights": "mongo"}
    Path("from.yaml").write_text(yaml.safe_dump(given))
    Path("from.yaml").chmod(0o600)
    return {**given, "runs_base_dir": Path("runs").absolute()}


def store_away(folder: Path, quick: bool) -> Row:
    """Every verb, with a network that swallows all, a server that is stopped, and none."""
    asking = [verb for verb in VERBS if path_of(verb) not in WITHOUT_A_STORE]
    calls, slowest, slowest_verb = 0, 0.0, ""
    with inside(folder / "here"):
        with options(runs_base_dir=folder / "files"):  # something to import
            for verb in (("run", "create", "run.yaml"), ("export", "tiny", "tiny.zip")):
                assert call(*verb).exit_code == 0
        for replica_set in SERVERS.values():
            with server(folder, replica_set) as one:
                with options(**use(one.uri)):
                    assert call("store", "init").exit_code == 0
                between = Proxy(one.port)
                for fault in ("black hole", "stopped", "gone"):
                    between.black_hole = fault == "black hole"
                    one.pause() if fault == "stopped" else one.go_on()
                    if fault == "gone":
                        one.kill()
                    for verb in asking:
                        connection.close_all()
                        with options(**use(between.uri if fault == "black hole" else one.uri)):
                            begin = time.monotonic()
                            called = call("--timeout", str(TIMEOUT), *verb)
                            took = time.monotonic() - begin
                        assert called.exit_code == 5, (fault, verb, called.exit_code, called.output)
                        assert "Check that the server runs" in called.stderr, (verb, called.stderr)
                        assert took < LIMIT, (fault, verb, took)
                        calls += 1
                        if took > slowest:
                            slowest, slowest_verb = took, path_of(verb)
                connection.close_all()
                between.close()
    return row(
        "P9 every verb without its store",
        f"{calls} of {calls} ended with exit code 5, in {slowest:.1f} s at most",
        f"{len({*map(path_of, asking)})} verbs x black hole, SIGSTOP, gone x replica set, standalone; "
        f"--timeout {TIMEOUT:g}; slowest: {slowest_verb}",
    )  # fmt: skip


def secrets(folder: Path, quick: bool) -> Row:
    """Every verb at every log level with a password in the URI, and a wrong one: nobody sees or keeps it."""
    calls = 0
    heard = StringIO()
    handler = logging.StreamHandler(heard)  # what is logged, before anything is redacted
    logging.disable(logging.NOTSET)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    processes = _Processes()
    try:
        with server(folder) as one:
            for level in LEVELS[: 1 if quick else None]:
                for fails in (False, True):
                    with fresh_place(one.uri) as mongo, inside(folder / f"{level} {fails}"), processes:
                        calls += _gone_through(mongo, level, fails)
    finally:
        logging.getLogger().removeHandler(handler)
        logging.disable(logging.WARNING)
    assert CANARY not in heard.getvalue() and len(heard.getvalue()) > 10_000
    found = [path for path in folder.rglob("*") if path.is_file() and "mongod" not in path.name]
    shown = [path for path in found if path.name != "from.yaml" and CANARY.encode() in path.read_bytes()]
    assert found and not shown, shown
    assert processes.seen and not [line for line in processes.seen if CANARY in line]
    return row(
        "P17 a password in the URI", f"shown or stored 0 times in {calls} calls",
        f"{len({*map(path_of, VERBS)})} verbs x {1 if quick else len(LEVELS)} log levels, --debug, "
        "password right and wrong: output, raw log records, database, files, reprs, "
        f"{len(processes.seen)} command lines of child processes",
    )  # fmt: skip


def _gone_through(mongo: MongoPlace, level: str, fails: bool) -> int:
    """Go through all verbs as ann, whose password is wrong if it is to fail; return how many there are."""
    with pymongo.MongoClient(mongo.uri) as client:
        client[mongo.name].command("createUser", "ann", pwd=CANARY, roles=["dbOwner"])
    password = f"{CANARY}-wrong" if fails else CANARY
    uri = f"{mongo.uri.replace('//', f'//ann:{password}@')}{mongo.name}"
    codes: Counter[int] = Counter()
    with options(**use(uri, mongo.name)):
        for verb in (*VERBS, ("run", "show", "nobody")):
            called = call("--log-level", level, "--debug", *verb)
            assert CANARY not in called.stdout + called.stderr, verb
            assert fails or called.exit_code == (3 if "nobody" in verb else 0), (verb, called.output)
            codes[called.exit_code] += 1
        if not fails:
            for made in (create_config_store(), create_stats_store(), create_weights_store()):
                inner: Any = made.backend
                told = (made, vars(made), inner, inner._connection.server, inner._connection.client)
                assert CANARY not in "".join(map(repr, told))
            assert CANARY not in repr(Options.instance()) + repr(connection._clients)
            with pymongo.MongoClient(mongo.uri) as client:
                database = client[mongo.name]
                kept = "".join(repr(list(database[name].find())) for name in database.list_collection_names())
            assert len(kept) > 1000 and CANARY not in kept
    connection.close_all()
    assert not fails or codes[1] > 20, codes
    return codes.total()


class _Processes:
    """Notes the command lines of all processes that this one starts, while the body runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __enter__(self) -> None:
        import threading

        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for one in psutil.Process().children(recursive=True):
                try:
                    line = " ".join(one.cmdline())
                except psutil.Error:
                    continue
                if "mongod" not in line:
                    self.seen.add(line)


READING = (
    ("run", "list", "--json"), ("run", "show", "tiny"), ("best", "tiny"), ("stats", "tiny"),
    ("queue", "list"), ("store", "check", "--deep"), ("store", "trash"), ("config",), ("plugins", "list"),
    ("top", "dice"), ("task", "list"),
    ("store", "roles"), ("run", "tag", "tiny"), ("run", "note", "tiny"),
    ("export", "tiny", "seen.zip"), ("store", "upgrade", "--dry-run"),
    ("predict", "tiny", "data/validate.zarr", "raw", "seen", "-i", "2", *every_verb.DEVICE),
)  # fmt: skip


WRITING = (
    ("store", "init"), ("run", "create", "new.yaml"), ("run", "tag", "tiny", "+bad"),
    ("run", "note", "tiny", "mine"), ("run", "archive", "tiny"), ("run", "rename", "tiny", "mine"),
    ("run", "delete", "tiny", "--yes"), ("queue", "add", "tiny"), ("worker", "--once", *every_verb.DEVICE),
    ("train", "tiny", *every_verb.DEVICE), ("validate", "tiny", "-i", "2", *every_verb.DEVICE),
    ("import", "tiny.zip", "--as", "mine"),
)  # fmt: skip


class _SharedPlace:
    """Writes as a trainer and reads as a viewer, as two people do who look at one run."""

    WRITING = frozenset(
        (
            "prepare", "put", "remove", "publish", "claim", "renew_claim", "release_claim", "add_epoch",
            "append_block", "merge_blocks", "append_scores", "remove_stats", "remove_scores", "sweep",
            "move_run", "put_blob", "put_blobs", "remove_blobs", "add_change", "claim_next", "next_ticket",
            "remove_changes", "add", "rank", "unrank",
        )
    )  # fmt: skip

    def __init__(self, trainer: MongoBackend, viewer: MongoBackend, used: Counter[str]) -> None:
        self._trainer, self._viewer, self._used = trainer, viewer, used

    def __getattr__(self, name: str) -> Any:
        writes = name in self.WRITING
        self._used["writing" if writes else "reading"] += 1
        return getattr(self._trainer if writes else self._viewer, name)


def accounts(folder: Path, quick: bool) -> Row:
    """The conformance suite as a trainer, and read by a viewer; all verbs as a viewer."""
    used: Counter[str] = Counter()
    refused = 0
    with guarded.guarded_server(folder / "guarded") as one, inside(folder / "here"):
        guarded.opened(one, "admin")
        place = MongoPlace(guarded.uri_of(one, "root"), "lab")
        for check in stores.CHECKS:
            empty(place)
            check(lambda: guarded.opened(one, "trainer"))
        for check in stores.CHECKS:
            empty(place)
            check(lambda: _SharedPlace(guarded.opened(one, "trainer"), guarded.opened(one, "viewer"), used))
        for check in stores.CHECKS:
            empty(place)
            try:
                check(lambda: guarded.opened(one, "viewer"))
            except NotAllowed:
                refused += 1
        empty(place)
        assert guarded.call(one, "admin", "store", "init").exit_code == 0
        names = {path_of(verb) for verb in VERBS} - {"store init", "store upgrade", "store import-legacy"}
        training = [verb for verb in VERBS if path_of(verb) in names and "copy" not in verb]
        until = next(number for number, verb in enumerate(training) if verb[:2] == ("run", "delete"))
        for verb in training[:until]:
            called = guarded.call(one, "trainer", *verb)
            assert called.exit_code == 0, (verb, called.output)
        for verb in READING:
            called = guarded.call(one, "viewer", *verb)
            assert called.exit_code == 0, (verb, called.output)
        seen = {verb: guarded.call(one, "viewer", *verb).stdout for verb in READING[:4]}
        Path("new.yaml").write_text(yaml.safe_dump(write(tiny_run(Path("data"), name="new"))))
        for verb in WRITING:
            called = guarded.call(one, "viewer", *verb)
            assert called.exit_code == 1, (verb, called.exit_code, called.output)
            assert "this account may not do that: it lacks the right" in called.stderr, (verb, called.stderr)
        assert {verb: guarded.call(one, "viewer", *verb).stdout for verb in READING[:4]} == seen
        for verb in training[until:]:
            assert guarded.call(one, "trainer", *verb).exit_code == 0, verb
    count = len(stores.CHECKS)
    return row(
        "P18 what each account may do",
        f"trainer: {count} of {count} checks, {len(training)} verbs; viewer: {len(READING)} verbs that read",
        f"server with --auth; all {count} checks pass again, read by the viewer; as "
        f"the viewer alone {refused} end with the right that it lacks, as do {len(WRITING)} verbs that write",
    )  # fmt: skip


ALL = (store_away, secrets, accounts)


def measure(quick: bool = False, chosen: Sequence[str] = ()) -> list[Row]:
    """Return a row for every long form; anything that goes wrong raises."""
    return measure_all(ALL, quick, chosen)


if __name__ == "__main__":
    main(measure)
