"""Who stored a document, and with which code."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

from dacapo import provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_the_stamp_says_who_where_when_and_with_what(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    document = {
        "__from__": "acme-dacapo==1.4",
        "part": [{"__from__": "other==2", "x": {"__from__": "deep==3"}}],
    }
    stamp = provenance.stamp(document)
    assert stamp["owner"] == "ada"
    assert stamp["host"]
    assert stamp["versions"]["dacapo"] == metadata.version("dacapo")
    assert stamp["versions"]["torch"] == metadata.version("torch")
    assert {name: stamp["versions"][name] for name in ("acme-dacapo", "other", "deep")} == {
        "acme-dacapo": "1.4",
        "other": "2",
        "deep": "3",
    }
    age = datetime.now(UTC) - datetime.fromisoformat(stamp["created"])
    assert 0 <= age.total_seconds() < 60
    assert stamp["modified"] == stamp["created"]


def test_replacing_keeps_owner_and_creation(monkeypatch):
    monkeypatch.setenv("LOGNAME", "bob")
    before = {"owner": "ada", "created": "2020-01-01T00:00:00+00:00", "host": "old", "modified": "x"}
    stamp = provenance.stamp({}, before)
    assert (stamp["owner"], stamp["created"]) == ("ada", before["created"])
    assert stamp["host"] != "old" and stamp["modified"] != "x"


def test_an_account_without_a_name_has_a_number(monkeypatch):
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(provenance.getpass, "getuser", nameless)
    assert provenance.user().isdigit()


def test_what_is_not_installed_has_no_version():
    assert provenance.version("no-such-distribution-here") is None


def test_the_commit_is_that_of_git(repository, monkeypatch):
    inner = repository / "some" / "folder"
    inner.mkdir(parents=True)
    expected = git(repository, "rev-parse", "HEAD")
    assert provenance.commit(inner) == expected
    git(repository, "pack-refs", "--all")
    assert provenance.commit(inner) == expected
    git(repository, "checkout", "-q", "--detach")
    assert provenance.commit(inner) == expected
    monkeypatch.chdir(inner)
    assert provenance.stamp({})["commit"] == expected


def test_the_commit_of_a_worktree_is_its_own(repository, tmp_path):
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", "-b", "other", str(tree))
    git(tree, "commit", "-q", "--allow-empty", "-m", "second")
    assert provenance.commit(tree) == git(tree, "rev-parse", "HEAD")
    assert provenance.commit(tree) != provenance.commit(repository)


def test_without_a_repository_there_is_no_commit(tmp_path):
    assert provenance.commit(tmp_path) is None
    assert "commit" not in provenance.stamp({})
    (tmp_path / ".git").mkdir()
    assert provenance.commit(tmp_path) is None
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert provenance.commit(tmp_path) is None
