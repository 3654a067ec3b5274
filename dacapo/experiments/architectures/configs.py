"""The network backbones, on one page.

An architecture config answers questions of shape without importing torch; only
``module()`` builds the network.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs
from funlib.geometry import Coordinate

from dacapo.config import Config, build, field, implemented_by
from dacapo.errors import InvalidConfig, ShapeError
from dacapo.registry import registry

from . import networks
from .unet_geometry import UNetGeometry, unet_geometry

if TYPE_CHECKING:
    import torch


@attrs.define(kw_only=True)
class ArchitectureConfig(Config, ABC, kind="architectures", builds="architecture_type"):
    """A backbone: raw image in, feature maps out; the task puts a head on it.

    Subclasses name their component as ``architecture_type`` and say, as fields or properties,
    ``input_shape``, ``num_in_channels`` and ``num_out_channels``.
    """

    @property
    @abstractmethod
    def input_shape(self) -> Coordinate:
        """The voxels that one training input has, without batch and channels."""

    @property
    @abstractmethod
    def num_in_channels(self) -> int:
        """How many channels the raw image has."""

    @property
    @abstractmethod
    def num_out_channels(self) -> int:
        """How many feature maps come out."""

    @property
    def dims(self) -> int:
        """How many spatial axes there are."""
        return len(self.input_shape)

    @property
    def eval_shape_increase(self) -> Coordinate:
        """How many voxels more than ``input_shape`` the input has when predicting."""
        return Coordinate((0,) * self.dims)

    @property
    def stride(self) -> Coordinate | None:
        """The distance in voxels between input shapes that work; None if that is not known.

        Shifting the input by it shifts the output along, unless the network pads.
        """
        return None

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the output for that of the input."""
        return Coordinate(voxel_size)

    def module(self) -> torch.nn.Module:
        """Make a new network with weights of its own."""
        network: torch.nn.Module = build(self).module()
        return network


