"""The U-Net and the model of earlier versions, made by hand: what they compute, in tensors of other names.

Levels are counted from the top, on the way up as well, and what upsamples comes before what convolves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from dacapo.experiments.architectures import CNNectomeUNetConfig


def convolve(num_in: int, num_out: int, kernels: Any, config: CNNectomeUNetConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    flat = config.dims == 2
    for kernel in map(tuple, kernels):
        padding = tuple(size // 2 for size in kernel) if config.padding == "same" else 0
        layers.append((nn.Conv2d if flat else nn.Conv3d)(num_in, num_out, kernel, padding=padding))
        if config.batch_norm:
            layers.append((nn.BatchNorm2d if flat else nn.BatchNorm3d)(num_out))
        layers.append(nn.ReLU())
        num_in = num_out
    return nn.Sequential(*layers)


def upsample(num_in: int, num_out: int, factor: Any, config: CNNectomeUNetConfig) -> nn.Sequential:
    factor, flat = tuple(factor), config.dims == 2
    if not config.constant_upsample:
        make = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
        return nn.Sequential(make(num_in, num_out, factor, stride=factor), nn.ReLU())
    by_one = (nn.Conv2d if flat else nn.Conv3d)(num_in, num_out, 1)
    return nn.Sequential(
        nn.Upsample(scale_factor=tuple(map(float, factor)), mode="nearest"), by_one, nn.ReLU()
    )


def middle(features: Tensor, like: Tensor) -> Tensor:
    """Return the middle of a map, as large as another."""
    cuts = [a - b for a, b in zip(features.shape[2:], like.shape[2:], strict=True)]
    return pad(features, [-side for cut in reversed(cuts) for side in (cut // 2, cut - cut // 2)])


class OldUNet(nn.Module):
    """Fewer feature maps with each upsampling but the last, after which all are kept."""

    def __init__(self, config: CNNectomeUNetConfig) -> None:
        super().__init__()
        maps = [config.num_fmaps * config.fmap_inc_factor**level for level in range(len(config.kernels_down))]
        levels = range(len(maps) - 1)
        self.left = nn.ModuleList(
            convolve(num_in, num_out, kernels, config)
            for num_in, num_out, kernels in zip(
                [config.fmaps_in, *maps], maps, config.kernels_down, strict=False
            )
        )
        self.pool = nn.ModuleList(
            (nn.MaxPool2d if config.dims == 2 else nn.MaxPool3d)(tuple(f)) for f in config.downsample_factors
        )
        kept = [maps[level] if level else maps[1] for level in levels]
        self.raise_ = nn.ModuleList(
            nn.ModuleDict(
                {"up": upsample(maps[level + 1], kept[level], config.downsample_factors[level], config)}
            )
            for level in levels
        )
        made = [config.fmaps_out, *maps[1:]]
        self.right = nn.ModuleList(
            convolve(maps[level] + kept[level], made[level], config.kernels_up[level], config)
            for level in levels
        )

    def forward(self, raw: Tensor) -> Tensor:
        return self.at(0, raw)

    def at(self, level: int, features: Tensor) -> Tensor:
        features = self.left[level](features)
        if level == len(self.right):
            return features
        below: Any = self.raise_[level]
        raised = below["up"](self.at(level + 1, self.pool[level](features)))
        joined: Tensor = self.right[level](torch.cat((middle(features, raised), raised), 1))
        return joined


class OldModel(nn.Module):
    """A backbone and a head, each known by two names: ``seed`` has the head first, ``0.3.5`` the backbone."""

    def __init__(self, config: CNNectomeUNetConfig, num_channels: int, era: str) -> None:
        super().__init__()
        backbone = OldUNet(config)
        head = (nn.Conv2d if config.dims == 2 else nn.Conv3d)(config.fmaps_out, num_channels, 1)
        if era == "0.3.5":
            self.architecture = nn.ModuleDict({"unet": backbone})
        self.prediction_head = head
        self.chain = nn.Sequential(
            self.architecture if era == "0.3.5" else nn.ModuleDict({"unet": backbone}), head
        )

    def forward(self, raw: Tensor) -> Tensor:
        backbone: Any = self.chain[0]
        prediction: Tensor = self.chain[1](backbone["unet"](raw))
        return prediction


def trained(config: CNNectomeUNetConfig, num_channels: int, era: str, seed: int) -> OldModel:
    """Return a model with weights like those of no fresh one."""
    torch.manual_seed(seed)
    model = OldModel(config, num_channels, era)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) / 10
    return model


def assert_same_outputs(new: Any, old: OldModel, shape: Any) -> None:
    """Make sure that two models predict the same, but for the border that the new one may cut off."""
    raw = torch.randn(2, new.num_in_channels, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = new.chain(raw)
        torch.testing.assert_close(made, middle(old(raw), made))
