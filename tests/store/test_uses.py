"""Configs found by those they use: from an index, and what earlier versions stored as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.errors import InvalidRequest
from dacapo.store import listing
from dacapo.store.files import FileBackend
from dacapo.store.listing import USES, Query, used_by
from dacapo.store.mongo import MongoBackend, connection, finding, schema
from mongo_places import MongoPlace


def document(crop: str) -> dict[str, object]:
    return {"name": "run", "datasplit_config": {"name": "split", "train_configs": [{"name": crop}]}}


def uses(opened: MongoBackend, *names: str) -> list[str]:
    return [key for key, _ in opened.find("runs", Query(uses=names))]


def test_what_a_document_uses_is_told_once_and_sorted():
    twice = document("crop7") | {"more": [{"name": "crop7", "__type__": "D"}, "name", None]}
    assert used_by(twice) == ["D", "crop7", "split"]
    assert used_by({"name": "x", "__type__": "T", "__meta__": {"name": "m"}}) == []
    assert used_by({"x": {"name": ["a"], "__type__": 3}}) == []


def test_the_server_answers_from_an_index(mongo: MongoPlace):
    opened = MongoBackend(mongo.uri, mongo.name)
    there = connection.Connection(mongo.uri, mongo.name).collection(schema.RUNS)
    for number in range(400):
        opened.put("runs", f"run-{number:03}", document(f"crop{number % 100}"))
    condition = finding._condition(Query(uses=["crop7", "split"]))
    plan = there.find(condition).explain()["executionStats"]
    assert plan["nReturned"] == 4 and plan["totalDocsExamined"] <= 8
    assert uses(opened, "crop7", "split") == ["run-007", "run-107", "run-207", "run-307"]
    # Lists fetch only what stands in the other field.
    entry = there.find_one({"_id": "run-007"})
    assert entry[USES] == ["crop7", "split"] and USES not in entry[finding.LISTED]


def test_entries_of_earlier_versions_are_found_and_brought_up_to_date(mongo: MongoPlace, monkeypatch):
    opened = MongoBackend(mongo.uri, mongo.name)
    inside = connection.Connection(mongo.uri, mongo.name)
    there = {kind: inside.collection(schema.collection_of(kind)) for kind in ("runs", "tasks", "runs.notes")}
    monkeypatch.setattr(finding, "AT_ONCE", 2)
    for number in range(5):
        for kind in there:
            opened.put(kind, f"c{number}", document("crop7") | {"text": "t"})
    for collection in there.values():
        collection.update_many({}, {"$set": {f"{finding.LISTED}.version": 1}, "$unset": {USES: ""}})
    every = [f"c{number}" for number in range(5)]
    assert uses(opened, "crop7") == every
    opened.prepare()
    assert uses(opened, "crop7") == [key for key, _ in opened.find("tasks", Query(uses=["crop7"]))] == every
    strange = {f"{finding.LISTED}.version": {"$ne": listing.VERSION}}
    assert [collection.count_documents(strange) for collection in there.values()] == [0, 0, 0]
    assert there["runs"].count_documents({USES: "crop7"}) == 5
    assert there["runs.notes"].count_documents({USES: {"$exists": True}}) == 0


def test_a_document_stored_while_entries_are_brought_up_to_date_stays(mongo: MongoPlace, monkeypatch):
    opened, read = MongoBackend(mongo.uri, mongo.name), finding.read_document
    there = connection.Connection(mongo.uri, mongo.name).collection(schema.RUNS)
    for key in ("a", "b"):
        opened.put("runs", key, document("crop7"))
    there.update_many({}, {"$set": {f"{finding.LISTED}.version": 1}, "$unset": {USES: ""}})

    def and_stored_again(entry: dict[str, object]) -> object:
        if entry["_id"] == "a":
            opened.put("runs", "a", document("crop8"), replace=True)
        return read(entry)

    monkeypatch.setattr(finding, "read_document", and_stored_again)
    opened.prepare()
    assert uses(opened, "crop7") == ["b"] and uses(opened, "crop8") == ["a"]
    assert there.find_one({"_id": "b"})[USES] == ["crop7", "split"]


def test_only_configs_use_others(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="the runs.notes cannot be listed by 'stored'"):
        FileBackend(tmp_path).find("runs.notes", Query(uses=["x"]))
