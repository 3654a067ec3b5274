"""How the parts of checkpoints are called, and which of several checkpoints of an iteration counts.

iterations/<iteration>/manifest-<epoch>-<n>.json         the n-th that an epoch published
                      /manifest.json                     published without a lease
                      /<part>-<epoch>-<random>.safetensors

Each manifest has a name of its own, so that nobody who comes late can replace another's.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from dacapo.documents import Document

from .backend import Epoch
from .history import parts
from .manifest import CHECKPOINTS, checkpoint_path

MANIFEST = "manifest"
_MANIFEST = re.compile(rf"{CHECKPOINTS}/(0|[1-9][0-9]*)/({MANIFEST}(?:-([0-9]+)-([0-9]+))?\.json)", re.ASCII)
_EPOCH = re.compile(r"[a-z_]+-([0-9]+)-[0-9a-f]+\.(?:json|safetensors)", re.ASCII)


def new_manifest(epoch: int | None, there: Iterable[str]) -> str:
    """Return the name of an epoch's next manifest beside those that are there."""
    if epoch is None:
        return f"{MANIFEST}.json"
    found = [match for path in there if (match := _MANIFEST.fullmatch(path)) and match[3]]
    attempts = [int(match[4]) for match in found if int(match[3]) == epoch]
    return f"{MANIFEST}-{epoch}-{max(attempts, default=-1) + 1}.json"


def manifest_of(iteration: int, content: Document) -> str:
    """Return the name that a manifest says it was published under, or the plain one."""
    name = content.get("name")
    if isinstance(name, str) and _MANIFEST.fullmatch(checkpoint_path(iteration, name)):
        return name
    return f"{MANIFEST}.json"


def new_part(part: str, epoch: int | None) -> str:
    """Return a name that no part of a checkpoint ever had."""
    return f"{part}-{'' if epoch is None else f'{epoch}-'}{secrets.token_hex(4)}.safetensors"


def is_later(path: str, epoch: int) -> bool:
    """Say whether a blob was made in a later epoch than the given one."""
    match = _EPOCH.fullmatch(path.rpartition("/")[2])
    return match is not None and int(match[1]) > epoch


def counting(paths: Iterable[str], epochs: list[Epoch]) -> dict[int, str]:
    """Return the name of the manifest that counts for each iteration, of all the blobs of a run.

    What an epoch published where a later one had begun does not; of others that of the newest
    epoch, and the last of that.  Epochs that the store knows nothing of are believed: their
    stats were deleted, or lie elsewhere.
    """
    left = {part.number: part for part in parts(epochs)}
    begun = {epoch.number for epoch in epochs}
    best: dict[int, tuple[int, int, str]] = {}
    for match in filter(None, map(_MANIFEST.fullmatch, paths)):
        iteration, name, epoch = int(match[1]), match[2], -1 if match[3] is None else int(match[3])
        if part := left.get(epoch):
            if part.cut is not None and iteration > part.cut:
                continue
            if iteration == part.cut and part.checkpoint not in (None, name):
                continue
        elif epoch in begun:
            continue
        best[iteration] = max(best.get(iteration, (-2, 0, "")), (epoch, int(match[4] or 0), name))
    return {iteration: name for iteration, (_, _, name) in sorted(best.items())}
