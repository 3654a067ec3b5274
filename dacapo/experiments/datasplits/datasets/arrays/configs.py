"""The arrays a dataset can be made of, on one page: files, and views of other arrays.

Nothing is read until a region is asked for, and then only that region of the sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import attrs
from funlib.geometry import Coordinate, Roi

from dacapo.config import Config, UnknownConfig, build, field, implemented_by

from .array import Array

_MODULE = "dacapo.experiments.datasplits.datasets.arrays"


def verify_parts(config: Config, kind: type[Config]) -> tuple[bool, str]:
    """Ask every config of a kind among the fields of ``config`` whether what it points at exists."""
    for name in (f.name for f in attrs.fields(type(config))):
        value = getattr(config, name)
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, UnknownConfig):
                return False, f"{config.name}: {part.reason}"
            if isinstance(part, kind) and not (answer := part.verify())[0]:
                return answer
    return True, ""


@attrs.define(kw_only=True)
class ArrayConfig(Config, kind="arrays", builds="array_type"):
    """Where a volume comes from, or how it is made of others."""

    def array(self, mode: str | None = None) -> Array:
        """Open the array; ``mode`` is "r" or "r+" and matters only for files that can be written."""
        opened: Array = build(self)
        return opened

    def verify(self) -> tuple[bool, str]:
        """Say whether the files behind the array exist, and if not, which is missing."""
        return verify_parts(self, ArrayConfig)


@attrs.define(kw_only=True)
class ZarrArrayConfig(ArrayConfig):
    """A dataset of a zarr (version 2 or 3) or N5 container."""

    array_type = implemented_by(f"{_MODULE}.zarr_array:open_config")

    file_name: Path = field("The container: the folder that holds all its datasets.")
    dataset: str = field("The path of the dataset inside the container.")
    snap_to_grid: Coordinate | None = field(
        "Voxel size, in world units, of a grid that the array has to lie on: it is moved by less than a "
        "voxel and loses the voxels that fill no cell of the grid. None leaves it as it is.",
        default=None,
    )
    axes: list[str] | None = field(
        "Names of all axes, such as c^, z, y, x, in place of those in the file; ^ marks channels.",
        default=None,
    )
    mode: Literal["r", "r+", "a"] = field(
        "How to open the dataset unless told otherwise: r to read; r+ or a to read and write.", default="a"
    )
    ome_metadata: bool = field(
        "Take voxel size, offset and axes from the OME-NGFF group above; the dataset is one of its levels.",
        default=False,
    )
    unit: str | None = field(
        "Unit to read sizes and offsets in, such as angstrom where voxels are not whole nanometers. "
        "None keeps the unit of the file.",
        default=None,
    )

    def array(self, mode: str | None = None) -> Array:
        """Open the dataset, in its own ``mode`` unless another is given."""
        opened: Array = self.array_type(self, mode)
        return opened

    def verify(self) -> tuple[bool, str]:
        """Say whether the dataset exists."""
        place = self.file_name / self.dataset
        if ":/" in str(self.file_name) or any(
            (place / name).exists() for name in (".zarray", "zarr.json", "attributes.json")
        ):
            return True, ""
        return False, f"{self.name}: there is no zarr or N5 dataset at {place}"

    def check(self) -> None:
        if self.snap_to_grid is not None and any(size < 1 for size in self.snap_to_grid):
            self.refuse("snap_to_grid", "should be above 0 along every axis")


@attrs.define(kw_only=True)
class FileArrayConfig(ArrayConfig):
    """A file that does not say how large its voxels are."""

    file_name: Path = field("The file.")
    voxel_size: Coordinate = field("Size of a voxel along every spatial axis, in world units.")
    offset: Coordinate | None = field(
        "Where the first voxel begins, in world units; None means at 0.", default=None
    )
    axis_names: list[str] | None = field(
        "Names of all axes in the order of the file; ^ marks channels, as in c^. "
        "None means z, y, x, or the last of them.",
        default=None,
    )
    units: list[str] | None = field("Unit of every spatial axis; None means nm.", default=None)

    def verify(self) -> tuple[bool, str]:
        """Say whether the file exists."""
        if self.file_name.is_file():
            return True, ""
        return False, f"{self.name}: there is no file {self.file_name}"

    def check(self) -> None:
        if any(size < 1 for size in self.voxel_size):
            self.refuse("voxel_size", "should be above 0 along every axis")
        dims = len(self.voxel_size)
        if self.offset is not None and len(self.offset) != dims:
            self.refuse("offset", f"should have {dims} values, as voxel_size has")
        if self.units is not None and len(self.units) != dims:
            self.refuse("units", f"should have {dims} values, as voxel_size has")


@attrs.define(kw_only=True)
class TiffArrayConfig(FileArrayConfig):
    """A TIFF file of one page or a stack of them, read page by page or mapped into memory."""

    array_type = implemented_by(f"{_MODULE}.tiff_array:TiffArray")


@attrs.define(kw_only=True)
class NumpyArrayConfig(FileArrayConfig):
    """A .npy file, mapped into memory."""

    array_type = implemented_by(f"{_MODULE}.file_arrays:NumpyFileArray")


@attrs.define(kw_only=True)
class DummyArrayConfig(ArrayConfig):
    """A volume of 100 x 50 x 50 zeros: for tests of the parts around arrays."""

    array_type = implemented_by(f"{_MODULE}.views:DummyArray")


@attrs.define(kw_only=True)
class ConstantArrayConfig(ArrayConfig):
    """One value everywhere, in the shape of another array."""

    array_type = implemented_by(f"{_MODULE}.views:ConstantArray")

    source_array_config: ArrayConfig = field("The array whose shape, place and dtype to take.")
    constant: float = field("The value of all voxels.", default=1)

    @classmethod
    def example(cls) -> Self:
        """Return a constant in the shape of another array."""
        return cls(name="example", source_array_config=DummyArrayConfig("source"))


@attrs.define(kw_only=True)
class OnesArrayConfig(ConstantArrayConfig):
    """Ones everywhere, in the shape of another array: a mask that hides nothing."""


@attrs.define(kw_only=True)
class BinarizeArrayConfig(ArrayConfig):
    """One channel of zeros and ones for every group of labels."""

    array_type = implemented_by(f"{_MODULE}.views:BinarizeArray")

    source_array_config: ArrayConfig = field("The labels; without a channel axis.")
    groupings: list[tuple[str, list[int]]] = field(
        "Name of each channel and the labels it is 1 for; no labels means all but the background."
    )
    background: int = field("The label that channels without labels leave out.", default=0)

    def check(self) -> None:
        names = [name for name, _ in self.groupings]
        if not names or len(set(names)) < len(names):
            self.refuse("groupings", "should name at least one group, each once")


@attrs.define(kw_only=True)
class IntensitiesArrayConfig(ArrayConfig):
    """Brightness brought to the range 0 to 1, as float32: (x - min) / (max - min)."""

    array_type = implemented_by(f"{_MODULE}.views:IntensitiesArray")

    source_array_config: ArrayConfig = field("The array to scale.")
    min: float = field("The value that becomes 0; smaller ones become negative.")
    max: float = field("The value that becomes 1; larger ones go beyond.")

    def check(self) -> None:
        if not self.min < self.max:
            self.refuse("max", f"should be above min ({self.min})")

    @classmethod
    def example(cls) -> Self:
        """Return an image of 8 bits."""
        return cls(name="example", source_array_config=DummyArrayConfig("source"), min=0.0, max=255.0)


@attrs.define(kw_only=True)
class CropArrayConfig(ArrayConfig):
    """The part of an array that lies inside a region."""

    array_type = implemented_by(f"{_MODULE}.views:CropArray")

    source_array_config: ArrayConfig = field("The array to cut from.")
    roi: Roi = field("The region, in world units; None as offset or shape leaves an axis uncut.")

    @classmethod
    def example(cls) -> Self:
        """Return a corner."""
        corner = Roi((0, 0, 0), (10, 10, 10))
        return cls(name="example", source_array_config=DummyArrayConfig("source"), roi=corner)


@attrs.define(kw_only=True)
class ConcatArrayConfig(ArrayConfig):
    """Several one-channel arrays as the channels of one."""

    array_type = implemented_by(f"{_MODULE}.combined:ConcatArray")

    channels: list[str] = field("The channels, in their order.")
    source_array_configs: dict[str, ArrayConfig] = field("For each channel, the array it comes from.")
    default_config: ArrayConfig | None = field(
        "The array for channels that have none of their own.", default=None
    )

    def check(self) -> None:
        if not self.channels or len(set(self.channels)) < len(self.channels):
            self.refuse("channels", "should name at least one channel, each once")
        if strange := sorted(set(self.source_array_configs) - set(self.channels)):
            self.refuse("channels", f"should also name {', '.join(strange)}, which has an array")
        missing = sorted(set(self.channels) - set(self.source_array_configs))
        if missing and self.default_config is None:
            self.refuse(
                "source_array_configs",
                f"should have an array for {', '.join(missing)}, unless there is a default_config",
            )

    @classmethod
    def example(cls) -> Self:
        """Return two channels."""
        one = DummyArrayConfig("source")
        return cls(name="example", channels=["a", "b"], source_array_configs={"a": one, "b": one})


@attrs.define(kw_only=True)
class LogicalOrArrayConfig(ArrayConfig):
    """The largest of all channels: where these are 0 and 1, whether any of them is 1."""

    array_type = implemented_by(f"{_MODULE}.combined:LogicalOrArray")

    source_array_config: ArrayConfig = field("The array to merge the channels of.")

    @classmethod
    def example(cls) -> Self:
        """Return the union of two channels."""
        return cls(name="example", source_array_config=ConcatArrayConfig.example())


@attrs.define(kw_only=True)
class SumArrayConfig(ArrayConfig):
    """Several arrays added up, voxel by voxel, in a dtype that holds the sum."""

    array_type = implemented_by(f"{_MODULE}.combined:SumArray")

    source_array_configs: list[ArrayConfig] = field("The arrays to add.")

    def check(self) -> None:
        if not self.source_array_configs:
            self.refuse("source_array_configs", "should have at least one array")

    @classmethod
    def example(cls) -> Self:
        """Return the sum of two."""
        return cls(name="example", source_array_configs=[DummyArrayConfig("source")] * 2)


# Not keyword-only: existing scripts give these fields in order.
@attrs.define
class ResampledArrayConfig(ArrayConfig):
    """An array with smaller or larger voxels.

    Images (``interp_order``) are interpolated linearly going up and averaged going down, as
    float32.  Labels are repeated going up; going down each voxel gets the label that most of the
    voxels it covers have, and of equally frequent ones the largest.  New voxels lie on multiples
    of their size, so voxels at the border that do not fill one are left out.
    """

    array_type = implemented_by(f"{_MODULE}.resampled:ResampledArray")

    source_array_config: ArrayConfig = field("The array to resample.")
    upsample: Coordinate | None = field(
        "How many voxels to make of one, per spatial axis; 1 leaves an axis as it is.", default=None
    )
    downsample: Coordinate | None = field(
        "How many voxels to make one of, per spatial axis; 1 leaves an axis as it is.", default=None
    )
    interp_order: bool = field(
        "Whether values may be averaged: true for images, false for labels and masks.", default=True
    )

    def preprocess(self, array: Array) -> Array:
        """Return an array as the config says to resample its source."""
        resampled: Array = self.array_type(self, array)
        return resampled

    def check(self) -> None:
        # Zeros stand in documents of existing DaCapo for "not in this direction".
        up, down = ([max(f, 1) for f in factors or ()] for factors in (self.upsample, self.downsample))
        if any(f < 0 for f in (*(self.upsample or ()), *(self.downsample or ()))):
            self.refuse("upsample", f"should be 1 or more, and so should downsample ({self.downsample})")
        if up and down and (len(up) != len(down) or any(u > 1 < d for u, d in zip(up, down, strict=True))):
            self.refuse(
                "upsample",
                f"should have one factor per axis, as downsample ({self.downsample}), and only one of "
                "the two above 1 along an axis",
            )

    @classmethod
    def example(cls) -> Self:
        """Return an image of larger voxels."""
        return cls(
            name="example", source_array_config=DummyArrayConfig("source"), downsample=Coordinate(2, 2, 2)
        )


__all__ = [
    "ArrayConfig",
    "BinarizeArrayConfig",
    "ConcatArrayConfig",
    "ConstantArrayConfig",
    "CropArrayConfig",
    "DummyArrayConfig",
    "IntensitiesArrayConfig",
    "LogicalOrArrayConfig",
    "NumpyArrayConfig",
    "OnesArrayConfig",
    "ResampledArrayConfig",
    "SumArrayConfig",
    "TiffArrayConfig",
    "ZarrArrayConfig",
    "verify_parts",
]
