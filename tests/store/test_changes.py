"""Renaming, the trash and back: everything of a run moves, or it is finished later; on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from dacapo.errors import DuplicateNameError, InvalidName, InvalidRequest, NotFound, StoreError
from dacapo.store import changes, publication
from dacapo.store.changes import Stores, empty_trash, finish, rename_run, restore_run, trash_run, trashed
from dacapo.store.intents import CHANGES as CHANGES_BEGUN
from dacapo.store.intents import Change, unfinished
from dacapo.store.mongo.connection import Connection
from stored_runs import PLACES, Place, content, fill, place_of, run_config, stores_of


@pytest.fixture(params=PLACES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Stores]:
    place: Place = place_of(request.param, request, tmp_path / "runs")
    return lambda: stores_of(place(), tmp_path / "runs")


@pytest.fixture
def stores(opened: Callable[[], Stores]) -> Stores:
    return opened()


def test_all_of_a_run_gets_the_new_name(stores: Stores, opened):
    fill(stores, run_config())
    fill(stores, run_config("run", 1), 0.75)
    before, other = content(stores, "run"), content(stores, "run:1")
    assert len(before) == 8
    assert rename_run("run:0", "näher 2:3", stores) == "näher 2:3"
    for one in (stores, opened()):
        assert content(one, "näher 2:3") == before
        assert content(one, "run") == {}
        assert content(one, "run:1") == other
    config = stores.configs.retrieve_run_config("näher 2:3")
    assert config == run_config("näher 2", 3)
    assert stores.configs.retrieve_document("runs", "näher 2:3")["__meta__"]["formerly"] == ["run"]
    assert stores.configs.names("runs") == ["näher 2:3", "run:1"]
    fill(stores, run_config(), 0.25)
    assert content(stores, "run")["loss"] == [0.25] * 3
    assert unfinished(stores.configs.backend) == []


def test_a_name_that_is_taken_or_unfit_is_refused(stores: Stores):
    fill(stores, run_config())
    fill(stores, run_config("other"))
    before = content(stores, "run"), content(stores, "other")
    with pytest.raises(DuplicateNameError, match="run other is already stored; choose another name"):
        rename_run("run", "other", stores)
    with pytest.raises(InvalidRequest, match="called so already"):
        rename_run("run", "run:0", stores)
    with pytest.raises(InvalidName):
        rename_run("run", "../x", stores)
    with pytest.raises(NotFound, match="run none: no such config"):
        rename_run("none", "x", stores)
    stores.configs.delete_run_config("other")
    with pytest.raises(StoreError, match=r"there are stats, weights, arrays of an earlier run other"):
        rename_run("run", "other", stores)
    assert content(stores, "run") == before[0]
    trash_run("other", stores)
    rename_run("run", "other", stores)
    assert content(stores, "other") == before[0]


def test_who_is_quicker_gets_the_name(stores: Stores, monkeypatch):
    fill(stores, run_config())
    before = content(stores, "run")
    real = changes.finish

    def finish_late(change: Change, where: Stores) -> None:
        stores.configs.store_run_config(run_config("other"))
        real(change, where)

    monkeypatch.setattr(changes, "finish", finish_late)
    with pytest.raises(DuplicateNameError, match="run other is already stored"):
        rename_run("run", "other", stores)
    assert content(stores, "run") == before
    assert content(stores, "other") == {"config": True}
    assert unfinished(stores.configs.backend) == []


def test_what_is_deleted_can_be_taken_back(stores: Stores, opened):
    fill(stores, run_config())
    before = content(stores, "run")
    there = trash_run("run", stores)
    assert content(stores, "run") == {} and stores.configs.names("runs") == []
    [one] = trashed(opened().configs)
    assert (one.key, one.run, one.going) == (there, "run", False)
    fill(stores, run_config(), 0.25)
    new = content(stores, "run")
    assert new["loss"] == [0.25] * 3
    with pytest.raises(DuplicateNameError, match="run run is already stored"):
        restore_run("run", stores)
    assert restore_run("run", stores, "old") == "old"
    assert content(stores, "old") == before and content(stores, "run") == new
    assert stores.configs.retrieve_run_config("old") == run_config("old")
    assert trashed(stores.configs) == []
    with pytest.raises(NotFound, match="run run is not in the trash; there is nothing"):
        restore_run("run", stores)


def test_of_several_the_last_is_taken_back_and_others_by_their_key(stores: Stores, monkeypatch):
    keys = []
    for number, value in enumerate((0.1, 0.2)):
        monkeypatch.setattr(changes, "now", lambda number=number: f"2026-01-0{number + 1}T00:00:00+00:00")
        fill(stores, run_config(), value)
        keys.append(trash_run("run", stores))
    assert restore_run("run", stores) == "run"
    assert content(stores, "run")["loss"] == [0.2] * 3
    assert restore_run(keys[0], stores, "first") == "first"
    assert content(stores, "first")["loss"] == [0.1] * 3


def test_emptying_removes_for_good_what_is_old_enough(stores: Stores, tmp_path: Path, monkeypatch):
    fill(stores, run_config("kept"))
    kept = content(stores, "kept")
    for name, day in (("old", "2025-01-01"), ("young", "2999-01-01")):
        monkeypatch.setattr(changes, "now", lambda day=day: f"{day}T00:00:00+00:00")
        fill(stores, run_config(name))
        trash_run(name, stores)
    assert [one.run for one in empty_trash(stores, "30d")] == ["old"]
    assert [one.run for one in trashed(stores.configs)] == ["young"]
    assert [one.run for one in empty_trash(stores)] == ["young"]
    assert content(stores, "kept") == kept
    backend = stores.configs.backend
    assert backend.logged_runs() == backend.blob_runs() == backend.keys("runs") == ["kept"]
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name.startswith("~")] == []


def test_remains_without_config_go_and_come_without(stores: Stores):
    fill(stores, run_config())
    stores.configs.delete_run_config("run")
    before = content(stores, "run")
    trash_run("run", stores)
    assert content(stores, "run") == {}
    restore_run("run", stores)
    assert content(stores, "run") == before
    with pytest.raises(NotFound, match="run none: no such config"):
        trash_run("none", stores)


# broken off


class Broken(BaseException):
    """Ends a process in the middle of what it does."""


@contextmanager
def broken_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Break off before a step that changes something, counted over all backends."""
    done: list[str] = []

    def counted(where: Any, name: str) -> None:
        real = getattr(where, name)

        def change(*args: Any, **kwargs: Any) -> Any:
            if len(done) == step and "broken" not in done:
                done.append("broken")  # once: what ends with the process, such as a lease, ends here too
                raise Broken
            done.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(where, name, change)

    from dacapo.store.memory import MemoryBackend

    for where, names in (
        (Connection, ["write"]),
        (publication, ["replace", "create", "move_tree"]),
        (changes, ["_remove"]),
        (MemoryBackend, ["put", "remove", "move_run"]),
    ):
        for name in names:
            counted(where, name)
    # These modules hold functions of their own.
    from dacapo.store import array_store, files

    # This process lives on, so that its leases would not be found dead.
    monkeypatch.setattr(changes, "take", lambda *_, **__: nullcontext())
    counted(array_store, "move_tree")
    counted(files, "remove_file")
    try:
        yield done
    except Broken:
        pass
    finally:
        monkeypatch.undo()


