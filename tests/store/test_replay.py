"""The power fails at any moment: what was acknowledged is there, and nothing is unreadable."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import dacapo
from dacapo.store import framed_log, publication
from dacapo.store.files import FileBackend
from dacapo.store.holder import Holder
from replay import Killed, Operation, after_power_cut, build, recording, states
from scripted import Seen, Session, go_on, is_between, observe, run_config, weights_of

# Those through which everything is written; ``array_store`` only removes, and the cache that
# ``document_index`` writes may be lost or damaged: it is made anew.  Archives lie outside of stores.
# Claims of the queue are links that a crash may take back: then the run waits again.
WRITERS = {"publication.py", "framed_log.py", "document_index.py", "archive.py"}
WRITERS |= {"queue_files.py", "queue_folder.py"}
WRITING = {"write", "fsync", "ftruncate", "link", "replace", "rename", "unlink", "rmdir", "mkdir", "rmtree"}
WRITING |= {
    "write_bytes",
    "write_text",
    "touch",
    "symlink",
    "symlink_to",
    "removedirs",
    "makedirs",
    "copyfile",
}


def recorded(root: Path) -> tuple[list[Operation], list[int], list[Seen]]:
    """Run the session; return its operations, where each command ended, and what was seen then."""
    root.mkdir()
    publication._lasting.clear()
    ends, seen = [0], [observe(FileBackend(root))]
    with recording(root) as recorder:
        for name, command in Session(FileBackend(root)).commands():
            command()
            ends.append(len(recorder.operations))
            assert ends[-1] > ends[-2], f"{name} did nothing"
            seen.append(observe(FileBackend(root)))
    return recorder.operations, ends, seen


def replayed(folder: Path, draws: int, seed: int = 0, every: int = 50) -> Iterator[int]:
    """Check every state that a power cut may leave of the session; go on from some; count them."""
    operations, ends, seen = recorded(folder / "session")
    known: dict[str, Seen] = {}
    for number, (length, how, tree) in enumerate(states(operations, draws, seed)):
        command = next(position for position, end in enumerate(ends) if end >= length)
        before = seen[command] if length == ends[command] else seen[command - 1]
        place = folder / "state"
        fingerprint = repr(tree)
        if fingerprint not in known or number % every == 0:
            build(tree, place)
            try:
                known[fingerprint] = observe(FileBackend(place))
                if number % every == 0:
                    with pytest.MonkeyPatch.context() as patch:  # whoever held the run is gone
                        patch.setattr(Holder, "is_gone", lambda self: True)
                        go_on(FileBackend(place))
            except Exception as error:
                raise AssertionError(f"{how}, after {operations[:length][-3:]}: {error}") from error
            shutil.rmtree(place)
        found = known[fingerprint]
        assert is_between(found, before, seen[command]), (
            f"{how}, after {operations[:length][-3:]}: {found}, and not {before} or {seen[command]}"
        )
        yield number


def test_whatever_a_power_cut_leaves_is_old_or_new(tmp_path: Path):
    assert sum(1 for _ in replayed(tmp_path, draws=0)) > 400


@pytest.mark.parametrize("forgotten", ["names", "names of logs", "bytes", "order"])
def test_what_is_not_forced_to_disk_is_found_out(tmp_path: Path, monkeypatch, forgotten: str):
    if forgotten == "names":
        monkeypatch.setattr(publication, "sync_folder", lambda path: None)
    elif forgotten == "names of logs":
        monkeypatch.setattr(framed_log, "sync_folder", lambda path: None)
    elif forgotten == "bytes":
        monkeypatch.setattr(framed_log.FramedLog, "_write", _without_forcing)
    else:
        monkeypatch.setattr(publication, "replace", _straight)
    with pytest.raises(AssertionError, match="after "):
        list(replayed(tmp_path, draws=0))


def _without_forcing(self, descriptor, data, end):
    framed_log.os.write(descriptor, data)


def _straight(path, chunks):
    publication.make_folder(path.parent)
    descriptor = publication.os.open(path, 0o1101, 0o666)  # write, create, truncate
    for chunk in chunks:
        publication.write_all(descriptor, chunk)
    publication.os.fsync(descriptor)
    publication.os.close(descriptor)
    publication.sync_folder(path.parent)


@pytest.mark.parametrize(
    "what",
    [
        lambda session: session.configs.store_run_config(run_config()),
        lambda session: session.train(5),
        lambda session: session.weights.store_weights("run", 5, weights_of(1.0)),
    ],
    ids=["a config", "stats", "a checkpoint"],
)
def test_who_comes_after_one_that_was_killed_leaves_nothing_to_chance(tmp_path: Path, what: Callable):
    """One is killed at any operation, another does the same to the end, then the power fails."""
    for step in range(1000):
        root = tmp_path / f"{step}"
        root.mkdir()
        with recording(root, dies_at=step) as recorder:
            publication._lasting.clear()
            with suppress(Killed):
                what(Session(FileBackend(root)))
            killed = len(recorder.operations) == step
            recorder.dies_at = None
            publication._lasting.clear()
            what(Session(FileBackend(root)))
        expected = observe(FileBackend(root))
        build(after_power_cut(recorder.operations), tmp_path / "state")
        assert observe(FileBackend(tmp_path / "state")) == expected, recorder.operations
        shutil.rmtree(tmp_path / "state")
        if not killed:
            assert step > 8
            return


def test_files_of_the_store_are_written_in_two_modules_only():
    """Otherwise the record would not have everything, and nor would the thoughts about crashes."""
    found = []
    for path in sorted((Path(dacapo.__file__).parent / "store").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if path.name in WRITERS or not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and _writes(node.func, node.args):
                found.append(f"{path.name}, line {node.lineno}: {ast.unparse(node)}")
    assert not found


def _writes(function: ast.Attribute, arguments: list[ast.expr]) -> bool:
    if function.attr == "open":
        mode = next((one.value for one in arguments if isinstance(one, ast.Constant)), "r")
        return ast.unparse(function.value) == "os" or not str(mode).startswith("r")
    whose = ast.unparse(function.value)
    if function.attr in ("write", "replace", "link"):  # texts are replaced too, and logs written
        return whose == "os"
    return function.attr in WRITING and whose not in ("publication", "session", "self", "cls")
