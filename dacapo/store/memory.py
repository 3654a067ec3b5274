"""Experiments kept in the memory of this process: the model that other backends are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import attrs

from dacapo.documents import Document
from dacapo.errors import StoreError

from . import plain_data
from .backend import Block, Claim, Epoch, ScoresRecord, StoreBackend, Tail
from .blocks import decode_block, decode_scores, encode_block, encode_scores, with_merged, within
from .queue_memory import MemoryQueue

if TYPE_CHECKING:
    from dacapo.options import DaCapoConfig


@attrs.define
class _Content:
    """All that one place holds; logs and blobs as bytes, so that nobody can change them."""

    documents: dict[str, dict[str, Document]] = attrs.field(factory=dict)
    epochs: dict[str, dict[int, Epoch]] = attrs.field(factory=dict)
    blocks: dict[str, dict[int, list[tuple[int, bytes]]]] = attrs.field(factory=dict)
    scores: dict[str, dict[int, list[bytes]]] = attrs.field(factory=dict)
    blobs: dict[str, dict[str, bytes]] = attrs.field(factory=dict)
    published: dict[tuple[str, str], int] = attrs.field(factory=dict)
    claims: dict[str, Claim] = attrs.field(factory=dict)
    beaten: dict[str, float] = attrs.field(factory=dict)
    lock: Any = attrs.field(factory=RLock)


_places: dict[str, _Content] = {}


class MemoryBackend(MemoryQueue, StoreBackend):
    """Keeps everything until the process ends; backends of the same name share what they keep."""

    keeps_time = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._content = _places.setdefault(name, _Content())

    @classmethod
    def from_options(cls, options: DaCapoConfig) -> Self:
        """Open the place that is called as the folder ``runs_base_dir``; no file is made."""
        return cls(str(options.runs_base_dir))

    @property
    def place(self) -> str:
        return f"the memory of this process, under {self.name}"

    # documents

    def put(self, collection: str, key: str, document: Document, *, replace: bool = False) -> bool:
        plain = plain_data.copied(document)
        with self._content.lock:
            taken = self._content.documents.setdefault(collection, {})
            if key in taken and not replace:
                return False
            taken[key] = plain
            self._content.published.pop((collection, key), None)
            return True

    def get(self, collection: str, key: str) -> Document | None:
        document = self._content.documents.get(collection, {}).get(key)
        return None if document is None else plain_data.copied(document)

    def keys(self, collection: str, prefix: str = "") -> list[str]:
        with self._content.lock:
            return _beginning(prefix, self._content.documents.get(collection, {}))

    def remove(self, collection: str, key: str) -> bool:
        with self._content.lock:
            self._content.published.pop((collection, key), None)
            return self._content.documents.get(collection, {}).pop(key, None) is not None

    def publish(self, collection: str, key: str, document: Document, epoch: int) -> bool:
        with self._content.lock:
            if self._content.published.get((collection, key), epoch) > epoch:
                return False
            self.put(collection, key, document, replace=True)
            self._content.published[collection, key] = epoch
            return True

    # claims

    def claim(self, run: str, claim: Claim, over: Claim | None = None) -> bool:
        with self._content.lock:
            newest = self.newest_claim(run)
            if newest and (newest.number >= claim.number or (over is not None and newest != over)):
                return False
            self._beat(run, attrs.evolve(claim, holder=plain_data.copied(claim.holder)))
            return True

    def newest_claim(self, run: str) -> Claim | None:
        with self._content.lock:
            if (claim := self._content.claims.get(run)) is None:
                return None
            holder = plain_data.copied(claim.holder)
            return attrs.evolve(claim, holder=holder, idle=monotonic() - self._content.beaten[run])

    def renew_claim(self, run: str, number: int) -> bool:
        with self._content.lock:
            newest = self._content.claims.get(run)
            if newest is None or newest.number != number or newest.released:
                return False
            self._beat(run, attrs.evolve(newest, beat=newest.beat + 1))
            return True

    def release_claim(self, run: str, number: int) -> None:
        with self._content.lock:
            newest = self._content.claims.get(run)
            if newest is not None and newest.number == number:
                self._content.claims[run] = attrs.evolve(newest, released=True)

    def open_claims(self, prefix: str = "") -> dict[str, Claim]:
        with self._content.lock:
            found = {run: self.newest_claim(run) for run in _beginning(prefix, self._content.claims)}
            return {run: claim for run, claim in found.items() if claim and not claim.released}

    def _beat(self, run: str, claim: Claim) -> None:
        self._content.claims[run] = claim
        self._content.beaten[run] = monotonic()

    # logs

    def epochs(self, run: str) -> list[Epoch]:
        with self._content.lock:
            return [epoch for _, epoch in sorted(self._content.epochs.get(run, {}).items())]

    def add_epoch(self, run: str, epoch: Epoch) -> bool:
        with self._content.lock:
            return self._content.epochs.setdefault(run, {}).setdefault(epoch.number, epoch) is epoch

    def append_block(self, run: str, epoch: int, block: Block) -> None:
        """Append, or find that the last one is given again."""
        data = encode_block(block)
        with self._content.lock:
            log = self._content.blocks.get(run, {}).get(epoch, [])
            if log and log[-1] == (block.sequence, data):
                return
            due = log[-1][0] + 1 if log else 0
            if block.begin != due:
                raise StoreError(
                    f"run {run} in {self.place}: block {block.sequence} of epoch {epoch} was given where "
                    f"{due} was due; make sure that only one process trains a run"
                )
            self._content.blocks.setdefault(run, {}).setdefault(epoch, []).append((block.sequence, data))

    def tail(self, run: str, epoch: int) -> Tail:
        log = self._content.blocks.get(run, {}).get(epoch, [])
        return Tail(decode_block(log[-1][1], log[-1][0]), log[-1][0] + 1) if log else Tail()

    def blocks(self, run: str, epoch: int, begin: int = 0, end: int | None = None) -> list[Block]:
        log = list(self._content.blocks.get(run, {}).get(epoch, []))
        return within([decode_block(data, sequence) for sequence, data in log], begin, end)

    def merge_blocks(self, run: str, epoch: int, merged: list[Block]) -> bool:
        with self._content.lock:
            there = with_merged(self.blocks(run, epoch), merged)
            if there is not None:
                self._content.blocks[run][epoch] = [(one.sequence, encode_block(one)) for one in there]
            return there is not None

    def append_scores(self, run: str, epoch: int, *records: ScoresRecord) -> None:
        with self._content.lock:
            self._content.scores.setdefault(run, {}).setdefault(epoch, []).extend(map(encode_scores, records))

    def scores(self, run: str, epoch: int) -> list[ScoresRecord]:
        return [decode_scores(data) for data in self._content.scores.get(run, {}).get(epoch, [])]

    def remove_stats(self, run: str) -> bool:
        return self._remove_logs(run, self._content.blocks)

    def remove_scores(self, run: str) -> bool:
        return self._remove_logs(run, self._content.scores)

    def logged_runs(self, prefix: str = "") -> list[str]:
        with self._content.lock:
            return _beginning(prefix, self._content.epochs)

    def _remove_logs(self, run: str, logs: dict[str, dict[int, Any]]) -> bool:
        """Remove one sort of a run's logs, and with the last of them its epochs too."""
        with self._content.lock:
            removed = any(logs.pop(run, {}).values())  # a refused append leaves an empty log
            if run not in self._content.blocks and run not in self._content.scores:
                self._content.epochs.pop(run, None)
            return removed

    def move_run(self, run: str, new: str) -> None:
        content = self._content
        with content.lock:
            kept: list[dict[str, Any]] = [content.epochs, content.blocks, content.scores, content.blobs]
            for held in kept:
                if run in held:
                    held[new] = held.pop(run)
            best = content.documents.get("best", {})
            for key in _beginning(f"{run}/", best):
                moved = new + key.removeprefix(run)
                best[moved] = best.pop(key)
                if (epoch := content.published.pop(("best", key), None)) is not None:
                    content.published["best", moved] = epoch

    # blobs

    def put_blob(self, run: str, name: str, chunks: Iterable[Any]) -> None:
        data = b"".join(_as_bytes(chunks))
        with self._content.lock:
            self._content.blobs.setdefault(run, {})[name] = data

    def get_blob(self, run: str, name: str, *, mapped: bool = False) -> Any:
        data = self._content.blobs.get(run, {}).get(name)
        return None if data is None else bytearray(data)

    def blobs(self, run: str, prefix: str = "") -> list[str]:
        with self._content.lock:
            return _beginning(prefix, self._content.blobs.get(run, {}))

    def remove_blobs(self, run: str, prefix: str = "") -> bool:
        with self._content.lock:
            gone = [self._content.blobs[run].pop(name) for name in self.blobs(run, prefix)]
            if not self._content.blobs.get(run):
                self._content.blobs.pop(run, None)
            return bool(gone)

    def blob_runs(self, prefix: str = "") -> list[str]:
        with self._content.lock:
            return _beginning(prefix, self._content.blobs)


def _beginning(prefix: str, names: Iterable[str]) -> list[str]:
    """Return the names that begin with a text, sorted."""
    return sorted(name for name in names if name.startswith(prefix))


def _as_bytes(chunks: Iterable[Any]) -> Iterator[bytes]:
    return (bytes(memoryview(chunk).cast("B")) for chunk in chunks)
