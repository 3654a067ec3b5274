"""What can be chosen when a prediction is turned into a segmentation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import attrs
from funlib.geometry import Coordinate

from dacapo.config import Config, field, implemented_by
from dacapo.errors import InvalidConfig

TRUNCATE = 4.0  # standard deviations


@attrs.frozen
class PostProcessorParameters(Config, kind="post_processors"):
    """One choice among those a post-processor tries.

    Two sets are the same if all their values are: they may be keys of a dictionary.  Sets of a
    post-processor that tasks can be given name it, as ``post_processor_type``: it is made from a
    set.  What it makes are ids of objects if ``makes_objects``, and classes otherwise.  Fields named
    in ``vary_slowest`` do so in sweeps, since what depends on them costs much and is ``shared``.
    """

    makes_objects: ClassVar[bool] = False
    vary_slowest: ClassVar[tuple[str, ...]] = ()

    id: int = field("Tells apart the sets that one post-processor enumerates.")
    name: str = field(
        "The values in words, as str() gives them.", init=False, eq=False, repr=False, default=""
    )

    @classmethod
    def example(cls) -> Self:
        """Return the first set, all else being at its default."""
        return cls(id=0)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        object.__setattr__(self, "name", self.words())  # frozen for everyone else

    def words(self) -> str:
        """Say the values shortly, in letters, digits, dots, dashes and underscores: fit for a path."""
        return f"parameters_{self.id}"

    def __str__(self) -> str:
        return self.name


@attrs.frozen
class CleaningParameters(PostProcessorParameters):
    """How a segmentation is tidied up; by default not at all."""

    vary_slowest = ("smoothing",)

    smoothing: float = field(
        "The prediction is smoothed by a Gaussian of this standard deviation, in world units; 0 leaves it.",
        default=0.0,
        kw_only=True,
    )
    fill_holes: bool = field(
        "Fill background that a single object, or class, encloses.", default=False, kw_only=True
    )
    min_size: int = field(
        "Connected pieces of fewer voxels become background; 0 keeps all.", default=0, kw_only=True
    )

    def check(self) -> None:
        _check_cleaning(self)
        if not 0 <= self.smoothing < math.inf:
            self.refuse("smoothing", "should be 0 or more")

    @property
    def context(self) -> float:
        """How far around a voxel matters to it, in world units; infinite for the whole volume."""
        whole = self.fill_holes or self.min_size > 1
        return math.inf if whole else TRUNCATE * self.smoothing

    def words(self) -> str:
        """Say how it is tidied up, if it is."""
        return "_".join(self._said())

    def _said(self) -> list[str]:
        smoothed = [f"smoothed_{self.smoothing}"] if self.smoothing else []
        return smoothed + _cleaning_words(self)


@attrs.frozen
class ThresholdPostProcessorParameters(CleaningParameters):
    """Where to cut a prediction in two."""

    threshold: float = field("Predictions above it are foreground.", default=0.0)

    def _said(self) -> list[str]:
        return [f"threshold_{self.threshold}", *super()._said()]


@attrs.frozen
class ConnectedComponentsPostProcessorParameters(
    ThresholdPostProcessorParameters, builds="post_processor_type"
):
    """What is foreground; each connected piece of it is an object."""

    post_processor_type = implemented_by(
        "dacapo.experiments.tasks.post_processors.object_post_processors:ConnectedComponentsPostProcessor"
    )
    makes_objects = True

    def _said(self) -> list[str]:
        return ["components", *super()._said()]


@attrs.frozen
class SeededWatershedPostProcessorParameters(ThresholdPostProcessorParameters, builds="post_processor_type"):
    """What is foreground, and what is so deep inside of an object that it is a seed of its own."""

    post_processor_type = implemented_by(
        "dacapo.experiments.tasks.post_processors.object_post_processors:SeededWatershedPostProcessor"
    )
    makes_objects = True

    seed_threshold: float = field(
        "Each connected piece of predictions above it is the seed of an object.", default=0.5
    )

    def _said(self) -> list[str]:
        return [f"seeds_{self.seed_threshold}", *super()._said()]


@attrs.frozen
class ArgmaxPostProcessorParameters(CleaningParameters):
    """The most probable class wins: there is nothing to choose but how it is tidied up."""

    def _said(self) -> list[str]:
        return ["argmax", *super()._said()]


@attrs.frozen
class WatershedPostProcessorParameters(PostProcessorParameters):
    """How readily voxels are held together."""

    bias: float = field("Affinities above it hold voxels together, those below part them.", default=0.5)
    context: Coordinate = field(
        "Voxels around a block; not needed, since volumes are parted as a whole.",
        factory=lambda: Coordinate(32, 32, 32),
    )
    min_size: int = field("Objects of fewer voxels are left out.", default=0)
    fill_holes: bool = field("Fill background that a single object encloses.", default=False)

    def check(self) -> None:
        _check_cleaning(self)

    def words(self) -> str:
        """Say the bias, and how the objects are tidied up."""
        return "_".join([f"bias_{self.bias}", *_cleaning_words(self)])


@attrs.frozen
class DummyPostProcessorParameters(PostProcessorParameters):
    """A number without a meaning."""

    min_size: int = field("How many channels must be detected for foreground.")

    def words(self) -> str:
        """Say the size."""
        return f"min_size_{self.min_size}"

    @classmethod
    def example(cls) -> Self:
        """Return the smallest size."""
        return cls(id=0, min_size=1)


def swept(
    sets: Iterable[PostProcessorParameters], values: Mapping[str, Sequence[Any]]
) -> tuple[PostProcessorParameters, ...]:
    """Return each set with all combinations of ``values`` for the fields they name, numbered from 0.

    Of the fields that need not ``vary_slowest`` the first varies slowest.  Raises ``InvalidConfig``
    for a field that the sets do not have.
    """
    sets = list(sets)
    if not values:
        return tuple(sets)
    known = {f.name for one in sets for f in attrs.fields(type(one)) if f.init and f.name != "id"}
    if strange := values.keys() - known:
        raise InvalidConfig(
            f"sweep: {', '.join(sorted(strange))} cannot be swept; {type(sets[0]).__name__} has "
            f"{', '.join(sorted(known)) or 'nothing to choose'}"
        )
    if empty := [name for name, choices in values.items() if not choices]:
        raise InvalidConfig(f"sweep: {', '.join(empty)} has no values; give it some, or leave it out")
    found = {
        one.replace(id=0, **dict(zip(values, combination, strict=True))): None
        for combination in itertools.product(*values.values())
        for one in sets
    }
    slowest = {
        name: list(dict.fromkeys(getattr(one, name) for one in found)) for name in type(sets[0]).vary_slowest
    }
    ordered = sorted(
        found, key=lambda one: [seen.index(getattr(one, name)) for name, seen in slowest.items()]
    )
    return tuple(one.replace(id=number) for number, one in enumerate(ordered))


def _check_cleaning(parameters: CleaningParameters | WatershedPostProcessorParameters) -> None:
    if parameters.min_size < 0:
        parameters.refuse("min_size", "should be 0 or more")


def _cleaning_words(parameters: CleaningParameters | WatershedPostProcessorParameters) -> list[str]:
    filled = ["filled"] if parameters.fill_holes else []
    return filled + ([f"min_size_{parameters.min_size}"] if parameters.min_size else [])
