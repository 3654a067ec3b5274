"""Datasets of arrays that lie side by side under known names."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dacapo.config import build
from dacapo.errors import InvalidArray

from .arrays.array import Array
from .arrays.configs import IntensitiesArrayConfig, ZarrArrayConfig
from .configs import RawGTDatasetConfig
from .raw_gt import RawGTDataset

if TYPE_CHECKING:
    from .configs import SimpleDatasetConfig

# The value of each dtype that becomes 1; images of real numbers are taken to be scaled already.
_WHITE = {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}


class SimpleDataset(RawGTDataset):
    """Image, ground truth and mask of one zarr group; 8 and 16 bit images become 0 to 1."""

    def __init__(self, config: SimpleDatasetConfig) -> None:
        def part(name: str) -> ZarrArrayConfig:
            return ZarrArrayConfig(f"{config.name}/{name}", file_name=config.path, dataset=name, mode="r")

        mask = part(config.mask_name)
        super().__init__(
            RawGTDatasetConfig(
                config.name,
                weight=config.weight,
                raw_config=part(config.raw_name),
                gt_config=part(config.gt_name),
                mask_config=mask if mask.verify()[0] else None,
            )
        )

    @cached_property
    def raw(self) -> Array:
        """The image as float32."""
        stored = super().raw
        if stored.dtype.name not in _WHITE:
            raise InvalidArray(
                f"dataset {self.name!r}: the image {stored.name} has dtype {stored.dtype}, and should have "
                f"one of {', '.join(_WHITE)}; use a RawGTDatasetConfig with an IntensitiesArrayConfig"
            )
        if stored.dtype.name == "float32":
            return stored
        source = self._config.raw_config
        assert source is not None  # said in __init__
        scaled = IntensitiesArrayConfig(
            source.name, source_array_config=source, min=0, max=_WHITE[stored.dtype.name]
        )
        opened: Array = build(scaled)
        return opened

    @cached_property
    def mask(self) -> Array | None:
        """Where the ground truth counts (above 0); None means everywhere."""
        mask = super().mask
        if mask is not None and mask.dtype.kind not in "uib":
            raise InvalidArray(
                f"dataset {self.name!r}: the mask {mask.name} has dtype {mask.dtype}, and should be of whole "
                "numbers: 0 where the ground truth is to be ignored"
            )
        return mask


__all__ = ["SimpleDataset"]
