"""MONAI's networks and losses, on one page."""

from __future__ import annotations

import difflib
import math
from abc import ABC
from typing import Any, ClassVar, Literal

import attrs
from funlib.geometry import Coordinate

from dacapo.config import field, implemented_by
from dacapo.experiments.architectures import ArchitectureConfig
from dacapo.experiments.tasks import LossConfig

from . import signatures

NETWORKS, LOSSES = "monai.networks.nets", "monai.losses"
SHAPED = "the number of axes of input_shape"


@attrs.define(kw_only=True)
class MonaiArchitectureConfig(ArchitectureConfig, ABC):
    """A network of MONAI in two or three dimensions, with whatever its constructor can be told.

    The networks pad: what comes out has the shape that came in.  Where a network is told to be
    deeply supervised, its coarser outputs are learned too, and only the finest is used to predict.
    Most normalise over the whole input (instance norm), so that predictions of one voxel depend
    a little on the tile it lies in; norm='BATCH' does not.
    """

    architecture_type = implemented_by("dacapo_monai.networks:MonaiArchitecture")
    network: ClassVar[str] = ""

    input_shape: Coordinate = field("Voxels of one training input, without batch and channels.")
    fmaps_in: int = field("Channels of the raw image.", default=1)
    fmaps_out: int = field("Feature maps that come out; the head of the task is put on them.", default=16)
    arguments: dict[str, Any] = field(
        "Further arguments of the network's constructor, by the names MONAI gives them.", factory=dict
    )
    eval_shape_increase: Coordinate | None = field(
        "Voxels by which the input is larger when predicting than when training; None is 0.", default=None
    )

    @property
    def num_in_channels(self) -> int:
        return self.fmaps_in

    @property
    def num_out_channels(self) -> int:
        return self.fmaps_out

    @property
    def own_arguments(self) -> dict[str, str]:
        """The arguments that come from other fields, and from which."""
        return {"spatial_dims": SHAPED, "in_channels": "it is fmaps_in", "out_channels": "it is fmaps_out"}

    @property
    def constructor_arguments(self) -> dict[str, Any]:
        """All that the constructor is told."""
        own = {"spatial_dims": self.dims, "in_channels": self.fmaps_in, "out_channels": self.fmaps_out}
        return own | self.arguments

    def check(self) -> None:
        self.eval_shape_increase = Coordinate(self.eval_shape_increase or (0,) * self.dims)
        self.arguments = signatures.plain(self.arguments)
        if self.dims not in (2, 3) or min(self.input_shape) < 1:
            self.refuse("input_shape", "should be 2 or 3 numbers of voxels, each at least 1")
        if len(self.eval_shape_increase) != self.dims or min(self.eval_shape_increase) < 0:
            self.refuse("eval_shape_increase", f"should be {self.dims} numbers of voxels, each at least 0")
        for name in ("fmaps_in", "fmaps_out"):
            if getattr(self, name) < 1:
                self.refuse(name, "should be at least 1")
        self._check_arguments()
        self._check_shapes()

    def _check_arguments(self) -> None:
        known = signatures.signature(NETWORKS, self.network)
        if known is None:
            near = difflib.get_close_matches(self.network, signatures.classes(NETWORKS), n=3)
            self.refuse("network", f"MONAI has no network of that name; near are {', '.join(near) or 'none'}")
        if fault := signatures.fault(known, self.arguments, self.own_arguments):
            self.refuse("arguments", f"of {self.network}: {fault}")

    def _check_shapes(self) -> None:
        stride = self.stride or Coordinate((1,) * self.dims)
        for name in ("input_shape", "eval_shape_increase"):
            if not Coordinate(getattr(self, name)).is_multiple_of(stride):
                self.refuse(
                    name, f"each should be a multiple of {tuple(stride)}, the stride of {self.network}"
                )

    def _levels(self, name: str, default: Any) -> Coordinate:
        """Return the product, by axis, of factors that are each a number or one number an axis."""
        total = Coordinate((1,) * self.dims)
        for factor in self.arguments.get(name, default):
            each = factor if isinstance(factor, list) else [factor] * self.dims
            if len(each) != self.dims or min(each) < 1:
                self.refuse("arguments", f"{name}: each should be 1 or more, or {self.dims} such numbers")
            total = total * Coordinate(each)
        return total


@attrs.define(kw_only=True)
class UNetConfig(MonaiArchitectureConfig):
    """MONAI's residual U-Net: ``arguments`` needs channels and strides, such as [16, 32, 64] and [2, 2]."""

    network = "UNet"

    @classmethod
    def example(cls) -> UNetConfig:
        """Return a small one."""
        return cls("example", input_shape=(16, 16), arguments={"channels": [4, 8], "strides": [2]})

    @property
    def stride(self) -> Coordinate:
        return self._levels("strides", [])


@attrs.define(kw_only=True)
class DynUNetConfig(MonaiArchitectureConfig):
    """The U-Net of nnU-Net: ``arguments`` needs kernel_size, strides and upsample_kernel_size, a list each.

    With deep_supervision=True the deep_supr_num levels below the finest are learned too.
    """

    network = "DynUNet"

    @classmethod
    def example(cls) -> DynUNetConfig:
        """Return a small one that is deeply supervised."""
        levels = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2]}
        arguments = {**levels, "filters": [4, 8, 8], "deep_supervision": True}
        return cls("example", input_shape=(16, 16), arguments=arguments)

    @property
    def stride(self) -> Coordinate:
        return self._levels("strides", [])


