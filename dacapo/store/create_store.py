"""Which stores there are, chosen by the options.

The stores are imported when one is opened: whoever imports DaCapo need not wait for them.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from dacapo.errors import InvalidOptions, PluginError
from dacapo.options import DaCapoConfig, Options, redacted
from dacapo.registry import registry

WRITABLE = ("s3://", "gs://", "memory://")

if TYPE_CHECKING:
    from dacapo.names import Repeated

    from .array_store import ArrayStore
    from .backend import StoreBackend
    from .changes import Stores
    from .config_store import ConfigStore
    from .lease import Lease
    from .queue import Queue
    from .stats_store import StatsStore
    from .weights_store import WeightsStore


def create_config_store(options: DaCapoConfig | None = None, **changes: Any) -> ConfigStore:
    """Open the store of configs that the options name; keyword arguments change single options."""
    from .config_store import ConfigStore

    return ConfigStore(_backend(_options(options, changes)))


def create_stats_store(options: DaCapoConfig | None = None, **changes: Any) -> StatsStore:
    """Open the store of training stats and validation scores."""
    from .stats_store import StatsStore

    return StatsStore(_backend(_options(options, changes)))


def create_weights_store(options: DaCapoConfig | None = None, **changes: Any) -> WeightsStore:
    """Open the store of checkpoints: where the option ``weights`` says, else where the type keeps them."""
    from .legacy.reading import with_old_data
    from .weights_store import WeightsStore

    chosen = _options(options, changes)
    epochs = _backend(chosen)
    kind = chosen.weights or epochs.usual_weights or chosen.type
    if kind == chosen.type:
        return WeightsStore(epochs)
    backend = _backend_type("weights", kind).from_options(chosen)
    return WeightsStore(with_old_data(backend, partial(_backend, chosen)), epochs)


def create_queue(options: DaCapoConfig | None = None, **changes: Any) -> Queue:
    """Open the queue of the runs in the store of configs."""
    from .queue import Queue

    return Queue(create_config_store(options, **changes))


def create_array_store(options: DaCapoConfig | None = None, **changes: Any) -> ArrayStore:
    """Open the store that says where a run's arrays are."""

    from .array_store import LocalArrayStore

    chosen = _options(options, changes)
    place = chosen.arrays or chosen.runs_base_dir
    if not _is_url(place):
        return LocalArrayStore(place)
    # Imported here: it imports tensorstore.
    from .remote_array_store import RemoteArrayStore

    return RemoteArrayStore(str(place))


def create_stores(options: DaCapoConfig | None = None, **changes: Any) -> Stores:
    """Open the four stores that together keep runs."""
    from .changes import Stores

    chosen = _options(options, changes)
    return Stores(
        create_config_store(chosen),
        create_stats_store(chosen),
        create_weights_store(chosen),
        create_array_store(chosen),
    )


def take_lease(run: str | Repeated, doing: str, options: DaCapoConfig | None = None, **changes: Any) -> Lease:
    """Take a run to do something with it, in the store of stats; see ``lease.take``."""
    from .lease import take

    chosen = _options(options, changes)
    return take(_backend(chosen), run, doing, seconds=chosen.lease_seconds)


def _options(options: DaCapoConfig | None, changes: dict[str, Any]) -> DaCapoConfig:
    """Return the options in force, or those given, with changes; refuse places that cannot be used."""
    chosen = Options.instance(**changes) if options is None else attrs.evolve(options, **changes)
    if _is_url(chosen.runs_base_dir):
        raise InvalidOptions(
            f"runs_base_dir = {redacted(str(chosen.runs_base_dir))!r}: should be a folder of a file system; "
            "only volumes can lie under a URL: give it as  arrays"
        )
    if chosen.arrays and _is_url(chosen.arrays) and (reason := _unfit(chosen.arrays)):
        raise InvalidOptions(f"arrays = {redacted(chosen.arrays)!r}: {reason}")
    return chosen


def _unfit(url: str) -> str | None:
    """Return why volumes cannot be kept under a URL; None if they can be."""
    if redacted(url) != url:
        return (
            "should hold no password, because errors and logs name it; set the password where fsspec looks "
            "for it: in FSSPEC_<SCHEME>_PASSWORD, or in ~/.config/fsspec"
        )
    if url.startswith(WRITABLE):
        return None
    # Imported here: whoever keeps volumes elsewhere need not wait for it.
    from fsspec import available_protocols, get_filesystem_class

    scheme, found, _ = url.partition("://")
    if not found or scheme in ("http", "https") or scheme not in available_protocols():
        return (
            f"should be a folder, or a URL that begins with {', '.join(WRITABLE)} or another scheme that "
            "fsspec can write to, such as sftp://; mount other storage, and name the folder it is mounted at"
        )
    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        return f"{error}; pip install it beside DaCapo"
    return None


def _is_url(place: object) -> bool:
    # A path has already lost the second slash of a URL, and would become a folder called "s3:".
    return bool(re.match(r"[a-z][a-z0-9+.-]+:/", str(place), re.IGNORECASE))


def _backend(options: DaCapoConfig) -> StoreBackend:
    """Open the backend that the option ``type`` names, with all its options."""
    from .legacy.reading import with_old_data

    return with_old_data(_backend_type("type", options.type).from_options(options))


def _backend_type(option: str, name: str) -> type[StoreBackend]:
    """Import the backend of a name; blame the option that holds it if there is none."""
    try:
        backend: type[StoreBackend] = registry.load("stores", name)
    except PluginError as error:
        raise InvalidOptions(f"{option} = {name!r}: {error}") from error
    return backend
