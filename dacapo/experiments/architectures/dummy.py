"""A network of one convolution."""

from __future__ import annotations

from torch import nn

from .architecture import Architecture
from .layers import convolution


class DummyArchitecture(Architecture):
    """One 3D convolution of 3 voxels along each axis, without padding."""

    def module(self) -> nn.Module:
        """Make the convolution."""
        return convolution(self.num_in_channels, self.num_out_channels, (3, 3, 3))
