"""What says that a checkpoint is complete, and proves that it is whole."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dacapo.documents import Document, from_json, to_json
from dacapo.errors import CorruptData, NewerFormat
from dacapo.names import segment

FORMAT = 1
CHECKPOINTS, MANIFEST = "iterations", "manifest.json"


def checkpoint_path(iteration: int, name: str) -> str:
    """Return the name of a blob that belongs to a checkpoint; the manifest is one of them."""
    return f"{CHECKPOINTS}/{iteration}/{name}"


def seal(content: Document) -> bytes:
    """Return the bytes of a manifest, with its format and its own checksum."""
    text = to_json({"format": FORMAT, **content}).encode()
    return b'{"sha256": "%s", "manifest": %s}' % (hashlib.sha256(text).hexdigest().encode(), text)


def unseal(data: bytes, what: str) -> Document:
    """Return the content of a checkpoint's manifest if it is whole and of a format known here."""
    remedy = "use another checkpoint"
    content = unsealed(data, what, remedy)
    if not _is_manifest(content):
        raise CorruptData(f"{what}: its manifest was not written by DaCapo; {remedy}")
    return content


def unsealed(data: bytes, what: str, remedy: str) -> Document:
    """Return what ``seal`` made bytes of, if it is whole and of a format known here."""
    try:
        sealed = from_json(data.decode())
        content: Document = sealed["manifest"]
        whole = _checksum(content) == sealed["sha256"] and isinstance(content["format"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise CorruptData(f"{what}: its manifest fails its checksum; {remedy}")
    if content["format"] > FORMAT:
        raise NewerFormat(
            f"{what} was written by a newer DaCapo, in format {content['format']}; this one knows {FORMAT}. "
            "Upgrade with  pip install --upgrade dacapo"
        )
    return content


def _is_manifest(content: Document) -> bool:
    """Say whether every part names a blob beside the manifest: whoever can write can make a checksum too."""
    parts = content.get("parts")
    return isinstance(parts, dict) and all(
        isinstance(part, dict)
        and {"tree", "blob", "size", "sha256"} <= part.keys()
        and isinstance(part["blob"], str)
        and part["blob"] == segment(part["blob"])
        for part in parts.values()
    )


def _checksum(content: Document) -> str:
    return hashlib.sha256(to_json(content).encode()).hexdigest()


class Digest:
    """Passes chunks on while their checksum is taken beside, on another core.

    It may lag behind what was passed on, so that the rest is taken while the writer waits for
    its disk or server; ``hexdigest`` waits for it.  Until then chunks must not be changed.
    """

    _AHEAD = 1 << 28  # bytes that may wait for their checksum; chunks from a GPU are copies, and take memory
    _TOGETHER = 1 << 23  # bytes of chunks whose checksum is taken in one go: each handing over costs time

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = chunks
        self._sha256 = hashlib.sha256()
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self.size = 0

    def __iter__(self) -> Iterator[Any]:
        beside = ThreadPoolExecutor(1)
        group: list[Any] = []
        size = ahead = 0
        try:
            for chunk in self._chunks:
                group.append(chunk)
                size += memoryview(chunk).nbytes
                if size >= self._TOGETHER:
                    self._hand_over(beside, group, size)
                    ahead += size
                    group, size = [], 0
                while ahead > self._AHEAD:
                    ahead -= self._wait()
                yield chunk
            self._hand_over(beside, group, size)
        finally:
            beside.shutdown(wait=False)

    def _hand_over(self, beside: ThreadPoolExecutor, group: list[Any], size: int) -> None:
        self._waiting.append((beside.submit(self._update, group), size))
        self.size += size

    def _update(self, group: list[Any]) -> None:
        for chunk in group:
            self._sha256.update(chunk)

    def _wait(self) -> int:
        """Wait for the checksum of the oldest chunk, and return how many bytes that was."""
        done, count = self._waiting.popleft()
        done.result()
        return count

    def hexdigest(self) -> str:
        """Return the SHA-256 of all that was passed on."""
        while self._waiting:
            self._wait()
        return self._sha256.hexdigest()
