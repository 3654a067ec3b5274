"""How large the voxels of a zarr or N5 dataset are, where they begin, and what its axes mean.

Every program writes this in its own way; here it becomes one form, ``Described``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from funlib.geometry import Coordinate

from dacapo.errors import InvalidArray

from .units import NANOMETERS
from .zarr_container import JSON, Node, group_attributes, location

_CHANNELS = {"c", "channel", "channels"}
_TIMES = {"t", "time"}


def spatial_axes(names: list[str]) -> list[int]:
    """Say which axes are space, by their names."""
    return [i for i, name in enumerate(names) if not is_channel(name) and not is_time(name)]


@attrs.frozen(kw_only=True)
class Described:
    """The axes of a dataset as stored, and the sizes along those of them that are space."""

    axis_names: list[str]
    voxel_size: Sequence[float]
    offset: Sequence[float]
    units: list[str]


def is_channel(axis: str) -> bool:
    """Say whether an axis holds channels: marked by ^, or called so."""
    return "^" in axis or axis.lower() in _CHANNELS


def is_time(axis: str) -> bool:
    """Say whether an axis is time."""
    return axis.lower() in _TIMES


def describe(node: Node, axes: list[str] | None) -> Described:
    """Read sizes, offset, axes and units from the attributes of the dataset itself.

    Without any, a voxel is one world unit wide and the first one begins at 0.
    """
    found = node.attributes
    pixel = found.get("pixelResolution")
    pixel = pixel if isinstance(pixel, dict) else {"dimensions": pixel}
    size = _numbers(node, "voxel_size", _first(found, "voxel_size", "resolution") or pixel.get("dimensions"))
    offset = _numbers(node, "offset", found.get("offset"))
    names = axes or _in_order(node, list(_first(found, "axis_names", "axes") or ()))
    names = names or _default_axes(node, None if size is None else len(size))
    if len(names) != len(node.shape) or not all(isinstance(name, str) for name in names):
        raise InvalidArray(
            f"{node.place}: axes {names} do not fit the shape {node.shape}; name one axis per "
            "dimension, for example with  ZarrArrayConfig(..., axes=['c^', 'z', 'y', 'x'])"
        )
    units = found.get("units") or pixel.get("unit") or ("voxel" if size is None else "nm")
    dims = len(spatial_axes(names))
    return Described(
        axis_names=names,
        voxel_size=_along_space(node, names, "voxel_size", size or [1] * dims),
        offset=_along_space(node, names, "offset", offset or [0] * dims),
        units=_along_space(node, names, "units", [units] * dims if isinstance(units, str) else units),
    )


def _in_order(node: Node, values: list[Any]) -> list[Any]:
    """Return values in our order of axes: N5 lists them with x first."""
    return values[::-1] if node.driver == "n5" else values


def _numbers(node: Node, what: str, value: Any) -> list[float] | None:
    """Return a value if it is a list of numbers, or None if it is missing."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(item) in (int, float) for item in value):
        raise InvalidArray(
            f"{node.place}: {what} {value!r} should be a list of numbers; correct its attributes"
        )
    return value


def _along_space(node: Node, names: list[str], what: str, values: list[Any]) -> list[Any]:
    """Return one value per spatial axis, where there may be one for each axis of any kind."""
    spatial = spatial_axes(names)
    ordered = _in_order(node, values)
    if len(ordered) == len(names) > len(spatial):
        return [ordered[axis] for axis in spatial]
    if len(ordered) != len(spatial):
        raise InvalidArray(
            f"{node.place}: {what} {values} should have {len(spatial)} values, one for each of "
            f"{[names[axis] for axis in spatial]}; correct the attributes of the dataset"
        )
    return ordered


def _first(attributes: JSON, *names: str) -> Any:
    """Return the first attribute that is there, of several that mean the same."""
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _default_axes(node: Node, dims: int | None) -> list[str]:
    """Name the axes of a dataset that does not: channels first, then z, y, x."""
    spatial = min(len(node.shape), 3) if dims is None else dims
    channels = len(node.shape) - spatial
    return ["c^", "t"][:channels] + ["z", "y", "x"][-spatial:] if 0 <= channels <= 2 else ["?"]


def describe_level(container: Path | str, dataset: str, node: Node, axes: list[str] | None) -> Described:
    """Read sizes, offset and axes from the OME-NGFF group (0.4 or 0.5) that a level belongs to."""
    parts = [part for part in dataset.split("/") if part]
    for depth in range(len(parts) - 1, -1, -1):
        attributes = group_attributes(location(container, "/".join(parts[:depth])))
        multiscales = attributes.get("ome", attributes).get("multiscales") or []
        for scales in multiscales:
            for level in scales.get("datasets", []):
                if level.get("path", "").strip("/") == "/".join(parts[depth:]):
                    return _of_level(node, scales, level, axes)
    raise InvalidArray(
        f"{node.place}: no group above it has OME-NGFF multiscales that name it as a level; correct "
        "dataset, or leave out ome_metadata to read the attributes of the dataset itself"
    )


