"""The cache of fields beside the documents: quick, and never believed blindly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dacapo.store import document_file, document_index
from dacapo.store.document_index import DocumentIndex
from dacapo.store.files import FileBackend
from dacapo.store.listing import Query


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path / "runs")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which documents are read."""
    read: list[str] = []
    load = document_file.load

    def noted(data: bytes, path: Path):
        read.append(path.stem)
        return load(data, path)

    monkeypatch.setattr(document_file, "load", noted)
    return read


def put(backend: FileBackend, key: str, task: str, age: float = 3600.0) -> None:
    backend.put("runs", key, {"name": key, "task_config": {"name": task}}, replace=True)
    path = backend.configs / "runs" / f"{key}.yaml"
    when = path.stat().st_mtime_ns - int(age * 1e9)
    os.utime(path, ns=(when, when))


def found(backend: FileBackend, task: str = "t") -> list[str]:
    return [key for key, _ in FileBackend(backend.root).find("runs", Query({"task": [task]}))]


def cache(backend: FileBackend) -> Path:
    return backend.configs / "runs" / ".index.json"


def test_documents_are_read_once(backend: FileBackend, reads: list[str]):
    for key in "abc":
        put(backend, key, "t")
    assert found(backend) == ["a", "b", "c"] and sorted(reads) == ["a", "b", "c"]
    assert found(backend) == ["a", "b", "c"] and len(reads) == 3
    assert backend.keys("runs") == ["a", "b", "c"]


def test_what_changes_is_read_again_and_what_goes_is_gone(backend: FileBackend, reads: list[str]):
    for key in "abc":
        put(backend, key, "t")
    found(backend)
    kept_open = FileBackend(backend.root)
    assert len(kept_open.find("runs", Query())) == 3
    reads.clear()
    put(backend, "b", "u", age=1800.0)
    backend.remove("runs", "c")
    put(backend, "d", "t")
    assert found(backend) == ["a", "d"]
    assert found(backend, "u") == ["b"]
    assert sorted(reads) == ["b", "d"]
    assert [key for key, _ in kept_open.find("runs", Query())] == ["a", "b", "d"]


def test_a_young_file_is_read_until_it_has_settled(backend: FileBackend, reads: list[str]):
    put(backend, "a", "t", age=0.0)
    assert found(backend) == found(backend) == ["a"]
    assert reads == ["a", "a"]
    put(backend, "a", "t", age=3.0)
    assert found(backend) == found(backend) == ["a"]
    assert len(reads) == 3


@pytest.mark.parametrize(
    "damage", ["lost", "empty", "cut", "flipped", "another version", "other fields", "a list"]
)
def test_a_cache_that_is_no_good_is_made_anew(
    backend: FileBackend, reads: list[str], damage: str, monkeypatch
):
    put(backend, "a", "t")
    found(backend)
    good = cache(backend).read_bytes()
    half = len(good) // 2
    bad = {
        "empty": b"",
        "cut": good[:half],
        "flipped": good[:half] + bytes([good[half] ^ 1]) + good[half + 1 :],
        "a list": b"8bb77a8e\n[]",
    }
    if damage == "lost":
        cache(backend).unlink()
    elif damage in bad:
        cache(backend).write_bytes(bad[damage])
    elif damage == "another version":
        monkeypatch.setattr(document_index, "VERSION", 99)
    else:
        monkeypatch.setattr(document_index, "fields_of", lambda collection: {"task": ("task_config", "name")})
        monkeypatch.setattr(document_index, "row_of", lambda collection, document: {"task": "t"})
    reads.clear()
    assert found(backend) == ["a"] and reads == ["a"]
    assert found(backend) == ["a"] and reads == ["a"]


