"""What documents are found by, and which of them a question means."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta

import pytest

from dacapo.errors import InvalidRequest
from dacapo.store.listing import Query, chosen, many_at_once, moment, row_of

META = {"owner": "ann", "created": "2026-11-28T10:00:00+00:00", "modified": "2026-11-29T10:00:00+00:00"}
OF_ALL = {"owner": "ann", "stored": META["created"], "changed": META["modified"]}
LISTED_RUN = {
    "task": "mito", "architecture": "net", "trainer": "sgd", "datasplit": "split", "iterations": 10,
    "start": "old",
}  # fmt: skip
RUN = {
    "__type__": "RunConfig",
    "__meta__": META,
    "num_iterations": 10,
    "task_config": {"name": "mito"},
    "architecture_config": {"name": "net"},
    "trainer_config": {"name": "sgd"},
    "datasplit_config": {"name": "split"},
    "start_config": {"run": "old"},
}


def test_runs_are_found_by_their_parts_and_others_by_their_type():
    assert row_of("runs", RUN) == LISTED_RUN | OF_ALL | {"uses": ["mito", "net", "sgd", "split"]}
    task = {"__type__": "DistanceTask", "__meta__": META, "name": "mito"}
    assert row_of("tasks", task) == {"type": "DistanceTask", "uses": []} | OF_ALL
    note = {"text": "good", "by": "ben", "at": "now", "more": 1}
    assert row_of("runs.notes", note) == {"text": "good", "by": "ben", "at": "now"}


def test_a_field_that_is_missing_or_neither_text_nor_number_is_none():
    for task in (None, "mito", {}, {"name": None}, {"name": ["mito"]}, {"name": True}):
        assert row_of("runs", {"task_config": task})["task"] is None
    assert row_of("runs", {}) == dict.fromkeys((*LISTED_RUN, *OF_ALL)) | {"uses": []}
    for number in (0, -1.5, 2**63 - 1, 1 - 2**63):
        assert row_of("runs", {"num_iterations": number})["iterations"] == number
    for number in (2**63, -(2**63), 2**64):  # fit into no index
        assert row_of("runs", {"num_iterations": number})["iterations"] is None


def test_times_are_read_as_people_write_them():
    assert moment(None) is None
    assert moment("2026-11-30T12:00:00.75+02:00") == "2026-11-30T10:00:00+00:00"
    assert moment(datetime(2026, 11, 30, tzinfo=UTC)) == "2026-11-30T00:00:00+00:00"
    assert datetime.fromisoformat(moment("2026-11-30")) == datetime(2026, 11, 30).astimezone(UTC)
    for text, ago in (
        ("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("999999m", timedelta(minutes=999999))
    ):  # fmt: skip
        late = datetime.now(UTC) - ago - datetime.fromisoformat(moment(text))
        assert timedelta(0) <= late < timedelta(minutes=5)


@pytest.mark.parametrize("text", ["soon", "m", "5w", "1000000m", "5 m", "2026-13-01"])
def test_what_is_no_time_is_told_what_one_looks_like(text: str):
    with pytest.raises(InvalidRequest) as refused:
        Query(since=text)
    assert str(refused.value) == (
        f"{text!r} is no time; write a date such as 2026-11-30, a time such as 2026-11-30T12:00, or how long "
        "ago: 30d, 12h, 90m"
    )


def test_only_what_is_known_of_a_kind_can_be_asked_for():
    bounds = (Query(since="1h"), Query(until="1h"), Query(uses="mito"))
    for query in (Query({"type": "x"}), Query(match="*"), *bounds):
        query.check("tasks", ["type", "owner"])
    Query(match="*").check("runs.notes", ["text", "by", "at"])
    for query in bounds:
        with pytest.raises(InvalidRequest, match="^the runs.notes cannot be listed by 'stored'; they can by"):
            query.check("runs.notes", [])
    for query, fields in (
        (Query({"type": "x", "odd": "x"}), []),
        (Query({"task": "x"}), ["task", "type", "odd"]),
    ):
        with pytest.raises(InvalidRequest) as refused:
            query.check("runs", fields)
        assert str(refused.value) == (
            f"the runs cannot be listed by 'type'; they can by {', '.join((*LISTED_RUN, *OF_ALL))}"
        )


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, True),
        ({"among": {"task": "mito"}}, True),
        ({"among": {"task": ["er", "mito"], "owner": "ann"}}, True),
        ({"among": {"task": "mito", "owner": "ben"}}, False),
        ({"among": {"task": "m"}}, False),
        ({"among": {"task": []}}, False),
        ({"since": META["created"]}, True),
        ({"since": "2026-11-28T10:00:01Z"}, False),
        ({"until": META["created"]}, False),
        ({"until": "2026-11-28T10:00:01Z"}, True),
        ({"match": "run-?1*"}, True),
        ({"match": "run"}, False),
        ({"match": "run-??1"}, False),
        ({"match": "run-.1"}, False),
        ({"uses": "mito"}, True),
        ({"uses": ["mito", "split"]}, True),
        ({"uses": ["mito", "er"]}, False),
    ],
)
def test_all_that_is_asked_has_to_hold(asked: dict, meant: bool):
    assert Query(**asked).asks_for("run-01", row_of("runs", RUN)) is meant


def test_what_says_nothing_is_not_meant_by_who_asks_for_it():
    for query in (Query({"task": "None"}), Query(since="1d"), Query(until="1d"), Query(uses="mito")):
        assert not query.asks_for("run", {}) and not query.asks_for("run", {"stored": 7})
    assert Query().asks_for("run", {})


@pytest.mark.parametrize(
    ("match", "prefix"), [(None, ""), ("run", "run"), ("run-?*", "run-"), ("*n", ""), ("a*b?c", "a")]
)
def test_every_name_that_is_meant_begins_alike(match: str | None, prefix: str):
    assert Query(match=match).prefix == prefix


def test_rows_come_sorted_with_the_fields_asked_for():
    rows = [("b", {"task": "y", "owner": 1}), ("c", {"task": "z"}), ("a", {"task": "x"})]
    asked = Query(match="[ab]"), Query({"task": ["x", "y"]})
    assert chosen(rows, asked[0], []) == []  # only * and ? are patterns
    assert chosen(rows, asked[1], ["owner", "task"]) == [
        ("a", {"owner": None, "task": "x"}), ("b", {"owner": 1, "task": "y"})
    ]  # fmt: skip


def test_garbage_is_collected_again_afterwards():
    with many_at_once():
        assert not gc.isenabled()
        with many_at_once():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
