"""What the networks are built of, in two and three dimensions alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class SmallConvolution(torch.autograd.Function):
    """A 3D convolution of a small float32 volume on the CPU, by oneDNN forth and back."""

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int]) -> Tensor:
        convolve: Callable[..., Tensor] = torch.mkldnn_convolution
        return convolve(input, weight, bias, padding, _ONES, _ONES, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, weight, bias, ctx.padding = inputs
        ctx.save_for_backward(input, weight)
        ctx.bias_sizes = None if bias is None else list(bias.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        gradients = torch.ops.aten.convolution_backward(
            # In this layout torch has no other choice than oneDNN.
            gradient.to_mkldnn(), input.to_mkldnn(), weight, ctx.bias_sizes,
            _ONES, ctx.padding, _ONES, False, [0, 0, 0], 1, ctx.needs_input_grad[:3],
        )  # fmt: skip
        return *(g.to_dense() if g is not None and g.is_mkldnn else g for g in gradients), None


class Conv3d(nn.Conv3d):
    """A 3D convolution that runs in oneDNN on the CPU, however small its input.

    Torch leaves small inputs to a kernel of its own, which is 4 to 10 times slower forth and 2 to 4
    times slower back: most of a U-Net's lower levels when training on patches.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _is_left_to_torch(input):
            return functional.conv3d(input, weight, bias, self.stride, self.padding)
        return SmallConvolution.apply(input, weight, bias, list(self.padding))  # type: ignore[no-any-return, no-untyped-call]


_ONES = [1, 1, 1]
LEFT_TO_TORCH = 20480  # batch x channels x the first two extents, up to which torch avoids oneDNN


def _is_left_to_torch(input: Tensor) -> bool:
    # Traced and compiled networks may run elsewhere, and under autocast torch chooses oneDNN itself.
    return (
        torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or input.device.type != "cpu"
        or input.dtype != torch.float32
        or input.dim() != 5
        or input.shape[0] != 1
        or input.shape[1:4].numel() > LEFT_TO_TORCH
        or not torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )


def convolution(
    num_in: int, num_out: int, kernel: Sequence[int], padded: bool = False, bias: bool = True
) -> nn.Module:
    """Return a convolution initialised for the ReLU that follows it (He et al. 2015)."""
    make: Any = {2: nn.Conv2d, 3: Conv3d}[len(kernel)]
    padding = tuple(k // 2 if padded else 0 for k in kernel)
    layer: nn.Conv2d | nn.Conv3d = make(num_in, num_out, tuple(kernel), padding=padding, bias=bias)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ConvolutionPass(nn.Sequential):
    """Convolutions in a row, each with a ReLU behind it, and batch normalisation between.

    They have a bias in either case, as those of existing DaCapo, whose weights are to fit.
    """

    def __init__(
        self, num_in: int, num_out: int, kernels: Sequence[Coordinate], padded: bool, batch_norm: bool
    ) -> None:
        super().__init__()
        for kernel in kernels:
            self.append(convolution(num_in, num_out, kernel, padded))
            if batch_norm:
                self.append({2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[len(kernel)](num_out))
            self.append(nn.ReLU(inplace=True))
            num_in = num_out


def max_pool(factor: Coordinate) -> nn.Module:
    """Return a layer that keeps the greatest of every ``factor`` voxels."""
    make: Any = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[len(factor)]
    pool: nn.Module = make(tuple(factor))
    return pool


class Upsample(nn.Module):
    """Make every voxel ``factor`` voxels, with ``num_out`` channels.

    By repeating it (``constant``), or by a transposed convolution.
    """

    def __init__(self, num_in: int, num_out: int, factor: Coordinate, constant: bool) -> None:
        super().__init__()
        self.factor = tuple(map(int, factor))
        self.constant = constant
        if constant:
            # Before repeating, not after: the result is the same, and there are fewer voxels to do.
            self.convolution = convolution(num_in, num_out, (1,) * len(factor))
            return
        make: Any = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[len(factor)]
        layer = make(num_in, num_out, self.factor, stride=self.factor)
        # Each output voxel comes from one input voxel; torch would count the whole kernel.
        nn.init.normal_(layer.weight, std=(2 / num_in) ** 0.5)
        nn.init.zeros_(layer.bias)
        self.convolution = layer

    def forward(self, features: Tensor) -> Tensor:
        features = functional.relu_(self.convolution(features))
        if not self.constant:
            return features
        size = [extent * factor for extent, factor in zip(features.shape[2:], self.factor, strict=True)]
        return functional.interpolate(features, size=size, mode="nearest")


class AttentionGate(nn.Module):
    """Weight each voxel of a skip connection by what the coarser level makes of it.

    The additive gate of Oktay et al. 2018 (arXiv:1804.03999), on maps of equal shape.
    """

    def __init__(self, num_skipped: int, num_gating: int, dims: int) -> None:
        super().__init__()
        inner, kernel = max(1, num_skipped // 2), (1,) * dims
        self.of_skip = convolution(num_skipped, inner, kernel, bias=False)
        self.of_gate = convolution(num_gating, inner, kernel)
        self.of_both = convolution(inner, 1, kernel)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        attention = functional.relu_(self.of_skip(skip) + self.of_gate(gate))
        return skip * torch.sigmoid(self.of_both(attention))


def crop(features: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the middle of a map, of the given spatial shape."""
    for axis, size in enumerate(shape, start=2):
        if (extra := features.shape[axis] - size) > 0:
            features = features.narrow(axis, extra // 2, size)
    return features
