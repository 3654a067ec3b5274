"""Arrays: image and label volumes in files, and views of them."""

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
