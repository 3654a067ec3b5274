"""Reading the file of an exported run: anybody may have made it, so all is checked before any is used.

Nothing is ever unpacked to a path, and nothing found inside is run.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dacapo.documents import Document, from_json
from dacapo.errors import CorruptData, DacapoError, InvalidArchive, NewerFormat, NotFound
from dacapo.names import run_key, segment

from . import plain_data
from .archive import BESTS, CONFIG, EPOCHS, FORMAT, LENGTH, REMARKS, TEXTS
from .backend import Block, Epoch, ScoresRecord
from .blocks import decode_block, decode_scores
from .history import is_plain, read_epoch
from .listing import NOTES
from .manifest import MANIFEST, unsealed
from .remarks import TAGS, check_tag
from .run_content import Checkpoint, RunContent

_MEMBER = re.compile(
    r"(config|epochs|best|remarks)\.json|(stats|scores)/\d{1,18}"
    r"|checkpoints/\d{1,18}/(manifest\.json|[a-z_]{1,40}(-\d{1,18})?-[0-9a-f]{1,32}\.safetensors)",
    re.ASCII,
)
_CHUNK = 2**20
_LARGEST_TEXT = 2**28  # of what is read as JSON in one piece
_AGAIN = "export the run again, or get the file again"


@contextmanager
def opened_archive(path: Path) -> Iterator[ArchivedRun]:
    """Open the file of an exported run, and check all of it.

    Raises ``NotFound`` without a file, ``CorruptData`` if a member fails its checksum,
    ``NewerFormat`` if a newer DaCapo wrote it, and ``InvalidArchive`` for anything that
    ``export`` does not write.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}; make one with  dacapo export RUN {path.name}")
    try:
        with zipfile.ZipFile(path) as zipped:
            run = ArchivedRun(path, zipped, path.stat().st_size)
            run.check()
            yield run
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise InvalidArchive(f"{path} is no readable zip file: {error}; {_AGAIN}") from error


