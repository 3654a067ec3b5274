"""Editions of a document: the highest epoch's is read, and only what is replaced goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.store import file_editions
from dacapo.store.publication import visible


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name in ("x.yaml", "x.yaml.2", "x.yaml.10", "x.yaml.11.part", "y.yaml.12", "xx.yaml"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_text(name)
    return tmp_path / "folder" / "x.yaml"


def editions(path: Path) -> list[str]:
    return [name for name in visible(path.parent) if name.startswith("x.yaml")]


def test_the_highest_number_counts(path: Path):
    assert file_editions.newest(path).name == "x.yaml.10"
    assert file_editions.newest(path.with_name("y.yaml")).name == "y.yaml.12"
    for name in ("xx.yaml", "z.yaml"):
        assert file_editions.newest(path.with_name(name)) == path.with_name(name)
    assert file_editions.documents(path.parent) == ["x.yaml", "xx.yaml", "y.yaml"]


def test_an_epoch_publishes_unless_a_later_one_has(path: Path):
    assert file_editions.edition(path, 9) is None
    assert file_editions.edition(path, 10) == path.with_name("x.yaml.10")
    assert file_editions.edition(path, 11) == path.with_name("x.yaml.11")
    assert file_editions.edition(path.with_name("z.yaml"), 0) == path.with_name("z.yaml.0")


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        ("x.yaml.10", ["x.yaml.10"]),
        ("x.yaml.2", ["x.yaml.10", "x.yaml.2"]),
        ("x.yaml", ["x.yaml"]),
        ("x.yaml.7", ["x.yaml", "x.yaml.10", "x.yaml.2"]),  # gone meanwhile: somebody else sweeps
    ],
)
def test_only_earlier_editions_are_swept(path: Path, kept: str, left: list[str]):
    (path.parent / "x.yaml.11.part").unlink()
    file_editions.sweep(path, path.with_name(kept))
    assert editions(path) == left
    assert {"xx.yaml", "y.yaml.12"} <= set(visible(path.parent))


def test_what_is_replaced_while_it_is_read_is_looked_up_again(path: Path):
    def replaced(file: Path) -> bytearray | None:
        if file.name == "x.yaml.10":
            file.rename(path.with_name("x.yaml.11"))
        return bytearray(file.read_bytes()) if file.exists() else None

    assert file_editions.read(path, replaced) == (path.with_name("x.yaml.11"), b"x.yaml.10")
    assert file_editions.read(path.with_name("z.yaml"), replaced) == (path.with_name("z.yaml"), None)


def test_a_document_goes_in_all_its_editions(path: Path):
    assert file_editions.remove(path) and not file_editions.remove(path)
    assert visible(path.parent) == ["x.yaml.11.part", "xx.yaml", "y.yaml.12"]
