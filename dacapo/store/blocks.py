"""Blocks of stats: cut, joined, and, like records of scores, as bytes for backends that keep bytes."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dacapo.documents import from_json, to_json
from dacapo.experiments.training_stats import TrainingStats

from .backend import Block, ScoresRecord
from .previews import Outline, decode_preview, has_preview, previews_of

_LENGTH = struct.Struct("<I")


def before(limit: int | None, block: Block) -> Block:
    """Return what of a block lies before an iteration."""
    if limit is None or block.iterations[-1] < limit:
        return block
    count = int(np.searchsorted(block.iterations, limit))
    columns = {name: column[:count] for name, column in block.columns.items()}
    return Block(block.sequence, block.iterations[:count], columns, block.span)


def resolved(blocks: list[Block]) -> list[Block]:
    """Return blocks in order, without those that were merged into another one of them."""
    kept: list[Block] = []
    for block in sorted(blocks, key=lambda block: (block.sequence, block.span)):
        while kept and kept[-1].begin >= block.begin:
            kept.pop()
        kept.append(block)
    return kept


def within(blocks: list[Block], begin: int, end: int | None) -> list[Block]:
    """Return the blocks with a sequence in a range, both ends included."""
    return [block for block in blocks if begin <= block.sequence and (end is None or block.sequence <= end)]


def merged(blocks: list[Block]) -> Block:
    """Return one block in place of some that follow one another."""
    stats = joined(blocks)
    span = sum(block.span for block in blocks)
    return Block(blocks[-1].sequence, stats.iterations, stats.columns, span)


def with_merged(there: list[Block], blocks: list[Block]) -> list[Block] | None:
    """Return blocks with some put in place of those they stand for; None if they do not fit there.

    The newest has to stay.
    """
    for block in blocks:
        begins, sequences = [one.begin for one in there], [one.sequence for one in there[:-1]]
        if block.begin not in begins or block.sequence not in sequences:
            return None
        first, last = begins.index(block.begin), sequences.index(block.sequence)
        there = [*there[:first], block, *there[last + 1 :]]
    return there


def can_merge(blocks: list[Block]) -> bool:
    """Say whether blocks have every sequence from first to last, and iterations that increase."""
    return all(
        one.sequence + 1 == other.begin and one.iterations[-1] < other.iterations[0]
        for one, other in zip(blocks, blocks[1:], strict=False)
    )


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
    """Return the columns of a block, packed; iterations only where they do not simply count up.

    A preview comes first, so that it can be read without the rest, and with a checksum of its own.
    """
    iterations = np.ascontiguousarray(block.iterations, "<i8")
    # Of a block without columns only the bytes of its iterations can tell that its head is not forged.
    count_up = bool(len(iterations)) and int(iterations[-1] - iterations[0]) + 1 == len(iterations)
    consecutive = count_up and bool(block.columns)
    head = {"columns": list(block.columns), "count": len(iterations), "consecutive": consecutive}
    if consecutive:
        head["first"] = int(iterations[0])
    if block.span > 1:
        head["span"] = block.span
    parts: list[NDArray[Any]] = [] if consecutive else [iterations]
    if has_preview(block):
        previews = previews_of(block.columns.values())
        head["preview"] = {"size": previews[0].nbytes, "crc": zlib.crc32(previews.data)}
        parts.insert(0, previews)
    parts += [np.ascontiguousarray(column, "<f8") for column in block.columns.values()]
    return _with_head(to_json(head), parts)


def decode_block(data: bytes, sequence: int) -> Block:
    """Return the block that ``encode_block`` made bytes of."""
    head, at = _head(data)
    count = head["count"]
    at += head.get("preview", {"size": 0})["size"] * len(head["columns"])
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
    return Block(sequence, iterations, columns, head.get("span", 1))


def decode_outline(data: memoryview, sequence: int, metric: str | None) -> Outline | None:
    """Return the outline in the bytes of a block; None if there is none, or not a whole one."""
    (length,) = _LENGTH.unpack_from(data)
    head = from_json(bytes(data[_LENGTH.size : _LENGTH.size + length]).decode())
    if "preview" not in head:
        return None
    names, size, at = head["columns"], head["preview"]["size"], _LENGTH.size + length
    packed = bytes(data[at : at + size * len(names)])
    if zlib.crc32(packed) != head["preview"]["crc"]:
        return None
    previews = {}
    for position, name in enumerate(names):
        if metric in (None, name):
            table = decode_preview(packed[position * size : (position + 1) * size], head["count"])
            if table is None:
                return None
            previews[name] = table
    first = head["first"]
    return Outline(sequence, head.get("span", 1), first, first + head["count"] - 1, previews)


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
