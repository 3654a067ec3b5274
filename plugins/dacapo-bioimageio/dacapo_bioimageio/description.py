"""What a package says of its model, read without importing torch, and without running anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, Self

import attrs
from bioimageio.spec import InvalidDescr, load_description
from bioimageio.spec.model import v0_5
from bioimageio.spec.utils import download
from funlib.geometry import Coordinate

from dacapo.errors import CorruptData, InvalidArchive, InvalidConfig, NotFound

from .archive import cache_folder, unpacked

NAMES = ("rdf.yaml", "bioimageio.yaml")


@attrs.frozen(eq=False)
class ZooModel:
    """One model: its description, and what of it DaCapo asks for.

    Only models with one input and one output are known, with axes batch, channel and two or three
    of space, in this order.
    """

    source: str
    descr: v0_5.ModelDescr
    root: Path | None  # the folder of a package that lies here

    @classmethod
    def of(cls, model_id: str) -> Self:
        """Return the model of an id, a URL, a file or a folder; packages are unpacked once.

        Raises ``NotFound`` if it cannot be had, ``InvalidArchive`` for a package with tricks, and
        ``InvalidConfig`` for a description that is not valid or of a model of another shape.
        """
        found: Self = cls._of(model_id, _stamp(model_id))
        return found

    @classmethod
    @cache
    def _of(cls, model_id: str, stamp: Any) -> Self:
        path = Path(model_id).expanduser()
        if not path.exists() and model_id.lower().split("?")[0].endswith(".zip") and "://" in model_id:
            path = _fetched(model_id)
        if path.is_file() and path.suffix == ".zip":
            path = unpacked(path)
        if path.is_dir():
            path = next((path / name for name in NAMES if (path / name).is_file()), path / NAMES[0])
        if path.exists():
            model = cls(model_id, _described(model_id, path), path.parent.resolve())
        elif _looks_like_a_path(model_id):
            raise NotFound(f"there is no model {model_id}: neither a package nor a folder with {NAMES[0]}")
        else:
            model = cls(model_id, _described(model_id, model_id), None)
        model._check()
        return model

    # what comes in and out

    @property
    def input_shape(self) -> Coordinate:
        """The smallest input that the model takes, in voxels."""
        return Coordinate(_least(axis.size) for axis in self._axes(self.descr.inputs[0]))

    @property
    def stride(self) -> Coordinate | None:
        """How much larger inputs may be, in voxels; None if there is one shape only."""
        sizes = [axis.size for axis in self._axes(self.descr.inputs[0])]
        if not all(isinstance(size, v0_5.ParameterizedSize) for size in sizes):
            return None
        return Coordinate(size.step for size in sizes)

    @property
    def num_in_channels(self) -> int:
        """The channels that go in."""
        return self._channels(self.descr.inputs[0])

    @property
    def num_out_channels(self) -> int:
        """The channels that come out."""
        return self._channels(self.descr.outputs[0])

    @property
    def labels(self) -> list[str] | None:
        """What the channels are called, if DaCapo has exported the model."""
        found = self.ours.get("channels")
        return list(map(str, found)) if isinstance(found, list) else None

    @property
    def ours(self) -> Mapping[str, Any]:
        """What DaCapo has written into the description of a model that it exported."""
        extra = self.descr.config.model_extra or {}
        found = extra.get("dacapo")
        return found if isinstance(found, Mapping) else {}

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the output; ``InvalidConfig`` if it would not be whole numbers."""
        voxel_size, factors = Coordinate(voxel_size), []
        pairs = zip(self._axes(self.descr.inputs[0]), self._axes(self.descr.outputs[0]), strict=True)
        for size, (one, other) in zip(voxel_size, pairs, strict=True):
            made = size * other.scale / one.scale
            if made != int(made) or made < 1:
                self._refuse(
                    f"makes voxels of {made:g} from voxels of {size}, which is not a whole number; state "
                    "voxel sizes in a smaller unit"
                )
            factors.append(int(made))
        return Coordinate(factors)

    # files

    def file(self, what: Any) -> Path:
        """Return the path of a file that the description names, with its checksum compared."""
        if self.root is None:
            return _saved(what)
        name = str(getattr(what, "source", what))
        path = Path(name if os.path.isabs(name) else self.root / name).resolve()
        if not path.is_relative_to(self.root):
            raise InvalidArchive(f"{self.source}: {name!r:.80} lies outside of the package")
        if not path.is_file():
            raise NotFound(f"{self.source}: the file {name!r:.80} is not there")
        expected = getattr(what, "sha256", None)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if expected is not None and digest != str(expected):
            raise CorruptData(f"{self.source}: {name!r:.80} fails its checksum; get the package again")
        return path

    # whether it is a model that DaCapo can use

    def _check(self) -> None:
        if len(self.descr.inputs) != 1 or len(self.descr.outputs) != 1:
            self._refuse(
                f"has {len(self.descr.inputs)} inputs and {len(self.descr.outputs)} outputs; DaCapo takes "
                "models with one of each"
            )
        for tensor in (self.descr.inputs[0], self.descr.outputs[0]):
            kinds = [axis.type for axis in tensor.axes]
            if kinds not in (["batch", "channel", *["space"] * dims] for dims in (2, 3)):
                self._refuse(
                    f"has a tensor {tensor.id!s} with the axes {', '.join(kinds)}; DaCapo takes batch, "
                    "channel and two or three of space, in this order"
                )
        self.input_shape  # noqa: B018

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidConfig(f"the model {self.source} {reason}")

    @staticmethod
    def _axes(tensor: Any) -> list[Any]:
        return [axis for axis in tensor.axes if axis.type == "space"]

    @staticmethod
    def _channels(tensor: Any) -> int:
        return next(len(axis.channel_names) for axis in tensor.axes if axis.type == "channel")


