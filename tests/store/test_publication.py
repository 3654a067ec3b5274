"""Files appear whole or not at all, wherever the writer dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from dacapo.errors import StoreError
from dacapo.experiments.training_stats import TrainingIterationStats, TrainingStats
from dacapo.store import publication
from dacapo.store.backend import Block, Epoch
from dacapo.store.files import FileBackend
from dacapo.store.framed_log import FramedLog
from dacapo.store.publication import (
    create,
    make_folder,
    remove_tree,
    replace,
    replace_all,
    visible,
    write_all,
)
from dacapo.store.stats_store import StatsStore
from dacapo.store.weights_store import Weights, WeightsStore

CALLS = ("write", "fsync", "link", "replace", "rename", "mkdir", "unlink", "rmdir", "open", "ftruncate")


class Killed(BaseException):
    """The process is dead: nothing it does from here on has any effect."""


@contextmanager
def killed_at(step: int) -> Iterator[list[str]]:
    """Let ``step`` operations on files happen, the next one half, and none after it."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real = {name: getattr(os, name) for name in CALLS}
        for name in CALLS:

            def counting(*arguments, _name=name, **options):
                done.append(_name)
                if len(done) <= step:
                    return real[_name](*arguments, **options)
                if len(done) == step + 1 and _name == "write":
                    real[_name](arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise Killed

            patch.setattr(os, name, counting)
        yield done


def at_every_step(act: Callable[[], object], check: Callable[[], None]) -> int:
    """Kill ``act`` at every operation; check after each; return how many there were."""
    for step in range(1000):
        with killed_at(step) as done, suppress(Killed):
            act()
        check()
        if len(done) <= step:
            return step
    raise AssertionError("it never ended")


def test_creating_is_all_or_nothing(tmp_path: Path):
    path = tmp_path / "deep" / "folder" / "file"
    contents: list[bytes] = []

    def check() -> None:
        contents.append(path.read_bytes() if path.exists() else b"")
        assert contents[-1] in (b"", b"whole content")
        assert visible(path.parent) in ([], ["file"])

    assert at_every_step(lambda: create(path, [b"whole ", b"content"]), check) >= 5
    assert contents[0] == b"" and contents[-1] == b"whole content"
    assert len(os.listdir(path.parent)) > 1  # what the dead have left
    publication.sweep([tmp_path], -60)
    assert os.listdir(path.parent) == ["file"]


def test_replacing_is_all_or_nothing(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    contents: list[bytes] = []

    def check() -> None:
        contents.append(path.read_bytes())
        assert contents[-1] in (b"old", b"new content")

    at_every_step(lambda: replace(path, [b"new ", b"content"]), check)
    assert contents[0] == b"old" and contents[-1] == b"new content"


def test_a_document_is_old_or_new_at_every_step(tmp_path: Path):
    backend = FileBackend(tmp_path)
    backend.put("tasks", "a", {"x": "old"})
    at_every_step(
        lambda: backend.put("tasks", "a", {"x": "new"}, replace=True),
        lambda: _assert_one_of(FileBackend(tmp_path).get("tasks", "a"), [{"x": "old"}, {"x": "new"}]),
    )
    assert backend.get("tasks", "a") == {"x": "new"}


def test_a_checkpoint_is_old_or_new_at_every_step(tmp_path: Path):
    store = WeightsStore(FileBackend(tmp_path))
    store.store_weights("run", 10, Weights({"x": np.zeros(50)}, {"y": np.zeros(5)}))

    def check() -> None:
        weights = WeightsStore(FileBackend(tmp_path)).retrieve_weights("run", 10)
        assert weights.optimizer is not None
        _assert_one_of((weights.model["x"][0], weights.optimizer["y"][0]), [(0.0, 0.0), (1.0, 1.0)])

    steps = at_every_step(
        lambda: store.store_weights("run", 10, Weights({"x": np.ones(50)}, {"y": np.ones(5)})), check
    )
    assert steps > 15
    assert store.retrieve_weights("run").model["x"][0] == 1.0
    assert len(FileBackend(tmp_path).blobs("run")) == 3


def test_a_new_checkpoint_is_there_or_not_at_every_step(tmp_path: Path):
    store = WeightsStore(FileBackend(tmp_path))
    store.store_weights("run", 10, Weights({"x": np.zeros(50)}))

    def check() -> None:
        reader = WeightsStore(FileBackend(tmp_path))
        latest = reader.latest_iteration("run")
        assert reader.retrieve_weights("run").model["x"][0] == {10: 0.0, 20: 1.0}[latest]

    at_every_step(lambda: store.store_weights("run", 20, Weights({"x": np.ones(50)})), check)
    assert store.latest_iteration("run") == 20


def test_appended_stats_are_there_or_not_at_every_step(tmp_path: Path):
    def stats(end: int) -> TrainingStats:
        return TrainingStats(TrainingIterationStats(i, float(i), 1.0) for i in range(end))

    StatsStore(FileBackend(tmp_path)).store_training_stats("run", stats(5))

    def check() -> None:
        found = StatsStore(FileBackend(tmp_path)).retrieve_training_stats("run")
        assert found in (stats(5), stats(9))

    at_every_step(lambda: StatsStore(FileBackend(tmp_path)).store_training_stats("run", stats(9)), check)
    assert StatsStore(FileBackend(tmp_path)).retrieve_training_stats("run") == stats(9)


def test_deleted_logs_are_there_or_not_at_every_step(tmp_path: Path):
    def fill() -> None:
        backend = FileBackend(tmp_path)
        backend.remove_stats("run")
        for epoch in range(3):
            backend.add_epoch("run", Epoch(epoch, epoch))
            backend.append_block("run", epoch, Block(0, np.array([epoch]), {"loss": np.array([1.0])}))

    def check() -> None:
        _assert_one_of(len(FileBackend(tmp_path).epochs("run")), [0, 3])

    fill()
    at_every_step(lambda: FileBackend(tmp_path).remove_stats("run"), check)
    assert FileBackend(tmp_path).epochs("run") == []


def test_two_who_create_the_same_file_do_not_both_succeed(tmp_path: Path):
    assert create(tmp_path / "a", [b"first"])
    assert not create(tmp_path / "a", [b"second"])
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path / "") and visible(tmp_path) == ["a", "home"]


def test_a_link_whose_answer_was_lost_counts(tmp_path: Path, monkeypatch):
    link = os.link

    def made_but_refused(source, target):
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", made_but_refused)
    assert create(tmp_path / "a", [b"x"])


def test_files_can_be_read_by_the_group(tmp_path: Path):
    before = os.umask(0o022)
    try:
        create(tmp_path / "a", [b"x"])
        publication.touch([tmp_path / "b"])
        publication.overwrite(tmp_path / "c", b"x")
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in "abc"} == {0o644}


