"""The U-Net: Ronneberger et al. 2015 (arXiv:1505.04597), for volumes of any anisotropy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.errors import ShapeError

from .architecture import Architecture
from .configs import CNNectomeUNetConfig
from .layers import AttentionGate, ConvolutionPass, Upsample, crop, max_pool


class CNNectomeUNet(Architecture):
    """The U-Net that a ``CNNectomeUNetConfig`` describes."""

    config: CNNectomeUNetConfig

    def module(self) -> CNNectomeUNetModule:
        """Make a new U-Net with initial weights."""
        return CNNectomeUNetModule(self.config)


class Ascent(nn.Module):
    """Go up one level: upsample, join what skipped the levels below if there is any, convolve.

    ``num_features`` are those of what comes from below, after upsampling, of what has skipped, and at
    the end.  ``cut`` is what to take off before convolving, in voxels, both sides together.
    """

    def __init__(
        self,
        config: CNNectomeUNetConfig,
        num_features: tuple[int, int, int, int],
        factor: Coordinate,
        kernels: list[Coordinate],
    ) -> None:
        super().__init__()
        num_in, num_inner, num_skipped, num_out = num_features
        self.cut = Coordinate((0,) * config.dims)
        self.upsample = Upsample(num_in, num_inner, factor, config.constant_upsample)
        has_gate = num_skipped and config.use_attention
        self.gate = AttentionGate(num_skipped, num_inner, config.dims) if has_gate else None
        self.convolutions = ConvolutionPass(
            num_skipped + num_inner, num_out, kernels, config.padding == "same", config.batch_norm
        )

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        features = self.upsample(features)
        features = crop(features, [n - c for n, c in zip(features.shape[2:], self.cut, strict=True)])
        if skip is not None:
            skip = crop(skip, features.shape[2:])
            features = torch.cat((self.gate(skip, features) if self.gate else skip, features), dim=1)
        return self.convolutions(features)  # type: ignore[no-any-return]


class CNNectomeUNetModule(nn.Module):
    """A U-Net: (batch, fmaps_in, spatial...) to (batch, fmaps_out * num_heads, spatial...).

    Raises ``ShapeError``, naming the shapes that work, for inputs that do not fit.
    """

    def __init__(self, config: CNNectomeUNetConfig) -> None:
        super().__init__()
        self.num_in_channels, self.geometry = config.fmaps_in, config.geometry
        fmaps = [
            config.num_fmaps * config.fmap_inc_factor**level for level in range(len(config.kernels_down))
        ]
        # The way up ends with what was asked for; without levels, the way down does.
        num_out = [config.fmaps_out, *fmaps[1:]]
        self.down = nn.ModuleList(
            ConvolutionPass(num_in, num, kernels, config.padding == "same", config.batch_norm)
            for num_in, num, kernels in zip(
                [config.fmaps_in, *fmaps[:-1]],
                fmaps if config.downsample_factors else num_out,
                config.kernels_down,
                strict=True,
            )
        )
        self.pools = nn.ModuleList(max_pool(factor) for factor in config.downsample_factors)
        ways_up = [nn.ModuleList(_way_up(config, fmaps, num_out)) for _ in range(config.num_heads)]
        self.up = ways_up[0]
        self.further_up = nn.ModuleList(ways_up[1:])
        for way in filter(len, ways_up):
            # Before the last convolutions, so that they do not compute what would be thrown away.
            way[-1].cut = self.geometry.crop

    def forward(self, raw: Tensor) -> Tensor:
        self._check(raw)
        skips: list[Tensor] = []
        features = raw
        for level, down in enumerate(self.down):
            if level:
                skips.append(features)
                features = self.pools[level - 1](features)
            features = down(features)
        outputs = [self._ascend(way, features, skips) for way in (self.up, *self.further_up)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    @staticmethod
    def _ascend(way: Any, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Go up from the bottom, on levels and then beyond them, where nothing has skipped any."""
        for up, skip in zip_longest(way, reversed(skips)):
            features = up(features, skip)
        return features

    def _check(self, raw: Tensor) -> None:
        dims = len(self.geometry.stride)
        if raw.dim() != dims + 2 or raw.shape[1] != self.num_in_channels:
            raise ShapeError(
                f"this network takes (batch, {self.num_in_channels} channels, {dims} spatial axes), "
                f"not a tensor of shape {tuple(raw.shape)}"
            )
        self.geometry.output_shape(Coordinate(raw.shape[2:]))


def _way_up(config: CNNectomeUNetConfig, fmaps: list[int], num_out: list[int]) -> list[Ascent]:
    """Return the stages from the bottom to the top, and beyond it, where there is nothing to join."""
    levels = zip(fmaps, fmaps[1:], num_out, config.downsample_factors, config.kernels_up, strict=False)
    stages = [
        # Upsampling leaves as many feature maps as the level has; at the top, all that come from below.
        Ascent(config, (below, here if stage else below, here, out), factor, kernels)
        for stage, (here, below, out, factor, kernels) in enumerate(levels)
    ]
    num = config.fmaps_out
    further = [
        Ascent(config, (num, num, 0, num), f, config.kernels_after) for f in config.upsample_factors or ()
    ]
    return [*reversed(stages), *further]
