"""``dacapo run list | tag | note | archive``: what is printed, and what is left out."""

from __future__ import annotations

import pytest

from dacapo.cli import listing
from dacapo.store.create_store import create_config_store
from dacapo.testing import tiny_run


@pytest.fixture
def runs(tmp_path):
    """Store two runs."""
    config = tiny_run(tmp_path / "data")
    for repetition in (0, 1):
        create_config_store().store_run_config(config.replace(repetition=repetition))


def listed(dacapo, *options: str) -> list[str]:
    return [row["run"] for row in dacapo("run", "list", "--json", *options).json]


def test_tags_are_given_taken_and_listed(dacapo, runs):
    assert dacapo("run", "tag", "tiny:0", "+good", "+bath").stdout == "bath\ngood\n"
    assert dacapo("run", "tag", "tiny:0", "-bath").stdout == "good\n"
    assert dacapo("run", "tag", "tiny:0").stdout == "good\n"
    assert listed(dacapo, "--tag", "good") == ["tiny"]
    called = dacapo("run", "tag", "tiny:0", "best")
    assert called.exit_code == 2 and "write +best to give the tag best" in called.stderr
    assert dacapo("run", "tag", "none", "+x").exit_code == 3
    shown = dacapo("run", "show", "tiny:0", "--json").json["__meta__"]
    assert [tag["text"] for tag in shown["tags"]] == ["good"] and "notes" not in shown


def test_notes_are_written_and_read(dacapo, runs):
    assert "dacapo run note tiny:1" in dacapo("run", "note", "tiny:1").stderr
    text = "the long story of this run\nin two lines"
    assert dacapo("run", "note", "tiny:1", text).exit_code == 0
    assert dacapo("run", "note", "tiny:1", "--json").json[0]["note"] == text
    table = dacapo("run", "list").stdout
    assert "the long story of this run…" in table and "two lines" not in table
    assert "tags" not in table.splitlines()[0]
    rows = dacapo("run", "list", "--json").json
    assert [row["note"] for row in rows] == [None, text]
    assert text.splitlines()[1] in dacapo("run", "show", "tiny:1").stdout


def test_archived_runs_are_left_out_unless_asked_for(dacapo, runs):
    assert dacapo("run", "archive", "tiny:0").exit_code == 0
    assert listed(dacapo) == ["tiny:1"]
    assert listed(dacapo, "--archived") == ["tiny", "tiny:1"]
    assert listed(dacapo, "--tag", "archived") == ["tiny"]
    assert dacapo("run", "unarchive", "tiny:0").exit_code == 0
    assert listed(dacapo) == ["tiny", "tiny:1"]
    assert dacapo("run", "archive").exit_code == 2


def test_lists_are_narrowed(dacapo, runs):
    assert listed(dacapo, "--match", "*:1") == ["tiny:1"]
    assert listed(dacapo, "--owner", "nobody") == []
    assert listed(dacapo, "--since", "1h", "--task", "balls") == ["tiny", "tiny:1"]
    assert listed(dacapo, "--until", "1h") == []
    assert len(listed(dacapo, "--limit", "1")) == 1
    used = "--uses", "train_raw_uint8", "--uses", "ElasticAugmentConfig"
    assert listed(dacapo, *used) == ["tiny", "tiny:1"]
    assert listed(dacapo, *used, "--uses", "tiny") == []
    called = dacapo("run", "list", "--since", "soon")
    assert called.exit_code == 2 and "is no time" in called.stderr


def test_how_far_they_are_is_not_asked_of_too_many(dacapo, runs, monkeypatch):
    monkeypatch.setattr(listing, "MOST_WITH_PROGRESS", 1)
    called = dacapo("run", "list", "--json")
    assert [row["trained"] for row in called.json] == [None, None]
    assert "at most 1 runs" in called.stderr