def test_what_is_unfinished_is_not_listed(tmp_path: Path):
    folder = tmp_path / "folder"
    make_folder(folder)
    for name in ("b", "a", ".part-x", ".deleted-y", ".nfs0001"):
        (folder / name).touch()
    assert visible(folder) == ["a", "b"]
    assert visible(tmp_path / "missing") == []
    assert visible(folder / "a") == []


def test_a_folder_that_somebody_else_makes_in_this_moment_will_do(tmp_path: Path, monkeypatch):
    folder, is_dir = tmp_path / "folder", Path.is_dir

    def not_yet(path: Path) -> bool:
        there = is_dir(path)
        if path == folder and not there:
            os.mkdir(path)
        return there

    monkeypatch.setattr(Path, "is_dir", not_yet)
    make_folder(folder / "inner")
    assert (folder / "inner").is_dir()


def test_an_error_says_where_and_how_much_room_there_is(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"writing .*file/inner failed: .*; \d+ MB are free there, and it may be"
    ):
        replace(tmp_path / "file" / "inner", [b"x"])


def test_whatever_the_system_refuses_is_told_with_what_was_done(tmp_path: Path, monkeypatch):
    backend = FileBackend(tmp_path)
    backend.put("tasks", "a", {})
    backend.append_block("run", 0, Block(0, np.array([0]), {}))
    backend.put_blob("run", "blob", [b"x"])
    [log] = [path for path in tmp_path.rglob("0.*") if path.is_file() and path.read_bytes()[:4] == b"DcpF"]

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    for name in ("open", "listdir", "unlink", "rename"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(Path, "open", refuse)
    for doing, act in (
        ("reading", lambda: backend.get("tasks", "a")),
        ("listing", lambda: backend.keys("tasks")),
        ("removing", lambda: backend.remove("tasks", "a")),
        ("reading", lambda: FileBackend(tmp_path).blocks("run", 0)),
        ("reading", lambda: FramedLog(log).frames()),
        ("reading", lambda: FramedLog(log).bodies()),
        ("reading", lambda: FileBackend(tmp_path).tail("run", 0)),
        ("reading", lambda: backend.get_blob("run", "blob", mapped=True)),
        ("listing", lambda: backend.remove_blobs("run")),
        ("removing", lambda: remove_tree(log.parent)),
        ("writing", lambda: backend.put("tasks", "b", {})),
    ):
        with pytest.raises(StoreError, match=f"^{doing} {tmp_path}/.* failed: Permission denied; "):
            act()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert remove_tree(tmp_path / "link")
    assert os.listdir(tmp_path / "elsewhere") == ["precious"]
    assert visible(tmp_path) == ["elsewhere", "home"]


def test_what_a_removal_that_was_broken_off_has_left_is_swept(tmp_path: Path, monkeypatch):
    (tmp_path / "folder").mkdir()

    def die(path: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(publication.shutil, "rmtree", die)
        with pytest.raises(Killed):
            remove_tree(tmp_path / "folder")
    [left] = publication.sweep([tmp_path], -60)
    assert left.name.startswith(".deleted-") and not left.exists()


def test_removing_what_is_not_there_is_told(tmp_path: Path):
    assert not remove_tree(tmp_path / "missing")
    assert not publication.remove_file(tmp_path / "missing")


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch):
    write = os.write
    monkeypatch.setattr(publication.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with (tmp_path / "a").open("wb") as file:
        write_all(file.fileno(), b"a longer text")
    assert (tmp_path / "a").read_bytes() == b"a longer text"


def _assert_one_of(value: object, choices: list) -> None:
    assert value in choices


def test_what_was_left_unfinished_is_swept_once_it_is_old(tmp_path: Path):
    left = "0123456789abcdef"
    ours = [
        tmp_path / f".part-{left}",
        tmp_path / "a" / f".clock-{left}",
        tmp_path / "a" / f".deleted-{left}",
    ]
    ours[2].mkdir(parents=True)
    (ours[2] / "file").touch()
    others = [
        tmp_path / ".part-short",
        tmp_path / ".git" / f".part-{left}",
        tmp_path / "a" / f"x.part-{left}",
    ]
    others[1].parent.mkdir()
    for path in (*ours[:2], *others):
        path.touch()
    assert publication.sweep([tmp_path], 60) == []
    assert sorted(publication.sweep([tmp_path], -60, dry_run=True)) == sorted(ours)
    assert all(path.exists() for path in (*ours, *others))
    assert sorted(publication.sweep([tmp_path / "a", tmp_path], -60)) == sorted([*ours, *ours[1:]])
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)
    assert publication.sweep([tmp_path / "nothing"], -60) == []


def test_an_interrupted_move_is_gone_on_with_and_replaces_nothing(tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    (source / "a").mkdir(parents=True)
    (source / "a" / "1").touch()
    assert publication.move_tree(source, target)
    assert not source.exists() and (target / "a" / "1").exists()
    assert not publication.move_tree(source, target)
    (source / "a").mkdir(parents=True)
    for name in ("a/2", "b"):
        (source / name).touch()
    assert publication.move_tree(source, target)
    assert not source.exists() and sorted(visible(target / "a")) == ["1", "2"] and (target / "b").exists()
    source.mkdir()
    (source / "b").write_text("another")
    with pytest.raises(StoreError, match=f"moving {source} failed: there is a b in {target} already;"):
        publication.move_tree(source, target)
    assert (target / "b").read_text() == "" and (source / "b").read_text() == "another"


def test_a_folder_goes_only_when_it_is_empty(tmp_path: Path):
    folder = tmp_path / "folder"
    assert not publication.remove_if_empty(folder)
    folder.mkdir()
    (folder / "file").touch()
    assert not publication.remove_if_empty(folder)
    assert publication.remove_file(folder / "file") and not publication.remove_file(folder / "file")
    assert publication.remove_if_empty(folder) and not folder.exists()


def test_a_large_file_comes_back_though_the_disk_begins_early(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(publication, "_EARLY", 10)
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, *given: told.append(given))
    chunks = [bytes([one]) * 6 for one in range(7)]
    assert create(tmp_path / "file", chunks)
    assert (tmp_path / "file").read_bytes() == b"".join(chunks)
    assert told == [(begun, 12, os.POSIX_FADV_DONTNEED) for begun in (0, 12, 24)]

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    replace(tmp_path / "file", chunks[1:])
    assert (tmp_path / "file").read_bytes() == b"".join(chunks[1:])


def test_of_files_that_are_written_together_none_comes_before_all_are_written(tmp_path: Path):
    folder = tmp_path / "folder"
    replace(folder / "a", [b"old"])

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        replace_all({folder / "a": [b"new"], folder / "b": broken()})
    assert os.listdir(folder) == ["a"] and (folder / "a").read_bytes() == b"old"
    with killed_at(1000) as done:
        replace_all({folder / "a": [b"new"], folder / "b": [b"too"]})
    assert ((folder / "a").read_bytes(), (folder / "b").read_bytes()) == (b"new", b"too")
    assert [call for call in done if call in ("fsync", "replace")] == ["fsync"] * 2 + ["replace"] * 2 + [
        "fsync"
    ]
