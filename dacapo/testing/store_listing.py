"""What every backend has to do so that documents are found by what they say, and runs get other names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dacapo.documents import Document
from dacapo.errors import InvalidRequest
from dacapo.store.backend import Block, Epoch, ScoresRecord, StoreBackend
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


def documents_are_found_by_the_configs_they_use(open_backend: Callable[[], StoreBackend]) -> None:
    """Names and types at any depth count, but not the document's own; all that are asked for are there."""
    backend = open_backend()
    for number, crop in enumerate(["crop7", "crop8", "a.b", "$where"]):
        raw = {"name": f"raw-{crop}", "__type__": "ZarrArrayConfig"}
        dataset = {
            "name": crop,
            "__type__": "D",
            "raw_config": {"name": "", "source": raw},
            "odd": [["x", 7]],
        }
        split = {"name": "split", "train_configs": [dataset, {"name": 7}]}
        meta = {"owner": "ada", "versions": {"name": "meta"}}
        backend.put("runs", f"run-{number}", {"name": "own", "datasplit_config": split, "__meta__": meta})
        backend.put("datasets", crop, dataset)
    backend.put("runs", "plain", {"name": "plain"})
    other = open_backend()

    def found(collection: str, *uses: str, **asked: Any) -> list[str]:
        return [key for key, _ in other.find(collection, Query(uses=uses, **asked), ("owner",))]

    assert found("runs", "crop7") == ["run-0"] and found("runs", "raw-crop8") == ["run-1"]
    assert found("runs", "a.b") == ["run-2"] and found("runs", "$where") == ["run-3"]
    assert found("runs", "split") == found("runs", "ZarrArrayConfig") == [f"run-{n}" for n in range(4)]
    assert found("runs", "split", "crop8") == ["run-1"] and found("runs", "crop7", "crop8") == []
    assert found("runs", "split", match="*-3") == ["run-3"]
    assert found("runs", "split", among={"owner": ["ben"]}) == []
    assert found("datasets", "raw-crop7") == ["crop7"] and found("datasets", "ZarrArrayConfig")[0] == "$where"
    for nothing in ("own", "meta", "crop", "7", "", "x", "D/"):
        assert found("runs", nothing) == []
    assert found("datasets", "crop7") == found("datasets", "D") == [] == found("tasks", "crop7")
    backend.put("runs", "run-0", {"name": "own", "task_config": {"name": "crop8"}}, replace=True)
    assert found("runs", "crop7") == [] and found("runs", "crop8") == ["run-0", "run-1"]
    try:
        backend.find("runs.notes", Query(uses=["crop7"]))
    except InvalidRequest:
        return
    raise AssertionError("notes use nothing, and were asked for by it")


def names_that_differ_only_in_case_are_found(open_backend: Callable[[], StoreBackend]) -> None:
    """Whoever stores a name can be told of those that many file systems take for the same."""
    backend = open_backend()
    for key in ("Run1", "run1:2", "run", "straße", "Käse"):
        backend.put("runs", key, {"name": key})
    backend.put("tasks", "RUN", {"name": "RUN"})
    other = open_backend()
    assert other.twins("runs", "run1") == other.twins("runs", "RUN1") == ["Run1"]
    assert other.twins("runs", "RUN1:2") == ["run1:2"] and other.twins("runs", "Run1") == []
    assert other.twins("runs", "STRASSE") == ["straße"]
    assert other.twins("runs", "KA\u0308SE") == other.twins("runs", "Ka\u0308se") == ["Käse"]
    assert other.twins("runs", "new") == [] == other.twins("arrays", "run")
    backend.put("runs", "ruN1", {"name": "ruN1"})
    assert other.twins("runs", "run1") == ["Run1", "ruN1"]
    backend.put("runs", "Run1", {"name": "Run1"}, replace=True)
    backend.remove("runs", "ruN1")
    assert open_backend().twins("runs", "run1") == ["Run1"]
    backend.remove("runs", "Run1")
    assert open_backend().twins("runs", "run1") == []


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


def how_far_many_runs_are_is_one_question(open_backend: Callable[[], StoreBackend]) -> None:
    """The newest epoch of each run says how far it is, whatever those before it hold."""
    backend = open_backend()

    def append(run: str, epoch: int, *ends: int) -> None:
        backend.add_epoch(run, Epoch(epoch, 0))
        for sequence, end in enumerate(ends):
            at = np.arange(end - 3, end)
            backend.append_block(run, epoch, Block(sequence, at, {"loss": np.zeros(3)}))

    append("run", 0, 40, 80)
    append("run", 2, 60)
    append("run", 11, *range(10, 40, 3))
    append("run:1", 3, 7)
    append("run.x", 0, 50)
    append("begun", 0, 30)
    append("begun", 1)
    asked = ["run", "run:1", "begun", "unknown", "ru"]
    assert open_backend().last_iterations(asked) == {"run": 36, "run:1": 6, "begun": None}
    assert open_backend().last_iterations([]) == {}


def a_run_gets_another_key(open_backend: Callable[[], StoreBackend]) -> None:
    """Logs, blobs and records of the best move; those of other runs stay, and it may be repeated."""
    backend = open_backend()
    for run in ("run", "run:1", "run-2"):
        for epoch in (Epoch(0, 0), Epoch(1, 1)):
            backend.add_epoch(run, epoch)
        backend.append_block(run, 1, Block(0, np.array([0, 7]), {"loss": np.array([1.0, 2.0])}))
        backend.append_block(run, 1, Block(1, np.array([8]), {"loss": np.array([3.0])}))
        backend.append_scores(run, 1, ScoresRecord(1, "a", [], [], np.empty((0, 0))))
        backend.put_blob(run, "iterations/1/model", [run.encode()])
        backend.put("best", f"{run}/a%2Fdice", {"of": run})
    for _ in range(2):
        backend.move_run("run", "~ä run~1")
        backend.move_run("nothing", "anything")
    backend = open_backend()
    assert backend.logged_runs() == backend.blob_runs() == ["run-2", "run:1", "~ä run~1"]
    for run, was in (("run-2", "run-2"), ("run:1", "run:1"), ("~ä run~1", "run")):
        assert backend.epochs(run) == [Epoch(0, 0), Epoch(1, 1)]
        assert [block.iterations.tolist() for block in backend.blocks(run, 1)] == [[0, 7], [8]]
        assert backend.tail(run, 1).sequence == 2
        assert [record.dataset for record in backend.scores(run, 1)] == ["a"]
        assert bytes(backend.get_blob(run, "iterations/1/model")) == was.encode()
        assert backend.get("best", f"{run}/a%2Fdice") == {"of": was}
    assert backend.epochs("run") == [] and not backend.blobs("run") and not backend.keys("best", "run/")
    backend.append_block("~ä run~1", 1, Block(2, np.array([9]), {"loss": np.array([4.0])}))
    backend.add_epoch("run", Epoch(0, 0))
    assert backend.tail("run", 0).sequence == 0
    assert backend.remove_blobs("~ä run~1") and backend.remove_stats("~ä run~1")
    assert backend.remove_scores("~ä run~1") and backend.logged_runs("~") == []


CHECKS = (
    documents_are_found_by_their_fields,
    documents_are_found_by_the_configs_they_use,
    names_that_differ_only_in_case_are_found,
    values_are_never_operators,
    how_far_many_runs_are_is_one_question,
    a_run_gets_another_key,
)
