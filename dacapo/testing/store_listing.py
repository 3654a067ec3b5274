"""What every backend has to do so that documents are found by what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dacapo.documents import Document
from dacapo.errors import InvalidRequest
from dacapo.store.backend import StoreBackend
from dacapo.store.listing import Query


def _run(task: Any, owner: Any, day: int, iterations: Any = 10) -> Document:
    created = f"2026-01-{day:02}T00:00:00+00:00"
    return {
        "name": "any",
        "task_config": {"name": task},
        "num_iterations": iterations,
        "__meta__": {"owner": owner, "created": created},
    }


def documents_are_found_by_their_fields(open_backend: Callable[[], StoreBackend]) -> None:
    """Conditions hold together, keys come sorted, and changes are seen at once."""
    backend = open_backend()
    for number, (task, owner) in enumerate([("mito", "ada"), ("mito", "ben"), ("er", "ada"), ("er", "ben")]):
        backend.put("runs", f"run-{number}", _run(task, owner, number + 1))
    backend.put("tasks", "mito", {"name": "mito", "__type__": "T"})
    other = open_backend()

    def found(**asked: Any) -> list[str]:
        return [key for key, _ in other.find("runs", Query(**asked))]

    assert found() == ["run-0", "run-1", "run-2", "run-3"]
    assert found(among={"task": ["mito"]}) == ["run-0", "run-1"]
    assert found(among={"task": ["mito", "er"], "owner": ["ben"]}) == ["run-1", "run-3"]
    assert found(among={"task": []}) == []
    assert found(since="2026-01-02T00:00:00+00:00", until="2026-01-04T00:00:00+00:00") == ["run-1", "run-2"]
    assert found(match="*-3") == ["run-3"] and found(match="run-?") == found() and found(match="run") == []
    rows = other.find("runs", Query(match="run-0"), ("task", "owner", "iterations", "trainer"))
    assert rows == [("run-0", {"task": "mito", "owner": "ada", "iterations": 10, "trainer": None})]
    assert other.find("tasks", Query(), ("type",)) == [("mito", {"type": "T"})]
    assert other.find("arrays", Query()) == []
    backend.remove("runs", "run-0")
    backend.put("runs", "run-1", _run("er", "ben", 2), replace=True)
    backend.put("runs", "run-4", _run("mito", "ada", 5))
    assert found(among={"task": ["mito"]}) == ["run-4"]
    assert found(among={"task": ["er"]}) == ["run-1", "run-2", "run-3"]


def values_are_never_operators(open_backend: Callable[[], StoreBackend]) -> None:
    """Texts are compared as texts, what is no text is not found by one, and unknown fields are refused."""
    backend = open_backend()
    odd: list[Any] = ["$ne", {"$ne": 1}, None, ["ada"], 7, "a.b", "*", "(", "日本 ä"]
    for number, owner in enumerate(odd):
        backend.put("runs", f"{number}", _run("t", owner, 1, iterations=2**70))
    for number, owner in enumerate(odd):
        expected = [f"{number}"] if isinstance(owner, str) else []
        assert [key for key, _ in backend.find("runs", Query({"owner": [str(owner)]}))] == expected
    assert backend.find("runs", Query(match="1"), ("owner", "iterations")) == [
        ("1", {"owner": None, "iterations": None})
    ]
    assert backend.find("runs", Query(match=".*")) == backend.find("runs", Query(match="(")) == []
    strange: list[tuple[Query, tuple[str, ...]]] = [(Query({"$where": ["1"]}), ()), (Query(), ("document",))]
    for query, fields in strange:
        try:
            backend.find("runs", query, fields)
        except InvalidRequest:
            continue
        raise AssertionError("a field that is not listed was accepted")


CHECKS = (documents_are_found_by_their_fields, values_are_never_operators)
