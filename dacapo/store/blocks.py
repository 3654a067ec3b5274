"""Blocks of stats: cut, joined, and, like records of scores, as bytes for backends that keep bytes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dacapo.documents import from_json, to_json
from dacapo.experiments.training_stats import TrainingStats

from .backend import Block, ScoresRecord

_LENGTH = struct.Struct("<I")


def before(limit: int | None, block: Block) -> Block:
    """Return what of a block lies before an iteration."""
    if limit is None or block.iterations[-1] < limit:
        return block
    count = int(np.searchsorted(block.iterations, limit))
    columns = {name: column[:count] for name, column in block.columns.items()}
    return Block(block.sequence, block.iterations[:count], columns)


def joined(blocks: list[Block]) -> TrainingStats:
    """Return blocks as one; a later one replaces what it repeats."""
    if not blocks:
        return TrainingStats()
    iterations = np.concatenate([block.iterations for block in blocks])
    if (np.diff(iterations) <= 0).any():  # an epoch goes back, or one was damaged and stored again
        stats = TrainingStats()
        for block in blocks:
            stats.append(block.iterations, block.columns)
        return stats
    names = dict.fromkeys(name for block in blocks for name in block.columns)
    columns = {name: np.concatenate([_column(block, name) for block in blocks]) for name in names}
    return TrainingStats.of(iterations, columns)


def _column(block: Block, name: str) -> NDArray[np.float64]:
    return block.columns[name] if name in block.columns else np.full(len(block.iterations), np.nan)


def encode_block(block: Block) -> bytes:
    """Return the columns of a block, packed; iterations only where they do not simply count up."""
    iterations = np.ascontiguousarray(block.iterations, "<i8")
    consecutive = bool(len(iterations)) and int(iterations[-1] - iterations[0]) + 1 == len(iterations)
    head = {"columns": list(block.columns), "count": len(iterations), "consecutive": consecutive}
    if consecutive:
        head["first"] = int(iterations[0])
    parts = [] if consecutive else [iterations]
    parts += [np.ascontiguousarray(column, "<f8") for column in block.columns.values()]
    return _with_head(to_json(head), parts)


def decode_block(data: bytes, sequence: int) -> Block:
    """Return the block that ``encode_block`` made bytes of."""
    head, at = _head(data)
    count = head["count"]
    # What a damaged or forged head says must not make room for numbers that are not there.
    width = len(head["columns"]) + (not head["consecutive"])
    if at + 8 * count * width != len(data) or (count and not width):
        raise ValueError("the number of iterations does not fit the bytes that follow")
    if head["consecutive"]:
        iterations = np.arange(head["first"], head["first"] + count, dtype=np.int64)
    else:
        iterations = np.frombuffer(data, "<i8", count, at)
        at += 8 * count
    columns = {
        name: np.frombuffer(data, "<f8", count, at + 8 * count * position)
        for position, name in enumerate(head["columns"])
    }
    return Block(sequence, iterations, columns)


def encode_scores(record: ScoresRecord) -> bytes:
    """Return the labels of scores as JSON, and the numbers packed."""
    head = {
        "iteration": record.iteration,
        "dataset": record.dataset,
        "parameters": record.parameters,
        "criteria": record.criteria,
    }
    return _with_head(to_json(head), [np.ascontiguousarray(record.values, "<f8")])


def decode_scores(data: bytes) -> ScoresRecord:
    """Return the record that ``encode_scores`` made bytes of."""
    head, at = _head(data)
    shape = len(head["parameters"]), len(head["criteria"])
    values = np.frombuffer(data, "<f8", shape[0] * shape[1], at).reshape(shape)
    return ScoresRecord(values=values, **head)


def _with_head(head: str, parts: list[NDArray[Any]]) -> bytes:
    text = head.encode()
    return b"".join((_LENGTH.pack(len(text)), text, *(part.data for part in parts)))


def _head(data: bytes) -> tuple[dict[str, Any], int]:
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    return from_json(data[_LENGTH.size : end].decode()), end
