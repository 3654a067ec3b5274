"""Nested plain data with tensors: apart into JSON and tensors, and together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dacapo.errors import CorruptData, InvalidRequest

if TYPE_CHECKING:
    import torch

_TENSOR, _ARRAY, _TUPLE, _ITEMS = "__tensor__", "__array__", "__tuple__", "__items__"
_MARKS = {_TENSOR, _ARRAY, _TUPLE, _ITEMS}


def take_apart(tree: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a tree with names in place of its tensors, and the tensors by name.

    A tensor that occurs twice is kept once and is shared again when it is read.  Raises
    ``InvalidRequest`` for anything that is neither plain nor a tensor.
    """
    taking = _Taking()
    return taking.part(tree, ()), taking.tensors


class _Taking:
    """Collects the tensors of a tree under the paths they are found at."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._seen: dict[tuple[Any, ...], str] = {}

    def part(self, value: Any, path: tuple[str, ...]) -> Any:
        # Imported here: listing experiments takes no torch, and who stores tensors has it anyway.
        import numpy as np
        import torch

        if isinstance(value, torch.Tensor):
            return {_TENSOR: self._keep(value.detach(), path)}
        if isinstance(value, np.ndarray):
            return {_ARRAY: self._keep(torch.from_numpy(value), path)}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            items = [self.part(item, (*path, str(i))) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {_TUPLE: items}
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        raise InvalidRequest(
            f"{'.'.join(path) or 'this'} is a {type(value).__module__}.{type(value).__qualname__}, which a "
            "checkpoint cannot hold; give plain data (dicts, lists, tuples, numbers, texts) and tensors"
        )

    def _mapping(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> Any:
        items = [(key, self.part(item, (*path, str(key)))) for key, item in value.items()]
        if all(isinstance(key, str) and key not in _MARKS for key, _ in items):
            return dict(items)
        return {_ITEMS: [[self.part(key, path), item] for key, item in items]}

    def _keep(self, tensor: torch.Tensor, path: tuple[str, ...]) -> str:
        if tensor.is_sparse or tensor.is_quantized:
            raise InvalidRequest(f"{'.'.join(path)} is sparse or quantised; a checkpoint holds dense tensors")
        place = tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), str(tensor.device)
        if tensor.numel() and place in self._seen:
            return self._seen[place]
        name = ".".join(path) or "tensor"
        while name in self.tensors:
            name += "_"
        self.tensors[name] = tensor
        self._seen[place] = name
        return name


def put_together(skeleton: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the tree that ``take_apart`` took apart."""
    if isinstance(skeleton, list):
        return [put_together(item, tensors) for item in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    if skeleton.keys() == {_TENSOR}:
        return _named(skeleton[_TENSOR], tensors)
    if skeleton.keys() == {_ARRAY}:
        return _named(skeleton[_ARRAY], tensors).numpy()
    if skeleton.keys() == {_TUPLE}:
        return tuple(put_together(item, tensors) for item in skeleton[_TUPLE])
    if skeleton.keys() == {_ITEMS}:
        return {put_together(k, tensors): put_together(v, tensors) for k, v in skeleton[_ITEMS]}
    return {key: put_together(item, tensors) for key, item in skeleton.items()}


def _named(name: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    if name not in tensors:
        raise CorruptData(f"the tensor {name} is missing from the checkpoint; use another checkpoint")
    return tensors[name]
