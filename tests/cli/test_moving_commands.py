"""``dacapo store copy``, ``dacapo export``, ``dacapo import``: what they say and how they end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from dacapo.store.files import FileBackend
from dacapo.store.place import Place
from dacapo.store.weights_store import WeightsStore
from moved_runs import everything, fill, fill_run, run_config


@pytest.fixture
def runs(tmp_path: Path) -> Place:
    place = Place(*[FileBackend(tmp_path / "runs")] * 2)
    fill(place)
    return place


def test_copy_says_what_it_did(dacapo, runs: Place, tmp_path: Path):
    called = dacapo("store", "copy", tmp_path / "runs", tmp_path / "there", "--dry-run")
    assert called.exit_code == 0
    assert called.stdout.count("to be copied") == 4
    assert not (tmp_path / "there").exists()
    called = dacapo("store", "copy", tmp_path / "runs", tmp_path / "there")
    assert called.exit_code == 0
    assert called.stdout.splitlines()[0].split() == [
        "what", "state", "configs", "iterations", "scores", "checkpoints", "best", "remarks", "MB",
    ]  # fmt: skip
    assert "run first:1: copied" in called.stderr.splitlines()
    assert (
        f"from the files below {tmp_path / 'runs'}\nto the files below {tmp_path / 'there'}\n"
        in called.stderr
    )
    assert everything(Place(*[FileBackend(tmp_path / "there")] * 2)) == everything(runs)
    again = dacapo("store", "copy", tmp_path / "runs", tmp_path / "there", "--runs", "first*", "--json")
    assert [row["state"] for row in again.json] == ["already there"] * 2


def test_copy_to_a_database_and_back_by_options_file(dacapo, runs: Place, tmp_path: Path, mongo):
    options = tmp_path / "lab.yaml"
    options.write_text(yaml.safe_dump(mongo.options | {"weights": "mongo"}))
    assert dacapo("store", "copy", tmp_path / "runs", options).exit_code == 0
    assert dacapo("store", "copy", f"{mongo.uri}{mongo.name}", tmp_path / "back").exit_code == 0
    assert everything(Place(*[FileBackend(tmp_path / "back")] * 2)) == everything(runs)


def test_copy_refuses_what_is_different_and_copies_the_rest(dacapo, runs: Place, tmp_path: Path):
    there = Place(*[FileBackend(tmp_path / "there")] * 2)
    fill_run(there, run_config(), seed=3.0)
    called = dacapo("store", "copy", tmp_path / "runs", tmp_path / "there", "--json")
    assert called.exit_code == 4
    assert {row["what"]: row["state"] for row in called.json}["run first"] == "refused"
    assert "error: run first is already in the files below" in called.stderr
    assert "stats of epoch 0, iteration 1, loss: 3.5 -> 0.5" in called.stderr
    assert there.documents.keys("runs") == ["first", "first:1"]


def test_no_password_is_shown(dacapo, runs: Place, tmp_path: Path):
    uri = "mongodb://me:hunter2@127.0.0.1:1/lab?serverSelectionTimeoutMS=50"
    called = dacapo("store", "copy", tmp_path / "runs", uri)
    assert called.exit_code == 5
    assert "hunter2" not in called.stdout + called.stderr
    assert "the MongoDB database lab on 127.0.0.1:1" in called.stderr


def test_a_run_goes_by_file(dacapo, runs: Place, tmp_path: Path, monkeypatch):
    file = tmp_path / "first.zip"
    called = dacapo("export", "first:0", file, "--weights", "latest", "--json")
    assert called.exit_code == 0
    counts = {"iterations": 65, "scores": 4, "checkpoints": 1, "best": 1}
    assert called.json == {"run": "first", **counts, "bytes": file.stat().st_size}
    assert dacapo("export", "first:0", file).exit_code == 4
    assert "65" in dacapo("export", "first:0", file, "--overwrite").stdout
    monkeypatch.setenv("DACAPO_RUNS_BASE_DIR", str(tmp_path / "there"))
    there = Place(*[FileBackend(tmp_path / "there")] * 2)
    called = dacapo("import", file, "--as", "mine:2", "--dry-run")
    assert "to be copied" in called.stdout and there.runs() == []
    called = dacapo("import", file, "--as", "mine:2", "--json")
    assert (called.exit_code, called.json[0]["state"], called.json[0]["checkpoints"]) == (0, "copied", 3)
    assert dacapo("run", "list", "--json").json[0]["run"] == "mine:2"
    assert WeightsStore(there.weights).latest_iteration("mine:2") == 40
    assert dacapo("import", file, "--as", "../mine").exit_code == 2


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (("export", "nothing", "x.zip"), 3, "run nothing: no such config"),
        (("export", "first", "x.zip"), 2, "there are several repetitions of run first"),
        (("import", "x.zip"), 3, "there is no file x.zip; make one with  dacapo export RUN x.zip"),
        (("import", "junk.zip"), 1, "junk.zip is no readable zip file"),
        (("store", "copy", "gone", "there"), 3, "gone does not exist; give an options file"),
        (("store", "copy", "runs", "runs"), 2, "source and target are the same place"),
        (("store", "copy", "runs", "there", "--runs", "x*"), 3, "fits 'x*'; there are: first, first:1"),
    ],
)
def test_what_cannot_be_done_is_said(dacapo, runs: Place, tmp_path: Path, arguments, code: int, says: str):
    (tmp_path / "junk.zip").write_bytes(b"junk")
    called = dacapo(*arguments)
    assert called.exit_code == code
    assert says in called.stderr
    assert sorted(os.listdir(tmp_path)) == ["home", "junk.zip", "runs"]
