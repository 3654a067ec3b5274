"""All that is kept of one run, wherever it is kept: what copying, exporting and importing have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import attrs

from dacapo.documents import Document
from dacapo.errors import CorruptData
from dacapo.names import RunKey

from . import checkpoint_names
from .backend import Block, Epoch, ScoresRecord
from .config_store import RUNS
from .manifest import CHECKPOINTS, MANIFEST, checkpoint_path, unseal
from .place import Place
from .remarks import Remarks

BEST = "best"


class RunContent(ABC):
    """What is kept of one run, each thing read when it is asked for."""

    key: RunKey

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is kept, in words."""

    @abstractmethod
    def config(self) -> Document | None:
        """Return the document of the run's config; None if there are only its numbers and checkpoints."""

    @abstractmethod
    def epochs(self) -> list[Epoch]:
        """Return all epochs, oldest first."""

    @abstractmethod
    def blocks(self, epoch: int) -> list[Block]:
        """Return the training stats of an epoch."""

    @abstractmethod
    def scores(self, epoch: int) -> list[ScoresRecord]:
        """Return the validation scores of an epoch."""

    @abstractmethod
    def best(self) -> dict[str, Document]:
        """Return what is recorded as best, by the last part of its key."""

    @abstractmethod
    def remarks(self) -> dict[str, dict[str, Document]]:
        """Return tags and notes, as ``Remarks.documents`` does."""

    @abstractmethod
    def checkpoints(self) -> list[int]:
        """Return the iterations of all published checkpoints."""

    @abstractmethod
    def blob(self, iteration: int, name: str) -> Any:
        """Return the bytes of a blob of a checkpoint in a buffer, or None."""

    def checkpoint(self, iteration: int) -> Checkpoint | None:
        """Return what a checkpoint consists of; None if it was removed meanwhile."""
        data = self.blob(iteration, MANIFEST)
        if data is None:
            return None
        what = f"checkpoint {iteration} of run {self.key} in {self.place}"
        return Checkpoint(iteration, unseal(bytes(data), what), what)


@attrs.frozen
class Checkpoint:
    """The manifest of a checkpoint, read."""

    iteration: int
    manifest: Document
    what: str

    @property
    def parts(self) -> dict[str, Document]:
        """Name, size and SHA-256 of the blob of each part."""
        found: dict[str, Document] = self.manifest["parts"]
        return found

    @property
    def size(self) -> int:
        """How many bytes its blobs have together."""
        return sum(int(part["size"]) for part in self.parts.values())

    def differences(self, given: Checkpoint) -> Iterator[str]:
        """Yield in what another checkpoint differs; names of blobs, and who stored it, do not count."""
        for name in dict.fromkeys([*self.parts, *given.parts]):
            mine, other = self.parts.get(name), given.parts.get(name)
            if mine is None or other is None:
                there, here = ("absent" if one is None else "present" for one in (mine, other))
                yield f"checkpoint {self.iteration}, {name}: {there} -> {here}"
            elif mine["sha256"] != other["sha256"]:
                yield (
                    f"checkpoint {self.iteration}, {name}: SHA-256 {mine['sha256'][:12]}... -> "
                    f"{other['sha256'][:12]}..."
                )
            elif mine["tree"] != other["tree"]:
                yield f"checkpoint {self.iteration}, {name}: what is not a tensor differs"

    def check(self, name: str, buffer: Any) -> None:
        """Raise ``CorruptData`` unless a buffer is the blob of a part."""
        part = self.parts[name]
        if buffer is None:
            raise CorruptData(f"{self.what}: its {name} is missing; {_REMEDY}")
        if len(buffer) != part["size"] or hashlib.sha256(buffer).hexdigest() != part["sha256"]:
            raise CorruptData(f"{self.what}: its {name} fails its checksum; {_REMEDY}")

    def is_whole(self, content: RunContent) -> bool:
        """Say whether all its blobs are there and pass their checksums."""
        try:
            for name, part in self.parts.items():
                self.check(name, content.blob(self.iteration, part["blob"]))
        except CorruptData:
            return False
        return True


_REMEDY = "remove this checkpoint, or get it back from a copy"


class StoredRun(RunContent):
    """A run in a place where experiments are kept.

    Records and manifests name the run as it is called now, whatever it was called when they were written.
    """

    def __init__(self, at: Place, key: RunKey) -> None:
        self.at, self.key = at, key

    @property
    def place(self) -> str:
        return str(self.at)

    def config(self) -> Document | None:
        return self.at.documents.get(RUNS, self.key)

    def epochs(self) -> list[Epoch]:
        return self.at.documents.epochs(self.key)

    def blocks(self, epoch: int) -> list[Block]:
        return self.at.documents.blocks(self.key, epoch)

    def scores(self, epoch: int) -> list[ScoresRecord]:
        return self.at.documents.scores(self.key, epoch)

    def best(self) -> dict[str, Document]:
        prefix = f"{self.key}/"
        found = {key.removeprefix(prefix): self.at.weights.get(BEST, key)
                 for key in self.at.weights.keys(BEST, prefix)}  # fmt: skip
        named = {"run": str(self.key)}
        return {name: {**document, **named} for name, document in found.items() if document is not None}

    def remarks(self) -> dict[str, dict[str, Document]]:
        return Remarks(self.at.documents).documents(RUNS, self.key)

    def checkpoints(self) -> list[int]:
        return list(self._manifests(f"{CHECKPOINTS}/"))

    def checkpoint(self, iteration: int) -> Checkpoint | None:
        found = super().checkpoint(iteration)
        return found and attrs.evolve(found, manifest={**found.manifest, "run": str(self.key)})

    def _manifests(self, prefix: str) -> dict[int, str]:
        return checkpoint_names.counting(self.at.weights.blobs(self.key, prefix), self.epochs())

    def blob(self, iteration: int, name: str) -> Any:
        if name == MANIFEST:
            name = self._manifests(checkpoint_path(iteration, "")).get(iteration, MANIFEST)
        return self.at.weights.get_blob(self.key, checkpoint_path(iteration, name), mapped=True)
