"""Arrays of runs under a URL, such as ``s3://bucket/dacapo`` or ``sftp://host/dacapo``."""

from __future__ import annotations

import logging
from typing import Any

from dacapo.errors import InvalidRequest
from dacapo.experiments.datasplits.datasets.arrays.zarr_container import keys, location
from dacapo.experiments.datasplits.datasets.arrays.zarr_creation import reached, remove
from dacapo.names import Repeated, run_key

from .array_store import SUFFIX, ArrayStore, LocalArrayIdentifier, LocalContainerIdentifier

logger = logging.getLogger(__name__)


class RemoteArrayStore(ArrayStore):
    """Keeps each run's arrays in two zarr containers below a URL that tensorstore or fsspec can write to.

    Credentials are those of the account: the usual files and variables of AWS, Google and fsspec.
    Raises ``StoreError`` for what the service refuses.
    """

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def __repr__(self) -> str:
        return f"RemoteArrayStore({self.base!r})"

    def snapshot_container(self, run: str | Repeated) -> LocalContainerIdentifier:
        """Return ``<base>/<run>/snapshot.zarr``."""
        return LocalContainerIdentifier(f"{self.base}/{run_key(run)}/snapshot{SUFFIX}")

    def validation_container(self, run: str | Repeated) -> LocalContainerIdentifier:
        """Return ``<base>/<run>/validation.zarr``."""
        return LocalContainerIdentifier(f"{self.base}/{run_key(run)}/validation{SUFFIX}")

    def move(self, run: str | Repeated, new: str | Repeated) -> None:
        """Copy every object to its new key, then remove the old ones: a bucket can do no better."""
        for place in (self.snapshot_container, self.validation_container):
            old, target = self._place(place(run)), self._place(place(new))
            with reached(old):
                source, copy = keys(old), keys(target)
                for key in source.names():
                    if (content := source.read(key)) is not None:
                        copy.write(key, content)
            if self.exists(place(run)):
                remove(old)

    def exists(self, array_identifier: LocalArrayIdentifier | LocalContainerIdentifier) -> bool:
        """Say whether anything is stored under a place."""
        place = self._place(array_identifier)
        with reached(place):
            return bool(keys(place).names())

    def remove(self, array_identifier: LocalArrayIdentifier | LocalContainerIdentifier) -> bool:
        """Remove an array or a container; only below the URL of this store, anything else is refused."""
        place = self._place(array_identifier)
        if not place.startswith(f"{self.base}/") or ".." in place.split("/"):
            raise InvalidRequest(f"{place} is not below {self.base}, so it is not removed")
        if not self.exists(array_identifier):
            logger.warning("%s is not there to be removed", place)
            return False
        remove(place)
        return True

    def _place(self, identifier: Any) -> str:
        return location(identifier.container, getattr(identifier, "dataset", ""))
