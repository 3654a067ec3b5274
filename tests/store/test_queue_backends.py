"""The queue in files and in MongoDB: what only they can do wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dacapo.errors import NewerFormat
from dacapo.store.backend import StoreBackend
from dacapo.store.files import FileBackend
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.queue_backend import WAITING, Place
from mongo_places import MongoPlace
from proxy import Proxy

# files


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    opened = FileBackend(tmp_path)
    for ticket, run in enumerate("abc"):
        opened.add_change(run, 0, {"state": "queued", "reason": run}, place=Place(0, ticket))
    return opened


def claimed(backend: StoreBackend) -> str | None:
    found = backend.claim_next({"state": "claimed"}, {})
    return found[0] if found else None


def markers(tmp_path: Path) -> list[str]:
    folder = tmp_path / "stats/queue"
    return sorted(path.name for kind in ("waiting/0", "taken") for path in (folder / kind).glob("*"))


def test_every_flipped_byte_of_a_change_is_noticed(tmp_path: Path, backend: FileBackend):
    path = tmp_path / "stats/queue/runs/a/0.json"
    data = path.read_bytes()
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        try:
            assert backend.changes("a") == [{}], at
        except NewerFormat:
            assert data[at : at + 1] == b"1" and at < 40
    assert claimed(FileBackend(tmp_path)) == "b"
    path.write_bytes(data)
    assert claimed(backend) == "a"


def test_a_newer_format_is_refused(tmp_path: Path, backend: FileBackend):
    path = tmp_path / "stats/queue/runs/a/0.json"
    path.write_bytes(path.read_bytes().replace(b"run 1,", b"run 2,", 1))
    with pytest.raises(NewerFormat, match="changed by a newer DaCapo, in format 2; this one knows 1"):
        backend.changes("a")


def test_what_a_crash_leaves_is_put_right(tmp_path: Path, backend: FileBackend):
    """A claim without its marker moved, a marker moved without its claim, one added twice."""
    runs, waiting = tmp_path / "stats/queue/runs", tmp_path / "stats/queue/waiting/0"
    taken = tmp_path / "stats/queue/taken"
    assert claimed(backend) == "a"
    (taken / "000000000000-0-a").rename(waiting / "000000000000-0-a")
    (runs / "b/1.json").hardlink_to(runs / "a/1.json")
    (waiting / "000000000001-0-c").touch()
    (waiting / "000000000003-0-unfinished").touch()
    opened = FileBackend(tmp_path)
    assert claimed(opened) == "c"
    assert opened.claim_next({"state": "claimed"}, {}) is None
    assert sorted(opened.all_changes("taken")) == ["a", "b", "c"]
    (runs / "b/1.json").unlink()
    assert sorted(opened.all_changes("taken")) == ["a", "c"]
    assert claimed(FileBackend(tmp_path)) == "b"
    assert markers(tmp_path) == [
        "000000000000-0-a", "000000000001-0-b", "000000000002-0-c", "000000000003-0-unfinished",
    ]  # fmt: skip


def test_claims_leave_no_files_behind(tmp_path: Path, backend: FileBackend):
    for number in range(3):
        assert backend.claim_next({"state": "claimed", "time": str(number // 2)}, {})
    assert backend.claim_next({"state": "claimed", "time": "5"}, {}) is None
    for run in "abc":
        backend.add_change(run, 2, {"state": "done"})
    assert markers(tmp_path) == []
    assert [path.name for path in (tmp_path / "stats/queue").glob(".*")] == []
    assert [changes[1]["time"] for changes in backend.all_changes().values()] == ["0", "0", "1"]


def test_a_run_removed_while_it_is_claimed_is_passed_over(tmp_path: Path, backend: FileBackend, monkeypatch):
    link = os.link

    def remove_first(source: str, target: str) -> None:
        if "/runs/a/" in str(target):
            FileBackend(tmp_path).remove_changes("a")
        link(source, target)

    monkeypatch.setattr(os, "link", remove_first)
    assert claimed(backend) == "b"


def test_a_link_whose_answer_was_lost_is_ours(tmp_path: Path, backend: FileBackend, monkeypatch):
    link = os.link

    def link_twice(source: str, target: str) -> None:
        link(source, target)
        if "/runs/" in str(target):
            link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    assert claimed(backend) == "a"


# mongo


def test_a_claim_whose_answer_was_lost_is_made_once(mongo_place: MongoPlace):
    between = Proxy(int(mongo_place.uri.rstrip("/").rpartition(":")[2]))
    backend = MongoBackend(between.uri, mongo_place.name)
    try:
        for ticket, run in enumerate("ab"):
            between.cut_after, between.cuts = b"insert", 1
            assert backend.add_change(run, 0, {"state": "queued"}, place=Place(0, ticket))
            assert between.cuts == 0
        between.cut_after, between.cuts = b"findAndModify", 1
        assert claimed(backend) == "a"
        assert between.cuts == 0
        between.cut_after, between.cuts = b"update", 1
        assert backend.add_change("a", 2, {"state": "running"}, taken=True)
        assert between.cuts == 0
        between.cut_after, between.cuts = b"delete", 1
        assert backend.remove_changes("b")
        assert between.cuts == 0
        assert backend.all_changes() == {"a": [{"state": s} for s in ("queued", "claimed", "running")]}
    finally:
        connection.close_all()
        between.close()


def test_claiming_is_answered_by_the_index(mongo: MongoPlace):
    backend = MongoBackend(mongo.uri, mongo.name)
    for number in range(50):
        backend.add_change(f"run-{number}", 0, {}, place=Place(number % 3, number))
    there = connection.Connection(mongo.uri, mongo.name).database["dacapo.queue"]
    order = {"priority": -1, "ticket": 1, "_id": 1}
    plan = there.find({"standing": WAITING}).sort(list(order.items())).limit(1).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 1
    assert plan["executionStats"]["totalKeysExamined"] == 1
    newest = there.find({}).sort("ticket", -1).limit(1).explain()
    assert newest["executionStats"]["totalDocsExamined"] == 1
