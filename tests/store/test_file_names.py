"""Names noted beside documents, so that twins are found without reading a folder of thousands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dacapo.store.file_names import FileNames


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileNames:
    monkeypatch.chdir("/")
    for name in ("Run.yaml", "other.yaml", "run.txt", "rUn.yaml.old"):
        (tmp_path / name).touch()
    return FileNames(tmp_path, ".yaml")


def noted(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / ".names").glob("*/*"))


def test_twins_of_documents_whose_names_were_never_noted_are_found(names, tmp_path):
    assert names.twins("run") == ["Run"] and names.twins("OTHER") == ["other"]
    assert names.twins("Run") == [] and names.twins("new") == []
    assert not (tmp_path / ".names").exists()


def test_with_the_first_name_all_are_noted(names, tmp_path):
    names.add("new")
    assert noted(tmp_path) == ["Run", "new", "other"]
    assert all(re.fullmatch("[0-9a-f]{2}", path.name) for path in (tmp_path / ".names").glob("[!.]*"))
    assert names.twins("NEW") == []  # noted, and not there yet
    (tmp_path / "new.yaml").touch()
    assert names.twins("NEW") == ["new"]
    (tmp_path / "late.yaml").touch()  # whoever stores notes the name first
    assert names.twins("LATE") == []
    names.add("late")
    assert names.twins("LATE") == ["late"] and names.twins("run") == ["Run"]
    names.add("late")
    assert noted(tmp_path) == ["Run", "late", "new", "other"]


def test_names_that_are_twins_are_noted_beside_each_other(names, tmp_path):
    for name in ("Köln", "KÖLN", "ko\u0308ln"):
        names.add(name)
        (tmp_path / f"{name}.yaml").touch()
    assert len({path.parent for path in (tmp_path / ".names").glob("*/*") if path.name[0] in "Kk"}) == 1
    assert names.twins("KÖLN") == sorted(["Köln", "ko\u0308ln"])


def test_a_name_that_is_no_text_is_in_nobodys_way(names, tmp_path):
    (tmp_path / os.fsdecode(b"\xff.yaml")).touch()
    names.add("new")
    assert noted(tmp_path) == ["Run", "new", "other", os.fsdecode(b"\xff")]


def test_a_name_is_forgotten_unless_its_document_is_there_again(names, tmp_path):
    names.add("new")
    names.remove("new")
    assert noted(tmp_path) == ["Run", "other"]
    names.remove("other")  # somebody has stored it again
    assert noted(tmp_path) == ["Run", "other"]
    names.remove("unknown")
