"""Checks for networks: the shapes they announce, and what holds for their numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from funlib.geometry import Coordinate

from dacapo.config import Config, build
from dacapo.experiments.architectures import Architecture

from .checks import check, demand

VOXEL = 5040  # nm; so that whatever divides a voxel leaves whole numbers


@check("architectures")
def shapes_are_announced(config: Config) -> None:
    """Input shape, growth, channels and dimensions go together, for the config and for what it builds."""
    sources: list[Any] = [config, build(config)]
    for whose in sources:
        shape, dims = Coordinate(whose.input_shape), whose.dims
        demand(dims == len(shape) in (1, 2, 3), f"dims is {dims}, and its input_shape {tuple(shape)}")
        demand(min(shape) > 0, f"its input_shape is {tuple(shape)}, and should be above 0 everywhere")
        grown = whose.eval_shape_increase
        demand(
            len(grown) == dims and min(grown) >= 0,
            f"its eval_shape_increase is {tuple(grown)}, and should be {dims} numbers, 0 or more",
        )
        for name in ("num_in_channels", "num_out_channels"):
            demand(getattr(whose, name) >= 1, f"{name} is {getattr(whose, name)}, and should be 1 or more")
        scaled = whose.scale(Coordinate((VOXEL,) * dims))
        demand(
            len(scaled) == dims and min(scaled) > 0,
            f"scale makes voxels of {tuple(scaled)} of those of {VOXEL}; they should be above 0",
        )


@check("architectures")
def the_network_takes_what_is_announced(config: Config) -> None:
    """An input of ``num_in_channels`` and ``input_shape`` goes through."""
    network = build(config)
    _forward(network.module(), network, network.input_shape)


@check("architectures")
def the_network_makes_the_channels_announced(config: Config) -> None:
    """``num_out_channels`` feature maps come out."""
    network = build(config)
    out = _forward(network.module(), network, network.input_shape)
    demand(
        out.dim() == network.dims + 2 and out.shape[1] == network.num_out_channels,
        f"{tuple(out.shape)} comes out, and {network.num_out_channels} channels are announced over "
        f"{network.dims} axes; correct num_out_channels",
    )


@check("architectures")
def the_output_lies_inside_the_input(config: Config) -> None:
    """In voxels of ``scale`` the output is no larger than the input, and ``output_shape`` is its shape."""
    network = build(config)
    voxel = Coordinate((VOXEL,) * network.dims)
    out = Coordinate(_forward(network.module(), network, network.input_shape).shape[2:])
    size = out * network.scale(voxel)
    demand(
        all(s <= i for s, i in zip(size, network.input_shape * voxel, strict=True)),
        f"{tuple(out)} voxels of {tuple(network.scale(voxel))} come out of {tuple(network.input_shape)} of "
        f"{tuple(voxel)}: more than went in; correct scale()",
    )
    announced = getattr(config, "output_shape", out)
    demand(announced == out, f"it announces the output_shape {tuple(announced)}, and makes {tuple(out)}")


@check("architectures")
def a_larger_input_makes_a_larger_output(config: Config) -> None:
    """The output grows by as much as the input: by ``eval_shape_increase``, and by ``stride`` if known."""
    network = build(config)
    module, voxel = network.module(), Coordinate((VOXEL,) * network.dims)
    before = Coordinate(_forward(module, network, network.input_shape).shape[2:])
    for what in ("eval_shape_increase", "stride"):
        more = getattr(network, what)
        if more is None or not any(more):
            continue
        after = Coordinate(_forward(module, network, network.input_shape + more).shape[2:])
        wanted = before + more * voxel / network.scale(voxel)
        demand(
            after == wanted,
            f"with its {what} of {tuple(more)} added, the output is {tuple(after)}, not {tuple(wanted)}; "
            f"correct {what} or scale()",
        )


@check("architectures")
def networks_are_made_anew(config: Config) -> None:
    """Each call of ``module`` makes a network with tensors of its own."""
    one, other = build(config).module(), build(config).module()
    shared = {p.data_ptr() for p in one.parameters()} & {p.data_ptr() for p in other.parameters()}
    demand(not shared, "two calls of module() share weights; make a new network each time")


@check("architectures")
def weights_load_into_another(config: Config) -> None:
    """The state of one network loads strictly into another, which then computes the same."""
    network = build(config)
    one, other = network.module(), build(config).module()
    try:
        other.load_state_dict(one.state_dict(), strict=True)
    except RuntimeError as error:
        raise AssertionError(f"the weights of one do not load into another: {error}") from error
    image = _image(network)
    difference = _difference(_run(one, image), _run(other, image))
    demand(
        difference < 1e-5,
        f"with the weights of one another gives results that differ by {difference:g}; register all it "
        "computes with as parameters or buffers",
    )


@check("architectures")
def a_batch_of_two_is_two_batches_of_one(config: Config) -> None:
    """In eval mode each image of a batch is predicted by itself."""
    network = build(config)
    module, images = network.module(), _image(network, batch=2)
    together = _run(module, images)
    apart = torch.cat([_run(module, image[None]) for image in images])
    difference = _difference(together, apart)
    demand(
        difference < 1e-4,
        f"in eval mode the images of a batch change each other by {difference:g}; normalise by running "
        "statistics, or each image by itself",
    )


@check("architectures")
def shifting_the_input_shifts_the_output(config: Config) -> None:
    """Where a ``stride`` is announced, and nothing is padded, shifting the input by it shifts the output."""
    network = build(config)
    if (stride := network.stride) is None:
        return
    voxel, shape = Coordinate((VOXEL,) * network.dims), Coordinate(network.input_shape)
    image = _image(network, shape + stride)
    module = network.module()
    first = _run(module, _cut(image, end=shape))
    second = _run(module, _cut(image, begin=stride))
    moved = stride * voxel / network.scale(voxel)
    if Coordinate(first.shape[2:]) * network.scale(voxel) == shape * voxel:
        return  # it pads, and so promises nothing
    shared = _cut(first, begin=moved)
    again = _cut(second, end=shared.shape[2:])
    difference = _difference(shared, again) if shared.numel() else 0.0
    demand(
        difference < 1e-4,
        f"shifting the input by its stride of {tuple(stride)} changes the output by {difference:g}; announce "
        "the true stride, or None",
    )


@check("architectures")
def training_gives_gradients(config: Config) -> None:
    """In training mode, where there may be outputs of several depths, finite gradients reach the weights."""
    network = build(config)
    module = network.module().train()
    shape = _forward(module, network, network.input_shape).shape
    out = module.train()(_image(network, batch=2))
    outs = out if isinstance(out, tuple) else (out,)
    demand(
        outs[0].shape[1:] == shape[1:],
        f"in training {tuple(outs[0].shape)} comes out first, and in eval mode {tuple(shape)}; the first "
        "should be the one of full resolution",
    )
    demand(all(each.requires_grad for each in outs), "its output has no gradient; detach nothing on the way")
    torch.stack([each.float().square().mean() for each in outs]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    demand(any(g.any() for g in gradients), "no gradient reaches its weights; detach nothing on the way")
    demand(all(g.isfinite().all() for g in gradients), "the gradients of its weights are not finite")


def _image(network: Architecture, shape: Coordinate | None = None, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, network.num_in_channels, *(shape or Coordinate(network.input_shape)))


def _cut(image: torch.Tensor, begin: Sequence[int] = (), end: Sequence[int] = ()) -> torch.Tensor:
    slices = [slice(b, e) for b, e in itertools.zip_longest(begin, end)]
    index: Any = (..., *slices)
    cut: torch.Tensor = image[index]
    return cut


def _run(module: Any, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = module.eval()(image)
    return out


def _forward(module: Any, network: Architecture, shape: Coordinate) -> torch.Tensor:
    image = _image(network, Coordinate(shape))
    try:
        return _run(module, image)
    except Exception as error:
        raise AssertionError(
            f"it does not take what it announces, a tensor of shape {tuple(image.shape)}: {error}"
        ) from error


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    scale = max(1.0, float(one.abs().max()))
    return float((one - other).abs().max()) / scale
