"""One run with everything in one file, and back: a zip file whose members are listed with size and SHA-256.

    manifest.json                        format, run, and each other member's size and SHA-256; sealed
    config.json                          the document of the run's config
    epochs.json                          where the stretches of its training begin
    best.json                            which checkpoint is best by what
    remarks.json                         tags and notes
    stats/<epoch>, scores/<epoch>        appends, each behind its length in 8 bytes
    checkpoints/<iteration>/...          manifest and safetensors, as in the store

Members are not compressed: weights would gain nothing, and what is as large as the file says
cannot blow up.
"""

from __future__ import annotations

import os
import secrets
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dacapo.documents import to_json
from dacapo.errors import DuplicateNameError, InvalidRequest, NotFound
from dacapo.provenance import version

from .blocks import encode_block, encode_scores
from .history import write_epoch
from .manifest import MANIFEST, Digest, seal
from .publication import HIDDEN, explained, sync_folder
from .run_content import Checkpoint, RunContent

FORMAT = 1
CHOICES = ("all", "best", "latest", "none")
TEXTS = CONFIG, EPOCHS, BESTS, REMARKS = "config.json", "epochs.json", "best.json", "remarks.json"
LENGTH = struct.Struct("<Q")
_DATE = (1980, 1, 1, 0, 0, 0)  # the same run makes the same file


def export_run(
    content: RunContent, path: Path, weights: str = "all", *, overwrite: bool = False
) -> dict[str, Any]:
    """Write a run into a file, which appears when it is whole; return what went into it.

    ``weights`` says which checkpoints: ``all``, ``best`` (by what is recorded), ``latest``, ``none``.
    Raises ``DuplicateNameError`` if there is a file of that name, unless it may be overwritten,
    ``CorruptData`` if a checkpoint fails its checksum.
    """
    if weights not in CHOICES:
        raise InvalidRequest(f"weights = {weights!r}: should be one of {', '.join(CHOICES)}")
    if path.exists() and not overwrite:
        _refuse(path)
    config = content.config()
    if config is None:
        raise NotFound(f"run {content.key}: no such config in {content.place}; see  dacapo run list")
    with _published(path, overwrite) as file, zipfile.ZipFile(file, "w") as zipped:
        counts = _Writer(zipped).write(content, config, weights)
    return counts | {"bytes": path.stat().st_size}


class _Writer:
    """Adds members one by one, and the list of them at the end."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        self._zipped = zipped
        self._members: dict[str, dict[str, Any]] = {}

    def write(self, content: RunContent, config: dict[str, Any], weights: str) -> dict[str, Any]:
        """Write all members, and return how many of each thing there are."""
        best, kept = content.best(), content.checkpoints()
        bests = {int(document["iteration"]) for document in best.values()}
        chosen = {"latest": kept[-1:], "none": [], "best": [one for one in kept if one in bests]}
        kept = chosen.get(weights, kept)
        # A record without its checkpoint would promise weights that are not there.
        best = {name: document for name, document in best.items() if document["iteration"] in kept}
        epochs = content.epochs()
        self._add(CONFIG, [to_json(config, indent=1).encode()])
        self._add(EPOCHS, [to_json([write_epoch(epoch) for epoch in epochs]).encode()])
        self._add(BESTS, [to_json(best, indent=1).encode()])
        self._add(REMARKS, [to_json(content.remarks(), indent=1).encode()])
        iterations = records = 0
        for epoch in epochs:
            blocks, scores = content.blocks(epoch.number), content.scores(epoch.number)
            self._add(f"stats/{epoch.number}", _framed(map(encode_block, blocks)))
            self._add(f"scores/{epoch.number}", _framed(map(encode_scores, scores)))
            iterations += sum(len(block.iterations) for block in blocks)
            records += len(scores)
        checkpoints = [one for one in map(content.checkpoint, kept) if one is not None]
        for checkpoint in checkpoints:
            self._add_checkpoint(content, checkpoint)
        self._finish(content)
        counts = {"iterations": iterations, "scores": records}
        return counts | {"checkpoints": len(checkpoints), "best": len(best)}

    def _add_checkpoint(self, content: RunContent, checkpoint: Checkpoint) -> None:
        folder = f"checkpoints/{checkpoint.iteration}"
        for name, part in checkpoint.parts.items():
            buffer = content.blob(checkpoint.iteration, part["blob"])
            checkpoint.check(name, buffer)
            self._add(f"{folder}/{part['blob']}", [buffer])
        self._add(f"{folder}/{MANIFEST}", [seal(checkpoint.manifest)])

    def _finish(self, content: RunContent) -> None:
        manifest = {
            "archive": FORMAT,
            "written_by": f"dacapo {version('dacapo')}",
            "run": str(content.key),
            "members": dict(self._members),
        }
        self._add(MANIFEST, [seal(manifest)])

    def _add(self, name: str, chunks: Iterable[Any]) -> None:
        info = zipfile.ZipInfo(name, _DATE)
        info.external_attr = 0o644 << 16
        digest = Digest(chunks)
        with self._zipped.open(info, "w", force_zip64=True) as member:
            for chunk in digest:
                member.write(chunk)
        self._members[name] = {"size": digest.size, "sha256": digest.hexdigest()}


def _framed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield LENGTH.pack(len(piece))
        yield piece


@contextmanager
def _published(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Give a hidden file to write, and let it appear under its name once it is forced to disk."""
    hidden = path.with_name(f"{HIDDEN}part-{secrets.token_hex(8)}")
    with explained(path, "writing"):
        try:
            with hidden.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(hidden, path)
            else:
                _link(hidden, path)
            sync_folder(path.parent)
        finally:
            hidden.unlink(missing_ok=True)


def _link(hidden: Path, path: Path) -> None:
    """Give a file its name, unless it is taken."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        _refuse(path)
    except OSError:  # a file system without links, as on memory sticks
        if path.exists():
            _refuse(path)
        os.replace(hidden, path)


def _refuse(path: Path) -> None:
    raise DuplicateNameError(f"{path} is there already; choose another name, or add  --overwrite")
