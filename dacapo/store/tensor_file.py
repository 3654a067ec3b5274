"""Tensors as safetensors: a header of JSON, then the plain bytes of each.

The format is written and read here rather than by its library, because a checkpoint is
streamed, without a second copy in memory, while its checksum is taken, and because it
may come from a database as well as from a file.  See https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from dacapo.errors import CorruptData, InvalidRequest

if TYPE_CHECKING:
    import torch

_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 100_000_000
_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip


def chunks(tensors: Mapping[str, torch.Tensor]) -> Iterator[Any]:
    """Yield the bytes of a safetensors file with these tensors, one buffer after the other."""
    names = {dtype: name for name, dtype in dtypes().items()}
    if strange := [name for name, tensor in tensors.items() if tensor.dtype not in names]:
        raise InvalidRequest(f"{strange[0]} is of {tensors[strange[0]].dtype}, which cannot be stored")
    # Widest first, so that every tensor lies at a multiple of its item size.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, at = {}, 0
    for name in order:
        tensor = tensors[name]
        end = at + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield _LENGTH.pack(len(text)) + text
    for name in order:
        if tensors[name].numel():
            yield _bytes_of(tensors[name])


def read(buffer: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file; they share the memory of ``buffer``.

    Raises ``CorruptData`` for anything that is not one.
    """
    try:
        (length,) = _LENGTH.unpack_from(buffer)
        if length > min(_LONGEST_HEADER, len(buffer) - _LENGTH.size):
            raise ValueError("the header is longer than the file")
        begin = _LENGTH.size + length
        header = json.loads(bytes(buffer[_LENGTH.size : begin]))
        header.pop("__metadata__", None)
        return {name: _tensor(buffer, begin, **entry) for name, entry in header.items()}
    except (
        struct.error, ValueError, TypeError, KeyError, AttributeError, OverflowError, RuntimeError
    ) as error:  # fmt: skip
        raise CorruptData(f"these are no safetensors: {error}; use another checkpoint") from error


@cache
def dtypes() -> dict[str, torch.dtype]:
    """Return the dtypes by the names that the format gives them."""
    # Imported here: listing experiments takes no torch.
    import torch

    return {name: getattr(torch, dtype) for name, dtype in _NAMES.items()}


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    import torch  # see dtypes

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _tensor(buffer: Any, begin: int, dtype: str, shape: list[int], data_offsets: list[int]) -> torch.Tensor:
    import torch  # see dtypes

    kind, (start, end) = dtypes()[dtype], data_offsets
    count = math.prod(shape)
    if any(n < 0 for n in shape) or end - start != count * kind.itemsize or start < 0:
        raise ValueError("a tensor's size does not fit its shape")
    if begin + end > len(buffer):
        raise ValueError("it is cut short")
    if not count:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(buffer, dtype=kind, count=count, offset=begin + start).reshape(shape)
