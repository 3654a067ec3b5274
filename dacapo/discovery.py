"""What the installed packages offer, read from their metadata as text.

Only packages that mention DaCapo are parsed, line by line, so that nothing malformed in anybody
else's metadata can keep DaCapo from starting.  Nothing is imported, not even what Python has for
reading metadata: it parses every package, and takes longer to import than all of this to run.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
import sys
from collections.abc import Iterator
from functools import reduce
from typing import Any

import attrs

from .errors import BrokenPlugin

PREFIX = "dacapo."
HOME = "dacapo"
NOT_CONFIGS = ("networks", "stores", "commands")
_MARK = f"[{PREFIX}".encode()
_ENDINGS = (".dist-info", ".egg-info", "EGG-INFO")
_ENTRY = re.compile(r"(?P<name>[^=\s#;\[][^=]*?)\s*=\s*(?P<target>[\w.]+\s*:\s*[\w.]+)\s*(\[.*\])?\s*")


def import_target(target: str) -> Any:
    """Import what ``package.module:Class`` points at."""
    module, _, path = target.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


@attrs.frozen
class Offer:
    """One type that one installed package offers; ``place`` is the folder of its metadata."""

    kind: str
    name: str
    target: str
    dist: str
    version: str
    place: str = attrs.field(default="", eq=False)

    @property
    def requirement(self) -> str:
        """What pip would need to bring this very offer back."""
        return f"{self.dist}=={self.version}"

    @property
    def is_ours(self) -> bool:
        """Whether it needs no provenance: what comes with DaCapo itself is always there."""
        return "." not in self.name and self.dist == HOME

    def load(self) -> Any:
        """Import the type; say who is to blame when that fails, or when it is of another kind."""
        try:
            found = import_target(self.target)
        except (Exception, SystemExit) as error:
            raise self._broken(
                f"could not be imported from {self.target}: {error or type(error).__name__}"
            ) from error
        is_kind = getattr(found, "kind", "") if isinstance(found, type) else ""
        if self.kind not in NOT_CONFIGS and is_kind != self.kind:
            raise self._broken(
                f"is offered among the {self.kind}, but {self.target} "
                + (f"belongs into the group {PREFIX}{is_kind}" if is_kind else "is no config of that kind")
            )
        return found

    def _broken(self, what: str) -> BrokenPlugin:
        return BrokenPlugin(
            f"{self.name} {what}\nIt comes from {self.dist} {self.version}; tell its authors, or "
            f"reinstall it with  pip install --force-reinstall '{self.requirement}'",
            kind=self.kind,
            name=self.name,
        )


@attrs.frozen
class Unreadable:
    """A package of which something could not be read, and why."""

    dist: str
    reason: str


@attrs.frozen
class _Metadata:
    """The folder of a package's metadata, and its entry points as text."""

    folder: str
    entry_points: str

    def headers(self) -> dict[str, str]:
        """Return the fields of the metadata proper, up to the description; those of its name at least."""
        name, version = _stem(*os.path.split(self.folder))
        found = {"name": name, "version": version}
        for file in ("METADATA", "PKG-INFO"):
            lines = (_read(os.path.join(self.folder, file)) or b"").split(b"\n")
            for line in itertools.takewhile(lambda line: line.strip(), lines):
                name, _, value = line.decode("utf-8", "replace").partition(":")
                found[name.lower()] = value.strip() or found.get(name.lower(), "")
        return found


def installed() -> Iterator[Offer | Unreadable]:
    """Read the offers of every installed package.

    Of two installations of one package the first on ``sys.path`` counts, as for imports.
    """
    seen: set[str] = set()
    others = []
    for place in dict.fromkeys(sys.path):
        try:
            names = [entry.name for entry in os.scandir(place or ".")]
        except NotADirectoryError:
            others.append(place)
            continue
        except OSError:
            continue
        # What begins with ~ is what pip left of a removal that it could not finish.
        names = [name for name in names if name.endswith(_ENDINGS) and not name.startswith("~")]
        yield from _in_folder(place, names, seen)
        seen.update(_key(_stem(place, name)[0]) for name in names)
    yield from _elsewhere(others, seen)


def _in_folder(place: str, names: list[str], seen: set[str]) -> Iterator[Offer | Unreadable]:
    """Read the offers of all packages in one folder but those seen."""
    found: dict[str, list[_Metadata]] = {}
    for name in names:
        folder = f"{place or '.'}/{name}"
        text = _read(folder + "/entry_points.txt")
        if text is not None and _MARK in text:
            metadata = _Metadata(folder, text.decode("utf-8", "replace"))
            found.setdefault(_key(_stem(place, name)[0]), []).append(metadata)
    for key, copies in sorted(found.items()):
        if key not in seen:
            yield from _of_package(sorted(copies, key=lambda copy: os.path.getmtime(copy.folder)))


def _of_package(copies: list[_Metadata]) -> Iterator[Offer | Unreadable]:
    """Read the offers of one package; of several in one folder the newest counts."""
    newest, headers = copies[-1], copies[-1].headers()
    name = headers["name"]
    if older := [copy.folder for copy in copies[:-1]]:
        yield Unreadable(
            name, f"installed more than once; remove {', '.join(older)} and mend what is left with  "
            f"pip install --force-reinstall {name}"
        )  # fmt: skip
    yield from _parsed(newest.entry_points, name, headers["version"], newest.folder)


def _parsed(text: str, dist: str, version: str, place: str) -> Iterator[Offer | Unreadable]:
    """Read the offers among entry points; a line that is none spoils no other."""
    kind = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line[1:].partition("]")[0].strip()
            kind = group.removeprefix(PREFIX) if group.startswith(PREFIX) else ""
        elif kind and line and line[0] not in "#;":
            if entry := _ENTRY.fullmatch(line):
                target = re.sub(r"\s", "", entry["target"])
                yield Offer(kind, entry["name"], target, dist, version, place)
            else:
                yield Unreadable(dist, f"{line!r} among its {kind} should read  name = module:Class")


def _elsewhere(places: list[str], seen: set[str]) -> Iterator[Offer | Unreadable]:
    """Read the offers of packages that are not in folders: in archives, or where a finder knows."""
    if not places and not any(map(_finds_packages, sys.meta_path)):
        return
    # Imported here, because hardly anybody needs it and it takes long.
    from importlib.metadata import distributions

    for dist in distributions(path=places):
        text = dist.read_text("entry_points.txt") or ""
        if f"[{PREFIX}" in text and (key := _key(str(dist.metadata["Name"]))) not in seen:
            seen.add(key)
            place = str(getattr(dist, "_path", ""))
            yield from _parsed(text, str(dist.metadata["Name"]), str(dist.metadata["Version"]), place)


def _finds_packages(finder: Any) -> bool:
    """Say whether a finder knows of packages besides those on ``sys.path``."""
    usual = getattr(finder, "__module__", "").startswith(("_frozen_importlib", "importlib"))
    return hasattr(finder, "find_distributions") and not usual


def _stem(place: str, folder: str) -> tuple[str, str]:
    """Return name and version of a package as the folder of its metadata, in some place, is called."""
    stem = (os.path.basename(place) if folder == "EGG-INFO" else folder).rpartition(".")[0]
    name, _, rest = stem.partition("-")
    return name, rest.partition("-")[0]


def _key(name: str) -> str:
    """Return a name as pip compares names."""
    key = name.lower().replace("-", "_").replace(".", "_")
    return re.sub("__+", "_", key) if "__" in key else key


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