class ArchivedRun(RunContent):
    """A run in a file; ``check`` comes first."""

    def __init__(self, path: Path, zipped: zipfile.ZipFile, size: int) -> None:
        self.path, self._zipped, self._size = path, zipped, size
        self.members: dict[str, dict[str, Any]] = {}

    @property
    def place(self) -> str:
        return f"the file {self.path}"

    def check(self) -> None:
        """Compare everything in the file with what an exported run has to be."""
        entries = self._zipped.infolist()
        for entry in entries:
            self._check_entry(entry)
        name, count = Counter(entry.filename for entry in entries).most_common(1)[0] if entries else ("", 0)
        if count > 1:
            self._refuse(f"the member {name!r:.80} is there {count} times")
        if sum(entry.file_size for entry in entries) > self._size:
            self._refuse("its members overlap: together they are larger than the file")
        sizes = {entry.filename: entry.file_size for entry in entries}
        with self._understood(MANIFEST):
            self._check_manifest(sizes)
        for name, member in self.members.items():
            self._check_sum(name, member)
        for look in (self.config, self.epochs, self.best, self.remarks):
            look()
        for epoch in self.epochs():
            self.blocks(epoch.number)
            self.scores(epoch.number)
        self._check_checkpoints()
        self._check_belonging()

    # what a zip file may do

    def _check_entry(self, entry: zipfile.ZipInfo) -> None:
        """Refuse what no exported run has: names that lead elsewhere, links, compression, passwords."""
        name = entry.orig_filename
        parts = re.split(r"[/\\]", name)
        if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
            self._refuse(f"the member {name!r:.80} has an absolute path")
        if ".." in parts or "\\" in name or "\0" in name:
            self._refuse(f"the member {name!r:.80} has a path that may lead out of the archive")
        if stat.S_ISLNK(entry.external_attr >> 16):
            self._refuse(f"the member {name!r:.80} is a link")
        if entry.flag_bits & 1:
            self._refuse(f"the member {name!r:.80} is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            self._refuse(
                f"the member {name!r:.80} is compressed ({entry.compress_size} bytes that would become "
                f"{entry.file_size}), and an export is not"
            )
        if name != MANIFEST and not _MEMBER.fullmatch(name):
            self._refuse(f"the member {name!r:.80} is unknown")

    def _check_manifest(self, sizes: dict[str, int]) -> None:
        """Read the list of members, and compare it with what is there."""
        if MANIFEST not in sizes:
            self._refuse(f"it has no {MANIFEST}, so it is no exported run")
        manifest = unsealed(self._read(MANIFEST), str(self.path), _AGAIN)
        if manifest["archive"] > FORMAT:
            raise NewerFormat(
                f"{self.path} was written by a newer DaCapo ({manifest['written_by']}), in format "
                f"{manifest['archive']}; this one knows {FORMAT}. Upgrade with  pip install --upgrade dacapo"
            )
        self.key = run_key(manifest["run"])
        self.members = manifest["members"]
        for name in [*TEXTS, *self.members]:
            if name not in sizes or name not in self.members:
                self._refuse(f"the member {name!r:.80} is missing")
            if sizes[name] != self.members[name]["size"]:
                raise CorruptData(f"{self.path}: {name} has not the size that its {MANIFEST} says; {_AGAIN}")
        if unlisted := sizes.keys() - self.members.keys() - {MANIFEST}:
            self._refuse(f"the member {min(unlisted)!r:.80} is not in its {MANIFEST}")

    def _check_sum(self, name: str, member: dict[str, Any]) -> None:
        sha256 = hashlib.sha256()
        with self._damage_named(name), self._zipped.open(name) as file:
            while chunk := file.read(_CHUNK):
                sha256.update(chunk)
        if sha256.hexdigest() != member["sha256"]:
            raise CorruptData(f"{self.path}: {name} fails its checksum; {_AGAIN}")

    def _read(self, name: str) -> bytes:
        if self._zipped.getinfo(name).file_size > _LARGEST_TEXT:
            self._refuse(f"the member {name!r:.80} is larger than a text of this sort can be")
        return self._content(name)

    def _content(self, name: str) -> bytes:
        with self._damage_named(name):
            return self._zipped.read(name)

    @contextmanager
    def _damage_named(self, name: str) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, EOFError) as error:
            raise CorruptData(f"{self.path}: {name} is damaged ({error}); {_AGAIN}") from error

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidArchive(f"{self.path} is refused: {reason}; import only what  dacapo export  wrote")

    # what the members hold

    @contextmanager
    def _understood(self, name: str) -> Iterator[None]:
        """Turn whatever is wrong with a member into one error."""
        try:
            yield
        except (InvalidArchive, CorruptData, NewerFormat):
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, DacapoError) as error:
            self._refuse(f"{name} is not what it should be ({type(error).__name__}: {error})")

    def _json(self, name: str) -> Any:
        with self._understood(name):
            return from_json(self._read(name).decode())

    def _document(self, name: str, value: Any) -> Document:
        if not isinstance(value, dict):
            self._refuse(f"{name} holds no document")
        with self._understood(name):
            return plain_data.copied(value)

    def config(self) -> Document:
        document = self._document(CONFIG, self._json(CONFIG))
        with self._understood(CONFIG):
            key = run_key(f"{document.get('name')}:{document.get('repetition', 0)}")
        if key != self.key:
            self._refuse(f"{CONFIG} is of run {key}, and {MANIFEST} of {self.key}")
        return document

    def epochs(self) -> list[Epoch]:
        with self._understood(EPOCHS):
            epochs = [read_epoch(entry) for entry in self._json(EPOCHS)]
        numbers = [epoch.number for epoch in epochs]
        if not all(map(is_plain, epochs)) or numbers != sorted({*numbers}):
            self._refuse(f"{EPOCHS} should list epochs by increasing numbers")
        return epochs

    def blocks(self, epoch: int) -> list[Block]:
        name = f"stats/{epoch}"
        with self._understood(name):
            blocks = [decode_block(data, at) for at, data in enumerate(self._pieces(name))]
        for block in blocks:
            if not len(block.iterations) or (np.diff(block.iterations) <= 0).any() or not block.columns:
                self._refuse(f"{name} should have increasing iterations and their numbers")
        return blocks

    def scores(self, epoch: int) -> list[ScoresRecord]:
        name = f"scores/{epoch}"
        with self._understood(name):
            records = [decode_scores(data) for data in self._pieces(name)]
        for record in records:
            if type(record.iteration) is not int or not isinstance(record.dataset, str):
                self._refuse(f"{name} should have an iteration and a dataset in each record")
            self._document(name, {"parameters": record.parameters, "criteria": record.criteria})
        return records

    def _pieces(self, name: str) -> list[bytes]:
        """Return the appends that are in a member, each behind its length."""
        if name not in self.members:
            self._refuse(f"the member {name!r} is missing")
        data, at, pieces = self._content(name), 0, []
        while at < len(data):
            head = data[at : at + LENGTH.size]
            length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else len(data)
            at += LENGTH.size + length
            if at > len(data):
                self._refuse(f"{name} ends in the middle of an append")
            pieces.append(data[at - length : at])
        return pieces

    def best(self) -> dict[str, Document]:
        found, kept = self._document(BESTS, self._json(BESTS)), {*self.checkpoints()}
        for name, document in found.items():
            with self._understood(BESTS):
                means = segment(f"{document['dataset']}/{document['criterion']}"), document["run"]
                known = means == (name, str(self.key)) and document["iteration"] in kept
            if not known:
                self._refuse(f"{BESTS}: {name!r:.80} is not what it says, or its checkpoint is not there")
        return found

    def remarks(self) -> dict[str, dict[str, Document]]:
        found = self._document(REMARKS, self._json(REMARKS))
        with self._understood(REMARKS):
            tags, notes = found.get(TAGS, {}), found.get(NOTES, {})
            right = found.keys() <= {TAGS, NOTES} and all(check_tag(tag) == tag for tag in tags)
            right = right and all(re.fullmatch("[0-9a-f]{1,40}", number) for number in notes)
            texts = [document[field] for document in tags.values() for field in ("by", "at")]
            texts += [document[field] for document in notes.values() for field in ("by", "at", "text")]
        if not right or not all(isinstance(text, str) for text in texts):
            self._refuse(f"{REMARKS} should hold tags and notes")
        return found

    def checkpoints(self) -> list[int]:
        found = (re.fullmatch(rf"checkpoints/(\d+)/{re.escape(MANIFEST)}", name) for name in self.members)
        return sorted(int(match[1]) for match in found if match)

    def blob(self, iteration: int, name: str) -> bytes | None:
        member = f"checkpoints/{iteration}/{name}"
        return self._content(member) if member in self.members else None

    def _check_checkpoints(self) -> None:
        """Compare the checkpoints' own manifests with the members that they mean."""
        for iteration in self.checkpoints():
            where = f"checkpoints/{iteration}"
            with self._understood(where):
                checkpoint = self.checkpoint(iteration)
                if checkpoint is None:
                    self._refuse(f"{where} should be written without leading zeros")
                self._check_parts(checkpoint)

    def _check_parts(self, checkpoint: Checkpoint) -> None:
        if (checkpoint.manifest["run"], checkpoint.manifest["iteration"]) != (
            str(self.key),
            checkpoint.iteration,
        ):
            self._refuse(f"checkpoint {checkpoint.iteration} says that it is another one")
        for part in checkpoint.parts.values():
            member = self.members[f"checkpoints/{checkpoint.iteration}/{part['blob']}"]
            if (member["size"], member["sha256"]) != (part["size"], part["sha256"]):
                self._refuse(f"checkpoint {checkpoint.iteration} names a part that is another one")

    def _check_belonging(self) -> None:
        """Refuse members that nothing else in the file speaks of."""
        epochs = {epoch.number for epoch in self.epochs()}
        meant = {f"{sort}/{number}" for sort in ("stats", "scores") for number in epochs}
        for iteration in self.checkpoints():
            checkpoint = self.checkpoint(iteration)
            blobs = [part["blob"] for part in checkpoint.parts.values()] if checkpoint else []
            meant |= {f"checkpoints/{iteration}/{name}" for name in (MANIFEST, *blobs)}
        if strange := self.members.keys() - meant - {*TEXTS}:
            self._refuse(f"nothing in it speaks of the member {min(strange)!r:.80}")
