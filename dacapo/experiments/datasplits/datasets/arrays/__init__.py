"""Arrays: image and label volumes in files, and views of them."""

from typing import TYPE_CHECKING

from dacapo.registry import namespace

from .array import Array, NumpyArray
from .configs import (
    ArrayConfig,
    BinarizeArrayConfig,
    ConcatArrayConfig,
    ConstantArrayConfig,
    CropArrayConfig,
    DummyArrayConfig,
    IntensitiesArrayConfig,
    LogicalOrArrayConfig,
    NumpyArrayConfig,
    OnesArrayConfig,
    ResampledArrayConfig,
    SumArrayConfig,
    TiffArrayConfig,
    ZarrArrayConfig,
)

__all__ = [
    "Array",
    "ArrayConfig",
    "BinarizeArrayConfig",
    "ConcatArrayConfig",
    "ConstantArrayConfig",
    "CropArrayConfig",
    "DummyArrayConfig",
    "IntensitiesArrayConfig",
    "LogicalOrArrayConfig",
    "NumpyArray",
    "NumpyArrayConfig",
    "OnesArrayConfig",
    "ResampledArrayConfig",
    "SumArrayConfig",
    "TiffArrayConfig",
    "ZarrArrayConfig",
]

if not TYPE_CHECKING:  # a misspelt name should not pass for somebody's type
    __getattr__, __dir__ = namespace(__name__, "arrays")