@attrs.define(kw_only=True)
class SegResNetConfig(MonaiArchitectureConfig):
    """The residual encoder and decoder that won BraTS 2018, without its auto-encoder."""

    network = "SegResNet"

    @classmethod
    def example(cls) -> SegResNetConfig:
        """Return a small one."""
        arguments = {"blocks_down": [1, 1], "blocks_up": [1]}
        return cls("example", input_shape=(16, 16), arguments=arguments)

    @property
    def stride(self) -> Coordinate:
        return Coordinate((2 ** (len(self.arguments.get("blocks_down", [1, 2, 2, 4])) - 1),) * self.dims)


@attrs.define(kw_only=True)
class SwinUNETRConfig(MonaiArchitectureConfig):
    """Shifted-window transformers on the way down, convolutions on the way up; feature_size in twelves."""

    network = "SwinUNETR"

    @classmethod
    def example(cls) -> SwinUNETRConfig:
        """Return a small one."""
        arguments = {"feature_size": 12, "window_size": 4, "depths": [1, 1, 1, 1]}
        return cls("example", input_shape=(64, 64), arguments=arguments)

    @property
    def stride(self) -> Coordinate:
        return Coordinate((int(self.arguments.get("patch_size", 2)) ** 5,) * self.dims)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if self.arguments.get("feature_size", 24) % 12:
            self.refuse("arguments", "of SwinUNETR: feature_size should be a multiple of 12")


@attrs.define(kw_only=True)
class UNETRConfig(MonaiArchitectureConfig):
    """A vision transformer with a decoder of convolutions; it sees inputs of ``input_shape`` only."""

    network = "UNETR"

    @classmethod
    def example(cls) -> UNETRConfig:
        """Return a small one."""
        arguments = {"hidden_size": 24, "mlp_dim": 32, "num_heads": 2, "feature_size": 4}
        return cls("example", input_shape=(32, 32), arguments=arguments)

    @property
    def own_arguments(self) -> dict[str, str]:
        return super().own_arguments | {"img_size": "it is input_shape"}

    @property
    def constructor_arguments(self) -> dict[str, Any]:
        return super().constructor_arguments | {"img_size": list(self.input_shape)}

    def _check_shapes(self) -> None:
        if not self.input_shape.is_multiple_of(Coordinate((16,) * self.dims)):
            self.refuse("input_shape", "each should be a multiple of 16, the patches of UNETR")
        if any(self.eval_shape_increase or ()):
            self.refuse("eval_shape_increase", "should be 0: UNETR takes inputs of one shape only")


@attrs.define(kw_only=True)
class NetworkConfig(MonaiArchitectureConfig):
    """Any other network of MONAI that makes feature maps of the shape that comes in: VNet, BasicUNet, ..."""

    network: str = field("The name of its class in monai.networks.nets.")  # type: ignore[misc]
    multiple_of: Coordinate | None = field(
        "Inputs should have multiples of so many voxels; None if the network only takes input_shape.",
        default=None,
    )

    @classmethod
    def example(cls) -> NetworkConfig:
        """Return a small one."""
        arguments = {"features": [4, 4, 4, 4, 4, 4]}
        return cls("example", network="BasicUNet", input_shape=(32, 32), arguments=arguments,
                   multiple_of=(16, 16))  # fmt: skip

    @property
    def stride(self) -> Coordinate | None:
        return self.multiple_of

    def _check_arguments(self) -> None:
        super()._check_arguments()
        known = signatures.signature(NETWORKS, self.network) or {}
        if lacking := [name for name in self.own_arguments if name not in known]:
            self.refuse("network", f"it has no argument {lacking[0]}, so it makes no feature maps")

    def _check_shapes(self) -> None:
        if self.multiple_of is None and any(self.eval_shape_increase or ()):
            self.refuse("eval_shape_increase", "needs multiple_of: which other shapes does the network take?")
        if self.multiple_of is not None and len(self.multiple_of) != self.dims:
            self.refuse("multiple_of", f"should be {self.dims} numbers of voxels")
        super()._check_shapes()


LossName = Literal[
    "DiceLoss", "DiceCELoss", "DiceFocalLoss", "FocalLoss", "GeneralizedDiceFocalLoss",
    "GeneralizedDiceLoss", "MCCLoss", "TverskyLoss",
]  # fmt: skip


@attrs.define(kw_only=True)
class MonaiLossConfig(LossConfig):
    """A loss of MONAI between logits and a one-hot target, over the voxels that count.

    Offered are those in which every voxel counts by itself, so that masked ones can be left out.
    Weights of voxels only say which count; classes are weighted by the loss's own arguments.
    """

    loss_type = implemented_by("dacapo_monai.losses:MonaiLoss")

    loss: LossName = field("The name of its class in monai.losses.")
    arguments: dict[str, Any] = field(
        "Further arguments of its constructor; without sigmoid or softmax, softmax is used.", factory=dict
    )

    @classmethod
    def example(cls) -> MonaiLossConfig:
        """Return that of Dice and cross-entropy together."""
        return cls(loss="DiceCELoss", arguments={"squared_pred": True, "lambda_ce": 0.5})

    def check(self) -> None:
        self.arguments = signatures.plain(self.arguments)
        known = signatures.signature(LOSSES, self.loss)
        if known is None:
            self.refuse("loss", "the installed MONAI has no such loss; upgrade it with  pip install -U monai")
        own = {
            "to_onehot_y": "targets are one-hot",
            "reduction": "it is the mean",
            "other_act": "no function",
        }
        if fault := signatures.fault(known, self.arguments, own):
            self.refuse("arguments", f"of {self.loss}: {fault}")
        if any(isinstance(one, float) and not math.isfinite(one) for one in self.arguments.values()):
            self.refuse("arguments", f"of {self.loss}: numbers should be finite")