def _of_level(node: Node, scales: JSON, level: JSON, axes: list[str] | None) -> Described:
    """Read one level of one multiscale image."""
    entries = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", [])]
    names = axes or [_marked(entry) for entry in entries] or _default_axes(node, None)
    scale, translation = _transform(node, scales, level, len(node.shape))
    first_scale, first_translation = _transform(node, scales, scales["datasets"][0], len(node.shape))
    # Downsampled levels say where the centre of their first voxel is, which lies further in than that
    # of the first level: where just that is meant, both begin at the same place.
    offset = [
        first if abs((here - first) - (size - first_size) / 2) < 1e-6 * size else here
        for here, first, size, first_size in zip(
            translation, first_translation, scale, first_scale, strict=True
        )
    ]
    if len(names) != len(node.shape):
        raise InvalidArray(
            f"{node.place}: the multiscales name axes {names}, and the level has the shape {node.shape}; "
            "correct them, or give ZarrArrayConfig the right axes"
        )
    spatial = spatial_axes(names)
    units = [entry.get("unit") or "nm" for entry in entries] or ["nm"] * len(names)
    return Described(
        axis_names=names,
        voxel_size=[scale[axis] for axis in spatial],
        offset=[offset[axis] for axis in spatial],
        units=[units[axis] for axis in spatial],
    )


def _marked(axis: JSON) -> str:
    """Return the name of an OME-NGFF axis, marked by ^ if it is one of channels."""
    name = str(axis.get("name"))
    if axis.get("type") == "channel" and not is_channel(name):
        return f"{name}^"
    return name


def _transform(node: Node, scales: JSON, level: JSON, dims: int) -> tuple[list[float], list[float]]:
    """Return scale and translation of a level, those of all levels together applied after its own."""
    scale, translation = [1.0] * dims, [0.0] * dims
    for owner in (level, scales):
        for step in owner.get("coordinateTransformations", []):
            values = step.get(step.get("type"))
            if step.get("type") == "identity":
                continue
            if step.get("type") not in ("scale", "translation") or not values or len(values) != dims:
                raise InvalidArray(
                    f"{node.place}: the transformation {step} is not a scale or translation of {dims} "
                    "values; leave out ome_metadata and give the dataset a voxel_size of its own"
                )
            if step["type"] == "scale":
                scale = [a * b for a, b in zip(scale, values, strict=True)]
                translation = [a * b for a, b in zip(translation, values, strict=True)]
            else:
                translation = [a + b for a, b in zip(translation, values, strict=True)]
    return scale, translation


def in_unit(place: str, described: Described, unit: str | None, ome: bool) -> Described:
    """Return the same sizes in another unit; those of OME-NGFF in nanometers if none is asked for."""
    wanted = unit or ("nm" if ome and all(u in NANOMETERS for u in described.units) else None)
    if wanted is None:
        return described
    strange = [u for u in (*described.units, wanted) if u not in NANOMETERS]
    if strange:
        raise InvalidArray(
            f"{place}: sizes in {described.units} cannot be read in {wanted!r}, because {strange[0]!r} is "
            f"not a known length; known are {', '.join(NANOMETERS)}"
        )
    factors = [NANOMETERS[u] / NANOMETERS[wanted] for u in described.units]
    return attrs.evolve(
        described,
        voxel_size=[size * f for size, f in zip(described.voxel_size, factors, strict=True)],
        offset=[start * f for start, f in zip(described.offset, factors, strict=True)],
        units=[wanted] * len(factors),
    )


def whole(place: str, what: str, values: Sequence[float], units: list[str]) -> Coordinate:
    """Return sizes as whole numbers; refuse others, naming a unit in which they are whole."""
    if all(_is_whole(value) for value in values):
        return Coordinate(round(value) for value in values)
    finer = "picometer"
    if all(unit in NANOMETERS for unit in units):
        in_angstrom = [v * NANOMETERS[u] / 0.1 for v, u in zip(values, units, strict=True)]
        finer = "angstrom" if all(map(_is_whole, in_angstrom)) else finer
    raise InvalidArray(
        f"{place}: {what} {list(values)} ({', '.join(units)}) is not whole, and regions are counted in whole "
        f"units; read the dataset in a finer unit with  ZarrArrayConfig(..., unit={finer!r})"
    )


def _is_whole(value: float) -> bool:
    """Say whether a number is whole, but for what is lost in writing it as a fraction."""
    return abs(value - round(value)) <= 1e-6 * max(1.0, abs(value))
