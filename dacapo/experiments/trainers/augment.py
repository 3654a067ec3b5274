"""What an augment is, and what it works on: the interface for augments of your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import attrs
import numpy as np
from funlib.geometry import Coordinate

from .configs import AugmentConfig
from .deformation import Deformation

NDArray = np.ndarray[Any, Any]


@attrs.define(eq=False)
class Patch:
    """A piece of a dataset that a network is trained on.

    ``raw`` is float32, (channel, spatial...); ``gt`` as the dataset has it, with or without
    channels first; ``mask`` is 0 where ground truth is to be ignored, and None if all of it counts.
    Image and ground truth share their centre, not their size.
    """

    raw: NDArray
    gt: NDArray
    mask: NDArray | None
    voxel_size: Coordinate
    gt_voxel_size: Coordinate


@attrs.frozen
class Extent:
    """How large a patch will be: a box around its centre, and its voxels, in world units."""

    size: Coordinate
    voxel_size: Coordinate

    @property
    def dims(self) -> int:
        """How many spatial axes there are."""
        return len(self.size)


class Augment(ABC):
    """Varies patches at random; whatever is random is drawn from the generator it is given.

    Whether it is applied to a patch at all, by ``augmentation_probability``, has been decided
    when it is called.  Threads share an augment: it must not keep anything between patches.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config: Any = config

    @abstractmethod
    def change(self, patch: Patch, random: np.random.Generator) -> None:
        """Change the values of a patch; its arrays may be replaced, by others of the same shape."""


class SpatialAugment(Augment):
    """Moves the voxels of a patch.

    It says how before anything is read, so that all that is to be moved is moved in one pass, and
    nothing at the rim of the patch is missing.  Image, ground truth and mask follow the same field.
    """

    @abstractmethod
    def deformation(self, extent: Extent, random: np.random.Generator) -> Deformation:
        """Return where the points of a patch of this extent come from."""

    def change(self, patch: Patch, random: np.random.Generator) -> None:
        """Leave the values as they are."""
