"""What says that a checkpoint is complete, and proves that it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dacapo.documents import Document, from_json, to_json
from dacapo.errors import CorruptData, NewerFormat
from dacapo.names import segment

FORMAT = 1


def seal(content: Document) -> bytes:
    """Return the bytes of a manifest, with its format and its own checksum."""
    content = {"format": FORMAT, **content}
    return to_json({"sha256": _checksum(content), "manifest": content}, indent=1).encode()


def unseal(data: bytes, what: str) -> Document:
    """Return the content of a manifest if it is whole and of a format known here."""
    try:
        sealed = from_json(data.decode())
        content: Document = sealed["manifest"]
        whole = _checksum(content) == sealed["sha256"] and isinstance(content["format"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise CorruptData(f"{what}: its manifest fails its checksum; use another checkpoint")
    if content["format"] <= FORMAT and not _is_manifest(content):
        raise CorruptData(f"{what}: its manifest was not written by DaCapo; use another checkpoint")
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
    """Passes chunks on while their checksum is taken beside, on another core."""

    _WORTHWHILE = 1 << 18

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = chunks
        self._sha256 = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[Any]:
        with ThreadPoolExecutor(1) as beside:
            for chunk in self._chunks:
                count = memoryview(chunk).nbytes
                self.size += count
                if count < self._WORTHWHILE:
                    self._sha256.update(chunk)
                    yield chunk
                else:
                    done = beside.submit(self._sha256.update, chunk)
                    yield chunk
                    done.result()

    def hexdigest(self) -> str:
        """Return the SHA-256 of all that was passed on."""
        return self._sha256.hexdigest()
