"""Datasplits that are found on disk by the names of their arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.config import build
from dacapo.errors import InvalidConfig, MissingData

from .datasets.arrays.zarr_container import find_array
from .datasets.configs import SimpleDatasetConfig
from .datasplit import DataSplit

if TYPE_CHECKING:
    from .configs import SimpleDataSplitConfig


class SimpleDataSplit(DataSplit):
    """The datasets in a folder or zarr container, named for where they lie in it."""

    def __init__(self, config: SimpleDataSplitConfig) -> None:
        def datasets(group: str) -> list[SimpleDatasetConfig]:
            return [
                SimpleDatasetConfig(
                    # Named by the path below the container: crops of one name in both groups stay apart.
                    "/".join(place.relative_to(config.path).parts) or config.path.stem,
                    path=place,
                    raw_name=config.raw_name,
                    gt_name=config.gt_name,
                    mask_name=config.mask_name,
                )
                for place in _places(config, group)
            ]

        train, validate = (datasets(name) for name in (config.train_group_name, config.validate_group_name))
        super().__init__(config.name, map(build, train), map(build, validate))


def _places(config: SimpleDataSplitConfig, group: str) -> list[Path]:
    """Return every folder of a group that holds an image, all of them at one depth."""
    inside = config.path / group
    crops = sorted(path for path in inside.iterdir() if path.is_dir()) if inside.is_dir() else []
    depths = [[config.path], [inside], crops]
    found = [[place for place in places if find_array(str(place / config.raw_name))] for places in depths]
    filled = [places for places in found if places]
    if not filled:
        raise MissingData(
            f"datasplit {config.name!r}: there is no image at {config.path / config.raw_name}, nor at "
            f"{inside / config.raw_name}, nor at {inside / '*' / config.raw_name}; check path, group names "
            "and raw_name"
        )
    if len(filled) > 1:
        raise InvalidConfig(
            f"datasplit {config.name!r}: there are images at several depths, in {filled[0][0]} and in "
            f"{filled[1][0]}; keep them at one depth, or list them in a TrainValidateDataSplitConfig"
        )
    return filled[0]


__all__ = ["SimpleDataSplit"]
