"""Pickles are read as plain data; whatever they would run is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.errors import CorruptData
from dacapo.store.legacy.import_pickles import import_pickles
from dacapo.store.legacy.pickles import load
from dacapo.store.place import place_of
from old_stores import NAME, OldFileStore, fill


class Running:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_come_back_those_of_numpy_too(tmp_path, protocol):
    entries = [
        {
            "iteration": i,
            "loss": np.float32(0.5),
            "time": np.float64(i),
            "more": [np.int64(7), np.bool_(True)],
        }
        for i in range(3)
    ]
    path = tmp_path / "pickle"
    path.write_bytes(pickle.dumps(entries, protocol))
    found = load(path)
    assert found == [{"iteration": i, "loss": 0.5, "time": float(i), "more": [7, True]} for i in range(3)]
    assert type(found[0]["loss"]) is float and type(found[0]["more"][0]) is int


def hostile(made: Path) -> dict[str, bytes]:
    command = f"touch {made}"
    text = str(made).encode()
    return {
        "system": pickle.dumps(Running(os.system, command)),
        "eval": pickle.dumps([{"loss": Running(eval, f"open({str(made)!r}, 'w')")}]),
        "mkdir": pickle.dumps({"a": Running(os.mkdir, str(made))}, 0),
        "getattr": pickle.dumps(Running(getattr, "x", "__class__")),
        "path": pickle.dumps(made),
        "array": pickle.dumps(np.zeros(3)),
        "objects": pickle.dumps(np.array([Running(os.mkdir, str(made))], object)),
        "object number": pickle.dumps(np.dtype(object)),
        "stack global": b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c%c%s\x85R." % (len(text), text),
        "inst": b"(S'" + text + b"'\nios\nmkdir\n.",
        "dotted": b"cnumpy\ndtype.__init__.__globals__\n.",
        "other scalar": b"cnumpy.core.multiarray\nfromfile\n.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Panything\n.",
        "changed function": b"cnumpy.core.multiarray\nscalar\nN}S'__call__'\nI1\ns\x86b.",
        "changed type": b"cnumpy\ndtype\n}S'kind'\nS'O'\nsb.",
        "cut short": pickle.dumps([1, 2, 3])[:-2],
        "rubbish": b"\xff\xfe rubbish",
        "nothing": b"",
    }  # fmt: skip


@pytest.mark.parametrize("which", list(hostile(Path("x"))))
def test_hostile_pickles_run_nothing(tmp_path, which):
    made, path = tmp_path / "made", tmp_path / "pickle"
    path.write_bytes(hostile(made)[which])
    with pytest.raises(CorruptData, match="is refused: .*; nothing of it was run"):
        load(path)
    assert not made.exists()


def test_the_commands_import_and_refuse(tmp_path):
    store = OldFileStore(tmp_path / "runs")
    fill(store, tmp_path / "data")
    path = store.root / "stats" / "training_stats" / NAME
    path.write_bytes(pickle.dumps(Running(os.mkdir, str(tmp_path / "made"))))
    (line,) = import_pickles(place_of())
    assert "it names posix.mkdir, and only numbers and texts are allowed" in line
    assert path.is_file() and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1},
        [1],
        [{"iteration": 1}],
        [{"iteration": "x", "loss": 1, "time": 1}],
        [{"iteration": -1, "loss": 1, "time": 1}],
    ],
)
def test_what_holds_no_stats_is_left(tmp_path, content):
    store = OldFileStore(tmp_path / "runs")
    fill(store, tmp_path / "data")
    store.stats(NAME, content)
    (line,) = import_pickles(place_of())
    assert "left as it is" in line
