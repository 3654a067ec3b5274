"""Where the volumes of runs are: snapshots of training, predictions and segmentations of validation."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from numbers import Integral
from pathlib import Path
from typing import Any

import attrs

from dacapo.errors import InvalidName, InvalidRequest
from dacapo.names import Repeated, run_key

from .publication import move_tree, remove_if_empty, remove_tree

logger = logging.getLogger(__name__)
SUFFIX = ".zarr"


@attrs.frozen
class LocalArrayIdentifier:
    """One array: the container it lies in (a path, or a URL as text), and its path inside."""

    container: Path | str
    dataset: str


@attrs.frozen
class LocalContainerIdentifier:
    """One container of arrays: a path, or a URL as text."""

    container: Path | str

    def array_identifier(self, dataset: str) -> LocalArrayIdentifier:
        """Return an array of this container."""
        return LocalArrayIdentifier(self.container, dataset)


class ArrayStore(ABC):
    """Says where a run's arrays are; reading and writing them is for others.

    Runs are given by their config, as a ``Run``, or by a text: ``name`` or ``name:repetition``.
    """

    @abstractmethod
    def snapshot_container(self, run: str | Repeated) -> LocalContainerIdentifier:
        """Return where the snapshots of training go."""

    @abstractmethod
    def validation_container(self, run: str | Repeated) -> LocalContainerIdentifier:
        """Return where everything of the validations goes."""

    def validation_prediction_array(
        self, run: str | Repeated, iteration: int, dataset: Any
    ) -> LocalArrayIdentifier:
        """Return where a dataset's prediction goes."""
        return self.validation_container(run).array_identifier(
            f"{_number(iteration)}/{_segment(dataset)}/prediction"
        )

    def validation_output_array(
        self, run: str | Repeated, iteration: int, parameters: Any, dataset: Any
    ) -> LocalArrayIdentifier:
        """Return where a dataset's segmentation under a parameter set goes."""
        inner = f"{_number(iteration)}/{_segment(dataset)}/output/{_segment(parameters)}"
        return self.validation_container(run).array_identifier(inner)

    def validation_input_arrays(
        self, run: str | Repeated, index: str | None = None
    ) -> tuple[LocalArrayIdentifier, LocalArrayIdentifier]:
        """Return where copies of raw and ground truth of a validation dataset go."""
        folder = "inputs" if index is None else f"inputs/{_segment(index)}"
        container = self.validation_container(run)
        return container.array_identifier(f"{folder}/raw"), container.array_identifier(f"{folder}/gt")

    def best_validation_array(
        self, run: str | Repeated, criterion: str, index: str | None = None
    ) -> LocalArrayIdentifier:
        """Return where the best segmentation by a criterion goes."""
        inner = _segment(criterion) if index is None else f"{_segment(index)}/{_segment(criterion)}"
        return self.validation_container(run).array_identifier(inner)

    @abstractmethod
    def exists(self, array_identifier: LocalArrayIdentifier | LocalContainerIdentifier) -> bool:
        """Say whether there is anything at a place."""

    @abstractmethod
    def remove(self, array_identifier: LocalArrayIdentifier | LocalContainerIdentifier) -> bool:
        """Remove an array or a container with all in it; return False if there is none."""

    def containers(self, run: str | Repeated) -> list[LocalContainerIdentifier]:
        """Return the containers that there are of a run."""
        places = self.snapshot_container(run), self.validation_container(run)
        return [place for place in places if self.exists(place)]

    def remove_validation(self, run: str | Repeated, iteration: int) -> bool:
        """Remove the predictions and segmentations of one iteration; return False if there are none."""
        arrays = self.validation_container(run).array_identifier(_number(iteration))
        return self.exists(arrays) and self.remove(arrays)

    def keeps(self, run: str | Repeated) -> bool:
        """Say whether there is any array of a run."""
        containers = self.snapshot_container(run), self.validation_container(run)
        return any(self.exists(one) for one in containers)

    def delete(self, run: str | Repeated) -> bool:
        """Delete all arrays of a run; return False if there were none."""
        return bool([one for one in self.containers(run) if self.remove(one)])

    @abstractmethod
    def move(self, run: str | Repeated, new: str | Repeated) -> None:
        """Give all arrays of a run another key; done again after an interruption, it goes on."""


class LocalArrayStore(ArrayStore):
    """Keeps each run's arrays in two zarr containers in the run's folder."""

    def __init__(self, basedir: Path | str) -> None:
        self.basedir = Path(basedir).expanduser()

    def __repr__(self) -> str:
        return f"LocalArrayStore({str(self.basedir)!r})"

    def snapshot_container(self, run: str | Repeated) -> LocalContainerIdentifier:
        """Return ``<base>/<run>/snapshot.zarr``."""
        return LocalContainerIdentifier(self.basedir / run_key(run) / f"snapshot{SUFFIX}")

    def validation_container(self, run: str | Repeated) -> LocalContainerIdentifier:
        """Return ``<base>/<run>/validation.zarr``."""
        return LocalContainerIdentifier(self.basedir / run_key(run) / f"validation{SUFFIX}")

    def move(self, run: str | Repeated, new: str | Repeated) -> None:
        """Rename the containers of a run."""
        for place in (self.snapshot_container, self.validation_container):
            old = Path(place(run).container)
            if move_tree(old, Path(place(new).container)):
                remove_if_empty(old.parent)

    def exists(self, array_identifier: LocalArrayIdentifier | LocalContainerIdentifier) -> bool:
        """Say whether there is a file or folder at a place."""
        return Path(array_identifier.container, getattr(array_identifier, "dataset", "")).exists()

    def remove(self, array_identifier: LocalArrayIdentifier | LocalContainerIdentifier) -> bool:
        """Remove an array or a container; only inside of ``*.zarr``, anything else is refused."""
        container = Path(array_identifier.container)
        inner = getattr(array_identifier, "dataset", "")
        path = container / inner
        if container.suffix != SUFFIX or not path.resolve().is_relative_to(container.resolve()):
            raise InvalidRequest(f"{path} is not inside of a {SUFFIX} container, so it is not removed")
        if not remove_tree(path):
            logger.warning("%s is not there to be removed", path)
            return False
        if path == container:
            remove_if_empty(container.parent)
        return True


def _number(iteration: int) -> str:
    if not isinstance(iteration, Integral) or isinstance(iteration, bool):
        raise InvalidRequest(f"an iteration should be a number, and is {iteration!r:.80}")
    return str(iteration)


def _segment(part: Any) -> str:
    """Return the text of a part of an array's path, if it cannot lead elsewhere."""
    text = str(part)
    if not text or text.startswith(".") or any(c in "/\\" or not c.isprintable() for c in text):
        raise InvalidName(
            f"{text!r} cannot be part of an array's path: it should have no slash and no leading dot"
        )
    return text
