"""How long it takes to list the runs of a lab, filtered and not, on files and in MongoDB.

    python -m benchmarks.listing [--quick]

The runs are made in bulk, past the store: documents as the store writes them, but not one at a time.
Every listing is made by a store that was opened for it, as a command does.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import pymongo

from dacapo.documents import META, Document, documents
from dacapo.provenance import stamp
from dacapo.store import document_file
from dacapo.store.backend import StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.listing import Query
from dacapo.store.mongo import MongoBackend, finding, records, schema

from .mongo_stores import row, run_config, seconds, server

OWNERS = ("ada", "ben", "cleo", "dan")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def many(count: int) -> Iterator[tuple[str, Document]]:
    """Yield the documents of runs of usual size, of several people, tasks and days."""
    first = documents.write(run_config("run"))
    made = stamp(first)
    for number in range(count):
        stored = (BEGIN + timedelta(minutes=number)).isoformat(timespec="seconds")
        meta = made | {"owner": OWNERS[number % len(OWNERS)], "created": stored, "modified": stored}
        task = first["task_config"] | {"name": f"task-{number % 10}"}
        crops = [{"name": f"crop-{at % 400}", "raw_config": {"name": f"raw-{at % 400}"}}
                 for at in range(number % 1000, number % 1000 + 8)]  # fmt: skip
        split = first["datasplit_config"] | {"train_configs": crops}
        key = f"run-{number:06}"
        yield key, first | {"name": key, "task_config": task, "datasplit_config": split, META: meta}


def fill_files(backend: FileBackend, count: int) -> None:
    """Write run documents as the store does, without forcing each to disk."""
    folder = backend.configs / "runs"
    folder.mkdir(parents=True)
    for key, document in many(count):
        (folder / f"{key}.yaml").write_bytes(document_file.dump(document))


def fill_mongo(backend: MongoBackend, count: int) -> None:
    """Insert run documents as the store writes them, many at a time."""
    there = backend._connection.collection(schema.RUNS)
    entries = []
    for key, document in many(count):
        entries.append(records.write_document(key, document) | finding.listed("runs", document))
        if len(entries) == 1000:
            there.insert_many(entries)
            entries = []
    if entries:
        there.insert_many(entries)


FIELDS = ("owner", "stored", "task", "architecture", "trainer", "datasplit", "iterations")
FILTERS = {
    "everything": Query(),
    "one owner and one task": Query({"owner": ["ada"], "task": ["task-4"]}),
    "one dataset that they use": Query(uses=["crop-7"]),
    "a pattern of the name, since a day": Query(match="run-00*5", since="2026-01-02"),
}


def listings(opened: Callable[[], StoreBackend], where: str, count: int, bar: str) -> list[dict[str, Any]]:
    """Measure listings of all runs of a place, the first one not counted."""
    rows = []
    for words, query in FILTERS.items():
        taken = [seconds(lambda query=query: opened().find("runs", query, FIELDS)) for _ in range(4)]
        how = f"{words}; {len(opened().find('runs', query)):,} found; median of 3, a new store each"
        rows.append(row(f"list {count:,} runs, {where}", f"{median(taken[1:]) * 1e3:.0f} ms", bar, how))
    return rows


def of_files(count: int, bar: str) -> list[dict[str, Any]]:
    """Measure lists of runs in files, with the index warm; and the first one, which makes it."""
    with tempfile.TemporaryDirectory() as folder:
        fill_files(FileBackend(folder), count)
        cold = seconds(lambda: FileBackend(folder).find("runs", Query()))
        rows = listings(lambda: FileBackend(folder), "files", count, bar)
        rows.append(row(f"first list of {count:,} runs, files", f"{cold:.1f} s", "", "makes the index"))
        return rows


def of_mongo(uri: str, count: int, bar: str) -> list[dict[str, Any]]:
    """Measure lists of runs in MongoDB."""
    name = f"dacapo_benchmark_{secrets.token_hex(4)}"
    fill_mongo(MongoBackend(uri, name), count)
    try:
        return listings(lambda: MongoBackend(uri, name), "MongoDB", count, bar)
    finally:
        with pymongo.MongoClient(uri) as client:
            client.drop_database(name)


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return a row for every bar: what was measured, the figure, the target, how."""
    sizes = [(2000, "")] if quick else [(10_000, "≤ 200 ms"), (100_000, "≤ 2000 ms")]
    with server() as uri:
        return [one for count, bar in sizes for one in (*of_mongo(uri, count, bar), *of_files(count, bar))]


def main() -> None:
    """Print the table."""
    print("| bar | figure | target | how |\n|---|---|---|---|")
    for one in measure("--quick" in sys.argv):
        print("| {bar} | {figure} | {target} | {how} |".format(**one))


if __name__ == "__main__":
    main()
