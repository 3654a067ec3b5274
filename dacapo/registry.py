"""Which types the installed packages offer, and who offers them.

A package offers a type through an entry point.  The group says what kind of
thing it is, the name is what documents store, the value is where it lives::

    [project.entry-points."dacapo.tasks"]
    "acme.SkeletonTaskConfig" = "acme_dacapo.configs:SkeletonTaskConfig"

DaCapo's own types come in by the same door, under names without a dot.
Nothing is imported until a type is asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from .discovery import Offer, Unreadable, import_target, installed
from .errors import AmbiguousPlugin, BrokenPlugin, MissingPlugin, PluginError, UnregisteredType, did_you_mean

SESSION = "this session"
# Types of our own that come with packages of their own.
HOMES = {"ModelZooConfig": "dacapo-bioimageio"}
KINDS = (
    "tasks",
    "architectures",
    "networks",
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
        if meant := did_you_mean(name, self.names(kind)):
            return f"; {meant}"
        tail = name.rpartition(".")[2]
        if tail in HOMES:
            return f"; get it with  pip install {HOMES[tail]}"
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

    def named(self, name: str, *kinds: str) -> Any:
        """Import and return the type whose class is called so, whoever offers it."""
        found = [rivals[0] for (kind, full), rivals in self.offers.items()
                 if kind in kinds and full.rpartition(".")[2] == name]  # fmt: skip
        if len({offer.target for offer in found}) > 1 and not any(offer.name == name for offer in found):
            raise AmbiguousPlugin(
                f"{name} is offered as {' and as '.join(sorted(offer.name for offer in found))}; import it "
                f"from the package that you mean, {' or '.join(sorted({offer.dist for offer in found}))}",
                kind=found[0].kind,
                name=name,
            )
        best = min(found, key=lambda offer: offer.name != name, default=None)
        return self.load(best.kind, best.name) if best else self.find(kinds[0], name)

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


def namespace(module: str, *kinds: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a module that has all types of some kinds.

    Whatever is offered can be imported from there by the name of its class; what is not raises
    ``MissingPlugin``, an ``ImportError``.  ``dir`` lists what can be had.
    """

    def find(name: str) -> Any:
        # Submodules are looked for here too, before they are imported.
        if not name[:1].isupper():
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return registry.named(name, *kinds)

    def has(name: str) -> bool:
        with suppress(PluginError):
            return registry.named(name, *kinds) is not None
        return False

    def listing() -> list[str]:
        offered = {name.rpartition(".")[2] for kind in kinds for name in registry.names(kind)}
        own = vars(sys.modules[module])
        return sorted({*own, *filter(has, offered - own.keys())})

    return find, listing


add = registry.add
names = registry.names
find = registry.find
load = registry.load
refresh = registry.refresh

__all__ = [
    "KINDS", "Offer", "Registry", "Unreadable", "add", "find", "import_target", "installed", "load", "names",
    "namespace", "refresh", "registry",
]  # fmt: skip
