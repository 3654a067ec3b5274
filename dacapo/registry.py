"""Which types the installed packages offer, and who offers them.

A package offers a type through an entry point.  The group says what kind of
thing it is, the name is what documents store, the value is where it lives::

    [project.entry-points."dacapo.tasks"]
    "acme.SkeletonTaskConfig" = "acme_dacapo.configs:SkeletonTaskConfig"

DaCapo's own types come in by the same door, under names without a dot.
Nothing is imported until a type is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import reduce
from typing import Any

import attrs

from .errors import AmbiguousPlugin, BrokenPlugin, MissingPlugin, UnregisteredType

PREFIX = "dacapo."
HOME = "dacapo"
SESSION = "this session"
KINDS = (
    "tasks",
    "architectures",
    "trainers",
    "augments",
    "datasplits",
    "datasets",
    "arrays",
    "starts",
    "losses",
    "post_processors",
    "evaluation_scores",
    "compute_contexts",
    "stores",
    "commands",
)


def import_target(target: str) -> Any:
    """Import what ``package.module:Class`` points at."""
    module, _, path = target.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


@attrs.frozen
class Offer:
    """One type that one installed package offers."""

    kind: str
    name: str
    target: str
    dist: str
    version: str

    @property
    def requirement(self) -> str:
        """What pip would need to bring this very offer back."""
        return f"{self.dist}=={self.version}"

    @property
    def is_ours(self) -> bool:
        """Whether it needs no provenance: what comes with DaCapo itself is always there."""
        return "." not in self.name and self.dist == HOME

    def load(self) -> Any:
        """Import the type; say who is to blame when that fails."""
        try:
            return import_target(self.target)
        except Exception as error:
            raise BrokenPlugin(
                f"{self.name} could not be imported from {self.target}: {error}\n"
                f"It comes from {self.dist} {self.version}; tell its authors, or "
                f"reinstall it with  pip install --force-reinstall '{self.requirement}'",
                kind=self.kind,
                name=self.name,
            ) from error


@attrs.frozen
class Unreadable:
    """A distribution whose offers could not be read, and why."""

    dist: str
    reason: str


def installed() -> Iterator[Offer | Unreadable]:
    """Read the offers of every installed distribution, importing none.

    Only distributions that mention us are parsed, so that a malformed entry
    point in an unrelated package cannot keep DaCapo from starting.  Of two
    distributions of one name the first on ``sys.path`` counts, as for imports.
    """
    # Imported here, because it costs a tenth of a second and most of DaCapo never needs it.
    from importlib_metadata import distributions

    seen = set()
    for dist in distributions():
        text = dist.read_text("entry_points.txt") or ""
        if PREFIX not in text:
            continue
        name = str(dist.metadata["Name"] or "an unnamed package")
        if (key := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue
        seen.add(key)
        try:
            points = [point for point in dist.entry_points if point.group.startswith(PREFIX)]
            version = dist.version
        except Exception as error:
            yield Unreadable(name, f"{type(error).__name__}: {error}")
            continue
        for point in points:
            kind = point.group.removeprefix(PREFIX)
            yield Offer(kind, point.name, point.value.split("[")[0].strip(), name, version)


class Registry:
    """Finds types by kind and name among the offers it was given."""

    def __init__(self, offers: Iterable[Offer] | None = None) -> None:
        self._given = None if offers is None else list(offers)
        self._session: dict[tuple[str, str], Offer] = {}
        self._classes: dict[Offer, Any] = {}
        self._names: dict[Any, Offer] = {}
        self._table: dict[tuple[str, str], list[Offer]] | None = None
        self._unreadable: list[Unreadable] = []
        self.generation = 0

    @property
    def offers(self) -> dict[tuple[str, str], list[Offer]]:
        """Every offer, by kind and name; two under one key are a conflict."""
        if self._table is None:
            self._table, self._unreadable = {}, []
            for offer in installed() if self._given is None else self._given:
                if isinstance(offer, Unreadable):
                    self._unreadable.append(offer)
                    continue
                rivals = self._table.setdefault((offer.kind, offer.name), [])
                if all(offer.target != rival.target for rival in rivals):
                    rivals.append(offer)
            self._table.update({key: [offer] for key, offer in self._session.items()})
        return self._table

    @property
    def unreadable(self) -> list[Unreadable]:
        """The distributions that mention DaCapo and cannot be read."""
        return self._unreadable if self.offers is not None else []

    def names(self, kind: str) -> list[str]:
        """Return the names offered for a kind, sorted."""
        # Sorted, because the order in which distributions are found depends on the file system.
        return sorted(name for k, name in self.offers if k == kind)

    def find(self, kind: str, name: str) -> Offer:
        """Return the one offer of that name, without importing it."""
        rivals = self.offers.get((kind, name), [])
        if len(rivals) == 1:
            return rivals[0]
        if rivals:
            raise AmbiguousPlugin(
                f"{name} is offered by {' and by '.join(o.dist for o in rivals)}; uninstall one "
                f"of them, for example with  pip uninstall {rivals[-1].dist}",
                kind=kind,
                name=name,
            )
        raise MissingPlugin(
            f"no installed package offers {name} among its {kind}{self._hint(kind, name)}",
            kind=kind,
            name=name,
        )

    def _hint(self, kind: str, name: str) -> str:
        if close := difflib.get_close_matches(name, self.names(kind), n=1):
            return f"; did you mean {close[0]}?"
        tail = name.rpartition(".")[2]
        homes = sorted({k for k, n in self.offers if n.rpartition(".")[2] == tail and k != kind})
        if homes:
            return f"; it is among the {homes[0]}"
        return f"; see what there is with  dacapo plugins {kind}"

    def load(self, kind: str, name: str) -> Any:
        """Import and return the type of that name."""
        offer = self.find(kind, name)
        if offer not in self._classes:
            self._classes[offer] = self._remember(offer.load(), offer)
        return self._classes[offer]

    def offer_of(self, cls: type) -> Offer:
        """Return the offer that leads to ``cls``: the way back from class to name."""
        if cls not in self._names:
            self._search(cls)
        try:
            return self._names[cls]
        except KeyError:
            raise UnregisteredType(
                f"{cls.__module__}.{cls.__qualname__} is offered by no installed package, "
                "so nobody could read it back; declare it as an entry point, or call "
                f"dacapo.registry.add({cls.__name__}) if only this session needs it",
                kind=getattr(cls, "kind", ""),
                name=cls.__name__,
            ) from None

    def _search(self, cls: type) -> None:
        """Import the offers that could lead to ``cls``, the likeliest first."""
        exact = f"{cls.__module__}:{cls.__qualname__}"
        package = cls.__module__.partition(".")[0]
        near = [
            offer
            for (kind, _), rivals in self.offers.items()
            if kind == getattr(cls, "kind", "")
            for offer in rivals
            if offer.target.partition(":")[0].partition(".")[0] == package
        ]
        for offer in sorted(near, key=lambda o: o.target != exact):
            if cls in self._names:
                return
            with suppress(BrokenPlugin):
                self._remember(offer.load(), offer)

    def _remember(self, cls: Any, offer: Offer) -> Any:
        """Note under which of its names ``cls`` is to be written: the one it bears now."""
        twins = [o for rivals in self.offers.values() for o in rivals if o.target == offer.target]
        own = [o for o in twins if o.name.rpartition(".")[2] == getattr(cls, "__name__", "")]
        self._names[cls] = own[0] if own else offer
        return cls

    def add(self, cls: Any, kind: str | None = None) -> Any:
        """Offer a class to this session only, as ``local.<Class>``; also a decorator.

        Meant for notebooks.  What is stored under such a name can be read again
        by sessions that add a class of the same name first.
        """
        offer = Offer(
            kind or cls.kind,
            f"local.{cls.__name__}",
            f"{cls.__module__}:{cls.__qualname__}",
            SESSION,
            "0",
        )
        self._session[offer.kind, offer.name] = offer
        self.offers[offer.kind, offer.name] = [offer]
        # Kept as an object: a class made in a notebook cannot always be imported by its path.
        self._classes[offer] = cls
        self._names[cls] = offer
        self.generation += 1
        return cls

    def refresh(self) -> None:
        """Look at the installed packages again, for example after ``%pip install``."""
        importlib.invalidate_caches()
        self._table = None
        kept = set(self._session.values())
        self._classes = {offer: cls for offer, cls in self._classes.items() if offer in kept}
        self._names = {cls: offer for cls, offer in self._names.items() if offer in kept}
        self.generation += 1


registry = Registry()

add = registry.add
names = registry.names
find = registry.find
load = registry.load
refresh = registry.refresh