def test_who_may_only_read_keeps_a_cache_of_their_own(
    backend: FileBackend, reads: list[str], monkeypatch, own_home
):
    put(backend, "a", "t")
    put(backend, "b", "t")
    # Tests may run as root, who may write anywhere but where there is no folder.
    monkeypatch.setattr(DocumentIndex, "_beside", lambda self: Path("/proc/none/index.json"))
    assert found(backend) == found(backend) == ["a", "b"]
    assert [key for key, _ in FileBackend(backend.root).find("runs", Query(uses=["t"]))] == ["a", "b"]
    assert sorted(reads) == ["a", "b"]
    assert len(list((own_home / ".cache" / "dacapo").iterdir())) == 1
    monkeypatch.setattr(DocumentIndex, "_own", lambda self: Path("/proc/none/index.json"))
    assert found(backend) == ["a", "b"]
    assert len(reads) == 4
    assert not list(backend.configs.rglob(".part*"))


def test_a_folder_that_may_not_be_written_to_asks_this_machine_for_the_time(backend, reads, monkeypatch):
    put(backend, "a", "t")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "touch", refuse)
    assert found(backend) == found(backend) == ["a"]
    assert reads == ["a"]


def test_a_damaged_document_is_left_out_and_does_not_rewrite_the_cache(backend: FileBackend, caplog):
    put(backend, "a", "t")
    (backend.configs / "runs" / "b.yaml").write_text("a: [")
    assert found(backend) == ["a"]
    before = cache(backend).stat().st_mtime_ns
    assert found(backend) == ["a"]
    assert cache(backend).stat().st_mtime_ns == before
    assert caplog.text.count("run b is left out of the list") == 2


def test_a_document_that_goes_while_it_is_read_is_not_listed(backend: FileBackend, monkeypatch):
    put(backend, "a", "t")
    monkeypatch.setattr(DocumentIndex, "_signatures", lambda self: {"a": (1, 2, 3), "gone": (1, 2, 3)})
    assert found(backend) == ["a"]


def test_files_are_read_once_for_it(backend: FileBackend, reads: list[str]):
    for key in "abc":
        put(backend, key, "t" if key == "c" else "u")
    assert found(backend) == ["c"] and len(reads) == 3
    asked = FileBackend(backend.root).find("runs", Query(uses=["u"]))
    assert [key for key, _ in asked] == ["a", "b"] and len(reads) == 3
    kept, lists = map(json.loads, cache(backend).read_bytes()[9:].splitlines())
    assert lists in ([["u"], ["t"]], [["t"], ["u"]])  # each once, and not read by who does not ask
    assert sorted(kept["uses"]) in ([0, 0, 1], [0, 1, 1])


def test_what_is_used_is_known_whatever_was_asked_before(backend: FileBackend, reads: list[str]):
    """Lists come late from a cache, while other documents are read anew."""
    for number in range(300):
        put(backend, f"{number:03}", f"t{number % 7}")
    first, asked = FileBackend(backend.root), Query(uses=["t3"])
    expected = [f"{number:03}" for number in range(300) if number % 7 == 3]
    assert len(first.find("runs", Query())) == 300
    again = FileBackend(backend.root)
    assert len(again.find("runs", Query())) == 300 == len(reads)
    put(backend, "new", "t3")  # too few to write the cache for
    for opened in (first, again, FileBackend(backend.root)):
        assert len(opened.find("runs", Query())) == 301
        assert [key for key, _ in opened.find("runs", asked)] == [*expected, "new"]
    put(backend, "003", "t4", age=1800.0)
    put(backend, "other", "t3")
    for opened in (first, again, FileBackend(backend.root)):
        assert [key for key, _ in opened.find("runs", asked)] == [*expected[1:], "new", "other"]


def test_a_cache_of_an_earlier_version_is_made_anew(backend: FileBackend, monkeypatch):
    put(backend, "a", "t")
    monkeypatch.setattr(document_index, "VERSION", 1)
    assert found(backend) == ["a"]
    monkeypatch.undo()
    assert FileBackend(backend.root).find("runs", Query(uses=["t"])) == [("a", {})]
