"""Checks for datasets and datasplits: that their arrays belong together."""

from __future__ import annotations

from typing import Any

from dacapo.config import Config, build
from dacapo.experiments.datasplits import DataSplit
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasets.arrays.array import Array

from .arrays import demand_announced, demand_geometry
from .checks import check, demand


@check("datasets")
def a_dataset_is_called_as_its_config(config: Any) -> None:
    """The dataset has the name and the weight of its config, and equals another one of it."""
    dataset: Dataset = build(config)
    demand(
        dataset.name == config.name, f"its dataset is called {dataset.name!r}; scores are kept under names"
    )
    demand(
        dataset.weight == config.weight,
        f"its dataset weighs {dataset.weight}, and its config says {config.weight}",
    )
    demand(
        dataset == build(config) and hash(dataset) == hash(build(config)),
        "two datasets of one config differ; leave == to the base class",
    )


@check("datasets")
def the_arrays_hold_what_they_say(config: Config) -> None:
    """Image, ground truth and mask read from end to end, as they announce."""
    for what, array in _arrays(build(config)).items():
        demand(isinstance(array, Array), f"its {what} is a {type(array).__name__}, and should be an Array")
        demand_geometry(array)
        demand_announced(array)


@check("datasets")
def what_a_dataset_points_at_is_there(config: Config) -> None:
    """``verify`` says that all files exist, as they do in an example."""
    there, lacking = config.verify()
    demand(there and lacking == "", f"verify() says that something is missing: {lacking!r}")


@check("datasets")
def image_and_ground_truth_belong_together(config: Config) -> None:
    """Ground truth and mask lie in the image, on grids that fit."""
    demand_fit(build(config))


@check("datasets")
def sample_points_lie_in_the_image(config: Config) -> None:
    """Each sample point is a place in the image, in world units."""
    dataset: Dataset = build(config)
    for point in dataset.sample_points or ():
        demand(
            len(point) == dataset.raw.dims and dataset.raw.roi.contains(point),
            f"the sample point {tuple(point)} lies outside of the image, {dataset.raw.roi}; use world units",
        )


@check("datasplits")
def there_is_something_to_train_on(config: Config) -> None:
    """A datasplit has datasets to train on, each a ``Dataset``."""
    split: DataSplit = build(config)
    demand(bool(split.train), "it has nothing to train on; its train list is empty")
    _demand_are_datasets(split, "train")


@check("datasplits")
def what_is_validated_on_has_ground_truth(config: Config) -> None:
    """What a datasplit has to validate on, which may be nothing, are datasets with ground truth."""
    split: DataSplit = build(config)
    _demand_are_datasets(split, "validate")
    bare = [dataset.name for dataset in split.validate if dataset.gt is None]
    demand(not bare, f"{', '.join(bare)} of its datasets to validate on have no ground truth")


@check("datasplits")
def datasets_have_names_of_their_own(config: Config) -> None:
    """No two datasets of one use are called the same: scores are kept under their names."""
    split: DataSplit = build(config)
    for use in ("train", "validate"):
        names = [str(dataset) for dataset in getattr(split, use)]
        twice = sorted({name for name in names if names.count(name) > 1})
        demand(not twice, f"several of its datasets to {use} on are called {', '.join(twice)}; rename them")


@check("datasplits")
def all_images_are_alike(config: Config) -> None:
    """All images have the same voxel size, axes and channels, so that one network takes them."""
    split: DataSplit = build(config)
    found = {
        (tuple(d.raw.voxel_size), tuple(d.raw.units), d.raw.num_channels or 1): d.name
        for d in (*split.train, *split.validate)
    }
    told = "; ".join(
        f"{name}: voxels of {size} {units}, {n} channel(s)" for (size, units, n), name in found.items()
    )
    demand(len(found) <= 1, f"its images differ ({told}); bring them to one voxel size")


@check("datasplits")
def every_dataset_holds_together(config: Config) -> None:
    """Each dataset reads as it announces, and its ground truth lies in its image."""
    split: DataSplit = build(config)
    for dataset in (*split.train, *split.validate):
        for array in _arrays(dataset).values():
            demand_geometry(array)
            demand_announced(array)
        demand_fit(dataset)


@check("datasplits")
def what_a_datasplit_points_at_is_there(config: Config) -> None:
    """``verify`` says that all files exist, as they do in an example."""
    there, lacking = config.verify()
    demand(there and lacking == "", f"verify() says that something is missing: {lacking!r}")


def demand_fit(dataset: Dataset) -> None:
    """Demand that ground truth and mask of a dataset lie in its image, on grids that fit."""
    raw, gt, mask = dataset.raw, dataset.gt, dataset.mask
    demand(raw.dtype.kind in "fuib", f"the image of {dataset.name} is {raw.dtype}, and should be numbers")
    if gt is not None:
        _demand_fit(dataset, "ground truth", gt)
        sizes = list(zip(raw.voxel_size, gt.voxel_size, strict=True))
        demand(
            all(max(pair) % min(pair) == 0 for pair in sizes),
            f"voxels of image and ground truth of {dataset.name} are {tuple(raw.voxel_size)} and "
            f"{tuple(gt.voxel_size)}; one should be a multiple of the other",
        )
    if gt is not None and mask is not None:
        _demand_fit(dataset, "mask", mask)
        demand(
            mask.voxel_size == gt.voxel_size,
            f"voxels of mask and ground truth of {dataset.name} are {tuple(mask.voxel_size)} and "
            f"{tuple(gt.voxel_size)}; they should be the same",
        )


def _demand_fit(dataset: Dataset, what: str, array: Array) -> None:
    raw = dataset.raw
    demand(
        array.dims == raw.dims and list(array.units) == list(raw.units),
        f"the {what} of {dataset.name} has {array.dims} axes in {array.units}, "
        f"its image {raw.dims} in {raw.units}",
    )
    demand(
        array.roi.intersects(raw.roi),
        f"the {what} of {dataset.name} covers {array.roi}, and its image {raw.roi}: nothing of both",
    )


def _demand_are_datasets(split: DataSplit, use: str) -> None:
    strange = [type(d).__name__ for d in getattr(split, use) if not isinstance(d, Dataset)]
    demand(not strange, f"among what it has to {use} on there are {', '.join(strange)}, which are no Dataset")


def _arrays(dataset: Dataset) -> dict[str, Array]:
    found = {"image": dataset.raw, "ground truth": dataset.gt, "mask": dataset.mask}
    return {what: array for what, array in found.items() if array is not None}