CHANGES = {
    "rename": (lambda stores: rename_run("run", "other", stores), "run", "other"),
    "delete": (lambda stores: trash_run("run", stores), "run", None),
    "restore": (lambda stores: restore_run("run", stores), None, "run"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_that_is_broken_off_anywhere_can_be_finished(opened, what: str, monkeypatch, tmp_path):
    change, old, new = CHANGES[what]
    fill(opened(), run_config())
    before = content(opened(), "run")
    if what == "restore":
        trash_run("run", opened())
    kind = type(opened().configs.backend).__name__
    for step in range(0, 60, 5 if kind == "MongoBackend" else 1):
        with broken_at(step, monkeypatch) as done:
            change(opened())
        stores = opened()
        for pending in unfinished(stores.configs.backend):
            finish(pending, stores)
        stores = opened()
        at = [one.key for one in trashed(stores.configs)] if new is None else [new]
        if "broken" in done and old and content(stores, old) == before:
            assert step == 0 or unfinished(stores.configs.backend) == []
            continue  # it had not begun
        if "broken" in done and what == "restore" and trashed(stores.configs):
            assert content(stores, "run") == {}
            continue
        assert len(at) == 1
        there = content(stores, at[0])
        assert there == before if new else there == {k: v for k, v in before.items() if k != "config"}
        assert old is None or content(stores, old) == {}
        assert unfinished(stores.configs.backend) == []
        if "broken" not in done:
            assert step > 5
            break
        if what == "restore":
            trash_run("run", stores)
        elif what == "rename":
            rename_run("other", "run", stores)
        else:
            restore_run("run", stores)
    else:
        raise AssertionError("it never came to its end")


def test_a_run_with_an_unfinished_change_is_not_changed_again(opened, monkeypatch):
    fill(opened(), run_config())
    monkeypatch.setattr(changes, "finish", lambda change, stores: None)
    rename_run("run", "other", opened())
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"began to rename it at .* dacapo store check --repair"):
        trash_run("run", opened())


def test_a_new_run_of_the_freed_name_is_left_alone(opened, monkeypatch):
    fill(opened(), run_config())
    with monkeypatch.context() as patch:
        backend = type(opened().configs.backend)
        real = backend.remove

        def remove(self: Any, collection: str, key: str) -> bool:
            if collection == CHANGES_BEGUN:
                raise Broken
            return real(self, collection, key)

        patch.setattr(backend, "remove", remove)
        with pytest.raises(Broken):
            trash_run("run", opened())
    monkeypatch.setattr("dacapo.provenance.user", lambda: "somebody else")
    fill(opened(), run_config(), 0.25)
    new = content(opened(), "run")
    [pending] = unfinished(opened().configs.backend)
    finish(pending, opened())
    assert content(opened(), "run") == new
    assert unfinished(opened().configs.backend) == []


def test_a_removal_that_is_broken_off_is_done_again(opened, monkeypatch):
    fill(opened(), run_config())
    key = trash_run("run", opened())
    stores = opened()
    monkeypatch.setattr(type(stores.weights), "delete", lambda self, run: (_ for _ in ()).throw(Broken()))
    with pytest.raises(Broken):
        empty_trash(stores)
    monkeypatch.undo()
    assert [one.going for one in trashed(opened().configs)] == [True]
    with pytest.raises(NotFound, match="not in the trash"):
        restore_run(key, opened())
    assert [one.key for one in empty_trash(opened(), "30d")] == [key]
    assert opened().weights.backend.blob_runs() == []
