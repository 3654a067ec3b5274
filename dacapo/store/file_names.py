"""Which names in a folder of documents are alike but for their case, told without listing the folder.

<folder>/.names/<2 digits>/<name>    an empty file for each document, by a hash of its folded name
<folder>/.names/.complete            that there is one for each

A file without its document means nothing, so it may come before the document and go after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dacapo.names import folded, twins_of

from .publication import HIDDEN, forget, touch, visible


class FileNames:
    """The names of the documents in one folder, each found by what it is but for its case."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder / f"{HIDDEN}names", suffix
        self._complete = self.folder / f"{HIDDEN}complete"

    def twins(self, key: str) -> list[str]:
        """Return the other documents whose names differ from one only in case or encoding."""
        names = visible(self._place(key).parent) if self._complete.exists() else self._documents()
        return [name for name in twins_of(key, names) if self._document(name).exists()]

    def add(self, key: str) -> None:
        """Note a name, so that it lasts; the first time in a folder also those of all its documents."""
        if self._place(key).exists():
            return
        if not self._complete.exists():
            self._add_all([*self._documents()])
            touch([self._complete])
        self._add_all([key])

    def remove(self, key: str) -> None:
        """Forget a name whose document is gone."""
        forget(self._place(key))
        if self._document(key).exists():  # stored again in this moment
            self.add(key)

    def _documents(self) -> Iterable[str]:
        names = visible(self.folder.parent)
        return (name.removesuffix(self.suffix) for name in names if name.endswith(self.suffix))

    def _document(self, key: str) -> Path:
        return self.folder.parent / f"{key}{self.suffix}"

    def _place(self, key: str) -> Path:
        digits = hashlib.sha256(folded(key).encode("utf-8", "surrogatepass")).hexdigest()[:2]
        return self.folder / digits / key

    def _add_all(self, keys: Iterable[str]) -> None:
        touch([self._place(key) for key in keys])
