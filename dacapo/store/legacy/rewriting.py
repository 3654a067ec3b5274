"""Old configs as documents of the present format, none of their fields lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dacapo.documents import META, Document, documents
from dacapo.errors import InvalidDocument
from dacapo.provenance import stamp
from dacapo.registry import import_target

from ..config_store import CLASSES

UPGRADED, KEPT = "upgraded", "kept"


def rewritten(document: Document, collection: str) -> Document:
    """Return an old config as one of the present format.

    What has no place in it, or would read differently, is kept in ``__meta__``, word for word under
    its path; and so is who rewrote it, when and with what.
    """
    meta = dict(document.get(META, {}))
    old = {name: value for name, value in document.items() if name != META}
    try:
        new = documents.write(documents.read(old, import_target(CLASSES[collection])))
    except InvalidDocument:  # it stays as it is, and says what is wrong when it is read
        new = dict(old)
    if lost := dict(_lost(old, new)):
        meta[KEPT] = lost
    return {**new, META: {**meta, UPGRADED: stamp(new)}}


def _lost(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of an old document that is not at its place in the new one."""
    if isinstance(old, dict) and isinstance(new, dict) and old:
        for name, value in old.items():
            inner = f"{path}.{name}" if path else str(name)
            plain = name if name in new else str(name).removeprefix("_")
            if plain in new:
                yield from _lost(value, new[plain], inner)
            else:
                yield inner, value
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _lost(left, right, f"{path}[{position}]")
    elif repr(old) != repr(new) and (isinstance(old, bool) or isinstance(new, bool) or old != new):
        yield path, old  # NaN is not equal to itself, but reads the same