def _least(size: Any) -> int:
    if isinstance(size, v0_5.ParameterizedSize):
        return int(size.min)
    if isinstance(size, int):
        return size
    raise InvalidConfig(f"an axis of the model has the size {size}, which follows from another; DaCapo takes "
                        "models whose inputs have sizes of their own")  # fmt: skip


def _stamp(model_id: str) -> Any:
    """Return what changes when a file here is replaced, so that it is read again."""
    path = Path(model_id).expanduser()
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _looks_like_a_path(model_id: str) -> bool:
    return model_id.startswith(("/", ".", "~")) or model_id.lower().endswith((".zip", ".yaml", ".yml"))


def _described(model_id: str, source: Any) -> v0_5.ModelDescr:
    try:
        found = load_description(source, perform_io_checks=False, format_version="latest")
    except Exception as error:
        raise NotFound(
            f"the model {model_id} cannot be had: {type(error).__name__}: {error}; give the path of a "
            "package that was downloaded, or look whether this machine reaches the network"
        ) from error
    if isinstance(found, InvalidDescr):
        first = next((error for one in found.validation_summary.details for error in one.errors), None)
        reason = "it is not valid" if first is None else f"{'.'.join(map(str, first.loc))}: {first.msg}"
        raise InvalidConfig(f"the description of the model {model_id} is not valid: {reason}")
    if not isinstance(found, v0_5.ModelDescr):
        raise InvalidConfig(f"{model_id} describes a {found.type}, not a model")
    return found


def _fetched(url: str) -> Path:
    """Download a package to where it can be looked at before it is unpacked."""
    try:
        reader = download(url)
        data = reader.read_bytes() if isinstance(reader, Path) else reader.read()
    except Exception as error:
        raise NotFound(
            f"the model {url} cannot be downloaded: {error}; give the path of a package that was downloaded"
        ) from error
    return _kept(data, ".zip")


def _saved(what: Any) -> Path:
    """Download a file that the description of a model of the zoo names; its checksum is compared there."""
    try:
        data = what.get_reader().read()
    except Exception as error:
        raise NotFound(f"{what.source} cannot be downloaded: {error}") from error
    return _kept(data, Path(str(what.source)).suffix)


def _kept(data: bytes, suffix: str) -> Path:
    path = cache_folder() / f"{hashlib.sha256(data).hexdigest()}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".part-{os.getpid()}-{path.name}")
        temporary.write_bytes(data)
        temporary.replace(path)
    return path
