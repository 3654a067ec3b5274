"""What the numbers of an array mean, and so whether they may be interpolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs


def _labels(value: Mapping[int, str] | Sequence[str]) -> dict[int, str]:
    return dict(value) if isinstance(value, Mapping) else dict(enumerate(value))


@attrs.frozen
class ArrayType:
    """What the numbers of an array mean."""

    interpolatable: ClassVar[bool] = True


@attrs.frozen
class AnnotationArray(ArrayType):
    """Ids of classes or objects: the mean of two of them means nothing."""

    interpolatable: ClassVar[bool] = False

    classes: dict[int, str] = attrs.field(converter=_labels, factory=dict)


@attrs.frozen
class BinaryArray(ArrayType):
    """One channel of zeros and ones per class."""

    interpolatable: ClassVar[bool] = False

    channels: dict[int, str] = attrs.field(converter=_labels, factory=dict)


@attrs.frozen
class Mask(ArrayType):
    """Zero where voxels are ignored, above zero where they count."""

    interpolatable: ClassVar[bool] = False


@attrs.frozen
class IntensitiesArray(ArrayType):
    """Measured brightness, one value per channel, between ``min`` and ``max``."""

    channels: dict[int, str] = attrs.field(converter=_labels, factory=dict)
    min: float | None = None
    max: float | None = None


@attrs.frozen
class DistanceArray(ArrayType):
    """Signed distances to the surface of each class."""

    classes: dict[int, str] = attrs.field(converter=_labels, factory=dict)


@attrs.frozen
class EmbeddingArray(ArrayType):
    """Vectors whose entries mean nothing by themselves, such as affinities or descriptors."""

    embedding_dims: int


@attrs.frozen
class ProbabilityArray(ArrayType):
    """How likely each class is, one channel per class."""

    classes: dict[int, str] = attrs.field(converter=_labels, factory=dict)


__all__ = [
    "AnnotationArray",
    "ArrayType",
    "BinaryArray",
    "DistanceArray",
    "EmbeddingArray",
    "IntensitiesArray",
    "Mask",
    "ProbabilityArray",
]
