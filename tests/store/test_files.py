"""The file backend against what every backend has to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dacapo.store.backend import Block
from dacapo.store.files import FileBackend
from dacapo.testing import stores


@pytest.mark.parametrize("check", stores.CHECKS, ids=lambda check: check.__name__)
def test_files_conform(check: stores.Check, tmp_path: Path) -> None:
    check(lambda: FileBackend(tmp_path / "place"))


class Forgetful(FileBackend):
    """Replaces what it should keep."""

    def put(self, collection, key, document, *, replace=False):
        return super().put(collection, key, document, replace=True)


class Careless(FileBackend):
    """Appends whatever it is given."""

    def append_block(self, run, epoch, block):
        due = self.tail(run, epoch).sequence
        super().append_block(run, epoch, Block(due, block.iterations, block.columns))


class Greedy(FileBackend):
    """Removes more than it is asked to."""

    def remove_stats(self, run):
        return super().remove_stats(run) | super().remove_scores(run)


class Hasty(FileBackend):
    """Shows blobs before they are whole."""

    def put_blob(self, run, name, chunks):
        data = b""
        for chunk in chunks:
            data += bytes(chunk)
            super().put_blob(run, name, [data])


class Rounding(FileBackend):
    """Keeps numbers only nearly."""

    def append_block(self, run, epoch, block):
        columns = {name: column.astype("f4").astype("f8") for name, column in block.columns.items()}
        super().append_block(run, epoch, Block(block.sequence, block.iterations, columns))


@pytest.mark.parametrize(
    ("backend", "failing"),
    [
        (Forgetful, "a_key_is_given_once"),
        (Careless, "a_sequence_is_used_once"),
        (Greedy, "logs_are_removed"),
        (Hasty, "a_blob_is_never_half_there"),
        (Rounding, "blocks_come_back_in_order"),
    ],
)
def test_the_checks_find_what_is_wrong(backend: type[FileBackend], failing: str, tmp_path: Path):
    with pytest.raises(AssertionError):
        getattr(stores, failing)(lambda: backend(tmp_path / "place"))
