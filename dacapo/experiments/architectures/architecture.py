"""What every backbone is, whoever wrote it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from funlib.geometry import Coordinate

if TYPE_CHECKING:
    import torch

    from .configs import ArchitectureConfig


class Architecture(ABC):
    """A backbone: raw image in, feature maps out.

    Subclasses implement ``module``; all that is said about shapes comes from the config.  Not a
    torch module itself, so that shapes can be asked for without importing torch.
    """

    def __init__(self, architecture_config: ArchitectureConfig) -> None:
        self.config = architecture_config

    @abstractmethod
    def module(self) -> torch.nn.Module:
        """Make a new network: (batch, channels, spatial...) to the same with other channels.

        In training mode it may give out a tuple instead, the feature maps of several depths, that of
        full resolution first: then each is predicted from, and learned (deep supervision).
        """

    @property
    def name(self) -> str:
        """The name of its config."""
        return self.config.name

    @property
    def input_shape(self) -> Coordinate:
        """The voxels that one training input has, without batch and channels."""
        return self.config.input_shape

    @property
    def eval_shape_increase(self) -> Coordinate:
        """How many voxels more than ``input_shape`` the input has when predicting."""
        return self.config.eval_shape_increase

    @property
    def num_in_channels(self) -> int:
        """How many channels the raw image has."""
        return self.config.num_in_channels

    @property
    def num_out_channels(self) -> int:
        """How many feature maps come out."""
        return self.config.num_out_channels

    @property
    def dims(self) -> int:
        """How many spatial axes there are."""
        return self.config.dims

    @property
    def stride(self) -> Coordinate | None:
        """The distance in voxels between input shapes that work; None if that is not known."""
        return self.config.stride

    def scale(self, voxel_size: Coordinate) -> Coordinate:
        """Return the voxel size of the output for that of the input."""
        return self.config.scale(voxel_size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