@attrs.define(kw_only=True)
class CNNectomeUNetConfig(ArchitectureConfig):
    """A U-Net of any depth, isotropic or not, in two or three dimensions.

    For a 2D network on 3D data, put 1 first in ``input_shape``, in all factors and in all kernels.
    """

    architecture_type = implemented_by("dacapo.experiments.architectures.cnnectome_unet:CNNectomeUNet")

    input_shape: Coordinate = field("Voxels of one training input, without batch and channels.")
    fmaps_out: int = field("Feature maps that come out.")
    fmaps_in: int = field("Channels of the raw image.")
    num_fmaps: int = field("Feature maps of the top level, the one of full resolution.")
    fmap_inc_factor: int = field("Every level has so many times the feature maps of the one above.")
    downsample_factors: list[Coordinate] = field(
        "Factors of the max-pooling between levels, finest first; their number makes the depth."
    )
    kernel_size_down: list[list[Coordinate]] | None = field(
        "Convolution kernels on the way down, a list per level, finest first, the bottom included; "
        "None is two kernels of 3 voxels along each axis on every level.",
        default=None,
    )
    kernel_size_up: list[list[Coordinate]] | None = field(
        "Convolution kernels on the way up, a list per level, finest first, without the bottom; "
        "None is two kernels of 3 voxels along each axis on every level.",
        default=None,
    )
    eval_shape_increase: Coordinate | None = field(
        "Voxels by which the input is larger when predicting than when training; None is 0.", default=None
    )
    upsample_factors: list[Coordinate] | None = field(
        "Further upsampling after the U-Net, one stage per factor, for an output of smaller voxels; "
        "each stage has the convolutions of the top level.",
        default=None,
    )
    constant_upsample: bool = field(
        "Upsample by repeating voxels, after a 1x1 convolution; off: by a transposed convolution.",
        default=True,
    )
    padding: Literal["valid", "same"] = field(
        "'valid' gives out only what was seen with full context, so that tiles fit together without "
        "seams; 'same' pads with zeros and gives out the shape that came in.",
        default="valid",
    )
    use_attention: bool = field("Weight the skip connections by attention gates.", default=False)
    batch_norm: bool = field("Normalise over the batch after each convolution.", default=False)
    num_heads: int = field(
        "Ways up, each with weights of its own, that share the way down; each gives out fmaps_out maps, one "
        "after the other.",
        default=1,
    )

    @property
    def num_in_channels(self) -> int:
        return self.fmaps_in

    @property
    def num_out_channels(self) -> int:
        return self.fmaps_out * self.num_heads

    @property
    def kernels_down(self) -> list[list[Coordinate]]:
        """The kernels on the way down, with the default filled in."""
        return self.kernel_size_down or self._default_kernels(len(self.downsample_factors) + 1)

    @property
    def kernels_up(self) -> list[list[Coordinate]]:
        """The kernels on the way up, with the default filled in."""
        return self.kernel_size_up or self._default_kernels(len(self.downsample_factors))

    def _default_kernels(self, levels: int) -> list[list[Coordinate]]:
        return [[Coordinate((3,) * self.dims)] * 2 for _ in range(levels)]

    @property
    def kernels_after(self) -> list[Coordinate]:
        """The kernels of each further upsampling stage."""
        return self.kernels_up[0] if self.downsample_factors else self.kernels_down[0]

    @property
    def geometry(self) -> UNetGeometry:
        """Which shapes the network takes and makes."""
        return unet_geometry(
            tuple(self.downsample_factors),
            tuple(map(tuple, self.kernels_down)),
            tuple(map(tuple, self.kernels_up)),
            tuple(self.upsample_factors or ()),
            tuple(self.kernels_after),
            self.padding == "same",
        )

    @property
    def stride(self) -> Coordinate:
        return self.geometry.stride

    @property
    def output_shape(self) -> Coordinate:
        """The voxels that come out for ``input_shape``."""
        return self.geometry.output_shape(self.input_shape)

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the output; ``ShapeError`` if it would not be whole numbers."""
        voxel_size, scale = Coordinate(voxel_size), self.geometry.scale
        if not voxel_size.is_multiple_of(scale):
            raise ShapeError(
                f"{type(self).__name__} {self.name!r} makes voxels {tuple(scale)} times smaller, which "
                f"does not divide the voxel size {tuple(voxel_size)}; state the voxel size in a smaller "
                "unit, or change upsample_factors"
            )
        return voxel_size / scale

    def check(self) -> None:
        if self.eval_shape_increase is None:
            self.eval_shape_increase = Coordinate((0,) * self.dims)
        if self.dims not in (2, 3) or min(self.input_shape) < 1:
            self.refuse("input_shape", "should be 2 or 3 numbers of voxels, each at least 1")
        for name in ("fmaps_out", "fmaps_in", "num_fmaps", "fmap_inc_factor", "num_heads"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be at least 1")
        if self.num_heads > 1 and not (self.downsample_factors or self.upsample_factors):
            self.refuse("num_heads", "should be 1 where there is no way up: without factors")
        self._check_factors("downsample_factors")
        self._check_factors("upsample_factors")
        self._check_kernels("kernel_size_down", len(self.downsample_factors) + 1)
        self._check_kernels("kernel_size_up", len(self.downsample_factors))
        self._check_shapes()

    def _check_factors(self, name: str) -> None:
        for factor in getattr(self, name) or []:
            if len(factor) != self.dims or min(factor) < 1:
                self.refuse(name, f"each should be {self.dims} whole numbers, one per axis, each at least 1")

    def _check_kernels(self, name: str, levels: int) -> None:
        kernels = getattr(self, name)
        if kernels is None:
            return
        if len(kernels) != levels:
            self.refuse(
                name,
                f"should be {levels} lists of kernels, one per level, with {len(self.downsample_factors)} "
                "downsample_factors",
            )
        for kernel in [kernel for level in kernels for kernel in level]:
            # An even kernel would put the output half a voxel beside the input.
            if len(kernel) != self.dims or any(k < 1 or k % 2 == 0 for k in kernel):
                self.refuse(name, f"each kernel should be {self.dims} odd numbers of voxels, one per axis")
        if not all(kernels):
            self.refuse(name, "each level should have at least one kernel")

    def _check_shapes(self) -> None:
        geometry, increase = self.geometry, Coordinate(self.eval_shape_increase)
        if not geometry.fits(self.input_shape):
            advice = geometry.advice(self.input_shape)
            self.refuse("input_shape", f"does not fit the kernels and factors; {advice}")
        if len(increase) != self.dims:
            self.refuse("eval_shape_increase", f"should be {self.dims} numbers of voxels, one per axis")
        if not geometry.fits(self.input_shape + increase):
            advice = geometry.advice(self.input_shape + increase)
            self.refuse("eval_shape_increase", f"does not fit, together with input_shape; {advice}")

    @classmethod
    def example(cls) -> Self:
        """Return a network of two levels."""
        return cls(
            name="example",
            input_shape=Coordinate(24, 24, 24),
            fmaps_in=1,
            fmaps_out=4,
            num_fmaps=2,
            fmap_inc_factor=2,
            downsample_factors=[Coordinate(2, 2, 2)],
            eval_shape_increase=Coordinate(8, 8, 8),
        )


@attrs.define(kw_only=True)
class DummyArchitectureConfig(ArchitectureConfig):
    """One convolution: for tests of the parts around a network."""

    architecture_type = implemented_by("dacapo.experiments.architectures.dummy:DummyArchitecture")

    num_in_channels: int = field("Channels of the raw image.")
    num_out_channels: int = field("Feature maps that come out.")

    @property
    def input_shape(self) -> Coordinate:
        return Coordinate(40, 20, 20)

    @property
    def stride(self) -> Coordinate:
        return Coordinate(1, 1, 1)

    def check(self) -> None:
        for name in ("num_in_channels", "num_out_channels"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be at least 1")

    @classmethod
    def example(cls) -> Self:
        """Return a convolution of one channel to two."""
        return cls(name="example", num_in_channels=1, num_out_channels=2)


def _as_name(factory: Any) -> Any:
    """Return the name of a factory: a class or function that is given itself is offered to this session."""
    if hasattr(factory, "state_dict") and not isinstance(factory, type):
        raise InvalidConfig(
            f"a {type(factory).__name__} cannot be stored: give the class or function that makes it, or its "
            "import path 'package.module:Class', with its arguments; keep its weights in a file, "
            "torch.save(network.state_dict(), 'weights.pt'), and begin with them: FileStartConfig"
        )
    if callable(factory):
        registry.add(factory, networks.KIND)
        return f"local.{factory.__name__}"
    return factory


@attrs.define(kw_only=True)
class WrappedArchitectureConfig(ArchitectureConfig):
    """Any torch module as a network: it keeps the weights it is made with, and all of them are trained.

    Import paths are followed only into modules that the option ``allow_imports`` lists.
    """

    architecture_type = implemented_by("dacapo.experiments.architectures.wrapped:WrappedArchitecture")

    factory: str = field(
        "What makes it: a name that a package offers among its networks, or an import path "
        "'package.module:Class' of a class or function. Scripts call it module.",
        converter=_as_name,
        alias="module",
    )
    arguments: dict[str, Any] = field("Keyword arguments for the class or function.", factory=dict)
    fmaps_in: int = field("Channels of the raw image.")
    fmaps_out: int = field("Feature maps that come out.")
    input_shape: Coordinate = field("Voxels of one training input, without batch and channels.")
    voxel_scale: list[float] | None = field(
        "How many times larger the voxels that come out are, per axis; below 1 for smaller ones. None is "
        "as large as they come in. Scripts call it scale.",
        default=None,
        alias="scale",
    )
    eval_shape_increase: Coordinate | None = field(
        "Voxels by which the input is larger when predicting than when training; None is 0.", default=None
    )
    stride: Coordinate | None = field(
        "The distance in voxels between input shapes that work; None if that is not known.", default=None
    )
    trainable_parameters: str | None = field(
        "A regular expression: only parameters whose names it is found in are trained. None trains all.",
        default=None,
    )

    @property
    def num_in_channels(self) -> int:
        return self.fmaps_in

    @property
    def num_out_channels(self) -> int:
        return self.fmaps_out

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the output; ``ShapeError`` if it would not be whole numbers."""
        factors = self.voxel_scale or [1.0] * self.dims
        scaled = [size * factor for size, factor in zip(voxel_size, factors, strict=True)]
        if any(size < 1 or size != round(size) for size in scaled):
            raise ShapeError(
                f"{type(self).__name__} {self.name!r} makes voxels of {tuple(scaled)} of such of "
                f"{tuple(voxel_size)}; state the voxel size in a smaller unit, or change voxel_scale"
            )
        return Coordinate(map(round, scaled))

    def verify(self) -> tuple[bool, str]:
        reason = networks.reason_against(self.factory)
        return not reason, reason

    def check(self) -> None:
        if self.eval_shape_increase is None:
            self.eval_shape_increase = Coordinate((0,) * self.dims)
        if not networks.is_name(self.factory):
            self.refuse("factory", "should be the name of a network, or 'package.module:Class'")
        if self.dims not in (1, 2, 3) or min(self.input_shape) < 1:
            self.refuse("input_shape", "should be 1 to 3 numbers of voxels, each at least 1")
        for name in ("fmaps_in", "fmaps_out"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be at least 1")
        for name, least in (("voxel_scale", 0), ("eval_shape_increase", -1), ("stride", 0)):
            value = getattr(self, name)
            if value is not None and (len(value) != self.dims or min(value) <= least):
                self.refuse(name, f"should be {self.dims} numbers, one per axis, each above {least}")
        try:
            re.compile(self.trainable_parameters or "")
        except re.error as error:
            self.refuse("trainable_parameters", f"is no regular expression: {error}")

    @classmethod
    def example(cls) -> Self:
        """Return the convolution that DaCapo offers among its networks."""
        return cls(
            name="example",
            module="Convolution",  # type: ignore[call-arg]  # mypy does not see the alias
            arguments={"num_in": 1, "num_out": 2, "kernel": [3, 3, 3]},
            fmaps_in=1,
            fmaps_out=2,
            input_shape=Coordinate(12, 12, 12),
            stride=Coordinate(1, 1, 1),
        )
