"""What every dataset has: an image, and perhaps ground truth and a mask."""

from __future__ import annotations

from abc import ABC, abstractmethod

from funlib.geometry import Coordinate

from .arrays.array import Array


class Dataset(ABC):
    """Arrays that belong together, each opened when it is first asked for.

    Datasets are the same if their names are: scores are kept under these.
    """

    def __init__(self, name: str, weight: int = 1, sample_points: list[Coordinate] | None = None) -> None:
        self.name = name
        self.weight = weight
        self.sample_points = sample_points

    @property
    @abstractmethod
    def raw(self) -> Array:
        """The image."""

    @property
    def gt(self) -> Array | None:
        """The ground truth; None if there is none."""
        return None

    @property
    def mask(self) -> Array | None:
        """Where the ground truth counts (above 0); None means everywhere."""
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return f"ds_{self.name.replace('/', '_')}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


__all__ = ["Dataset"]
