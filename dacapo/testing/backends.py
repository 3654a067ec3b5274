"""Checks for stores: the suite that every backend passes, and that the type can be found and opened."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

from dacapo.registry import registry
from dacapo.store.backend import StoreBackend

from . import leases, stores
from .checks import check, demand
from .fresh_store import FreshStore


@check("stores")
def a_store_is_offered(store: FreshStore) -> None:
    """The type is declared as an entry point of ``dacapo.stores``; bare names are DaCapo's own."""
    target = f"{store.type.__module__}:{store.type.__qualname__}"
    named = [name for name in registry.names("stores") if registry.load("stores", name) is store.type]
    demand(bool(named), f'no installed package offers it; declare it in "dacapo.stores": {target}')
    ours = store.type.__module__.startswith("dacapo.")
    demand(
        ours or all("." in name for name in named), f"it is offered as {named[0]}; name it <package>.<store>"
    )


@check("stores")
def a_store_says_where_it_is(store: FreshStore) -> None:
    """``place`` is a text, the same for the same place and another for another one."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        places = [store.open(Path(folder)).place for folder in (one, one, other)]
    demand(
        isinstance(places[0], str) and bool(places[0]), f"its place is {places[0]!r}, and should be a text"
    )
    demand(
        places[0] == places[1],
        f"the same place is called {places[0]!r} and {places[1]!r}; name it by options",
    )
    demand(places[0] != places[2], f"two places are called {places[0]!r}; say in it where things are kept")


def _on_a_fresh_place(function: leases.Check) -> Callable[[FreshStore], None]:
    @functools.wraps(function)
    def on_fresh_place(store: FreshStore) -> None:
        with tempfile.TemporaryDirectory() as folder:

            def open_backend() -> StoreBackend:
                return store.open(Path(folder))

            function(open_backend)

    return on_fresh_place


for _function in stores.CHECKS:
    check("stores")(_on_a_fresh_place(_function))
