"""What people say of stored configs: tags and notes, kept beside documents that never change.

Every tag and every note is a document of its own, with who gave it and when: two people can tag
one run in the same moment, and no tag gets lost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

from dacapo.documents import Document
from dacapo.errors import InvalidName, InvalidRequest
from dacapo.provenance import user

from .backend import StoreBackend
from .listing import NOTES, Query

TAGS = ".tags"
ARCHIVED = "archived"  # what bears this tag is left out of lists
LONGEST_TAG, LONGEST_NOTE = 24, 10_000
_MARK = "~"  # between key and tag; no tag contains it


@attrs.frozen
class Remark:
    """A tag or a note: its text, who gave it, and when (UTC)."""

    text: str
    by: str
    at: str


def check_tag(tag: str) -> str:
    """Return a tag as it is kept, in lower case; raises ``InvalidName`` for what can be none."""
    kept = tag.lower()
    if not all(c.isalnum() or c in "._-" for c in kept) or not kept[:1].isalnum() or kept[-1:] == ".":
        raise InvalidName(
            f"{tag!r:.80} cannot be a tag: it should begin with a letter or digit, and may hold these and "
            "'.', '_' and '-'"
        )
    if len(kept.encode()) > LONGEST_TAG:
        raise InvalidName(f"the tag {tag!r:.80} is longer than {LONGEST_TAG} bytes; write it as a note")
    return kept


class Remarks:
    """The tags and notes of all configs; configs are given by kind and exact key."""

    def __init__(self, backend: StoreBackend) -> None:
        self.backend = backend

    def tag(self, kind: str, key: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Give tags and take others away; one that is there already keeps who gave it."""
        added, removed = [check_tag(tag) for tag in add], [check_tag(tag) for tag in remove]
        if both := set(added) & set(removed):
            raise InvalidRequest(f"the tag {sorted(both)[0]} cannot be given and taken away at once; choose")
        for tag in added:
            self.backend.put(f"{kind}{TAGS}", f"{key}{_MARK}{tag}", _stamp())
        for tag in removed:
            self.backend.remove(f"{kind}{TAGS}", f"{key}{_MARK}{tag}")

    def note(self, kind: str, key: str, text: str) -> None:
        """Add a note."""
        text = text.strip()
        if not 0 < len(text) <= LONGEST_NOTE:
            raise InvalidRequest(f"a note should have 1 to {LONGEST_NOTE} characters, and has {len(text)}")
        number = f"{time.time_ns():019}{secrets.token_hex(2)}"  # they sort by time
        self.backend.put(f"{kind}{NOTES}", f"{key}{_MARK}{number}", {"text": text, **_stamp()})

    def tags(self, kind: str, key: str) -> list[Remark]:
        """Return the tags of a config, sorted."""
        found = ((one.rpartition(_MARK)[2], self.backend.get(f"{kind}{TAGS}", one))
                 for one in self._keys(f"{kind}{TAGS}", key))  # fmt: skip
        return [Remark(tag, document["by"], document["at"]) for tag, document in found if document]

    def notes(self, kind: str, key: str) -> list[Remark]:
        """Return the notes of a config, oldest first."""
        found = (self.backend.get(f"{kind}{NOTES}", one) for one in self._keys(f"{kind}{NOTES}", key))
        return [Remark(document["text"], document["by"], document["at"]) for document in found if document]

    def all_tags(self, kind: str) -> dict[str, list[str]]:
        """Return the tags of all configs of a kind; their keys alone tell them."""
        found: dict[str, list[str]] = {}
        for one in self.backend.keys(f"{kind}{TAGS}"):
            key, _, tag = one.rpartition(_MARK)
            found.setdefault(key, []).append(tag)
        return found

    def last_notes(self, kind: str) -> dict[str, Remark]:
        """Return the newest note of every config of a kind that has one."""
        found = self.backend.find(f"{kind}{NOTES}", Query(), ("text", "by", "at"))
        return {key.rpartition(_MARK)[0]: Remark(row["text"], row["by"], row["at"]) for key, row in found}

    def move(self, kind: str, old: str, new: str) -> None:
        """Give all tags and notes of one key to another; done again after an interruption, it goes on."""
        for collection in (f"{kind}{TAGS}", f"{kind}{NOTES}"):
            for one in self._keys(collection, old):
                if document := self.backend.get(collection, one):
                    self.backend.put(collection, f"{new}{_MARK}{one.rpartition(_MARK)[2]}", document)
                self.backend.remove(collection, one)

    def documents(self, kind: str, key: str) -> dict[str, dict[str, Document]]:
        """Return the tags and notes of a config as they are kept, to be given to one elsewhere."""
        found: dict[str, dict[str, Document]] = {}
        for sort in (TAGS, NOTES):
            for one in self._keys(f"{kind}{sort}", key):
                if document := self.backend.get(f"{kind}{sort}", one):
                    found.setdefault(sort, {})[one.rpartition(_MARK)[2]] = document
        return found

    def give(self, kind: str, key: str, documents: dict[str, dict[str, Document]]) -> None:
        """Keep tags and notes of elsewhere; what is there already stays as it is."""
        for sort, remarks in documents.items():
            for name, document in remarks.items():
                self.backend.put(f"{kind}{sort}", f"{key}{_MARK}{name}", document)

    def delete(self, kind: str, key: str) -> bool:
        """Remove all tags and notes of a key; return False if there were none."""
        collections = f"{kind}{TAGS}", f"{kind}{NOTES}"
        return bool([one for collection in collections for one in self._keys(collection, key)
                     if self.backend.remove(collection, one)])  # fmt: skip

    def _keys(self, collection: str, key: str) -> list[str]:
        # A name may contain the mark, so more keys than those of this one may begin like it.
        found = self.backend.keys(collection, f"{key}{_MARK}")
        return [one for one in found if one.rpartition(_MARK)[0] == key]


def _stamp() -> dict[str, str]:
    return {"by": user(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
