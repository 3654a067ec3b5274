"""The mutex watershed (Wolf et al., ECCV 2018) for one prediction and many biases.

Edges are sorted once, by their affinity.  The order of ``|affinity - bias|`` that a bias needs is
that of reading them from both ends: joining edges from the highest down, parting ones from the
lowest up, whichever is farther from the bias.  Two things save most of the work and change
nothing of the result: an edge that parts what no chain of joining edges connects anyway is not
looked at, and joining edges that are stronger than all others that part come in no order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from dacapo.experiments.compiled import compiled

NDArray = np.ndarray[Any, Any]
SHORT = 16  # voxels: lists that are quicker looked through again than remembered
TOP = 2**16 - 1  # the level of an affinity of 1; that of 0 is 1, and 0 means that there is no edge


@attrs.frozen(eq=False)
class Edges:
    """The edges of a grid of voxels, sorted by their affinity: 4 to 8 bytes each, and 2 for the level."""

    shape: tuple[int, ...]
    steps: NDArray  # from a voxel to its neighbour in each channel, in the flat volume
    levels: NDArray  # (channel, voxel)
    order: NDArray  # channel * voxels + voxel, by level
    starts: NDArray  # where each level begins in the order

    @classmethod
    def of(cls, affinities: NDArray, offsets: Sequence[Sequence[int]]) -> Edges:
        """Sort affinities (channel, spatial...) to the neighbours at ``offsets``, in voxels.

        They are told apart in 65535 steps from 0 to 1; equal ones come in the order of channels
        and voxels.  NaN is no edge.
        """
        shape = affinities.shape[1:]
        levels = np.zeros((len(offsets), *shape), np.uint16)
        for channel, offset in enumerate(offsets):
            inside = tuple(
                slice(max(0, -step), max(0, size - max(0, step)))
                for step, size in zip(offset, shape, strict=True)
            )
            given = affinities[channel][inside]
            level = 1 + np.rint(np.clip(given, 0, 1) * np.float32(TOP - 1))
            levels[channel][inside] = np.where(np.isnan(given), 0, level)
        steps = np.array([np.dot(offset, _strides(shape)) for offset in offsets], np.int64)
        flat = levels.reshape(len(offsets), -1)
        order = np.empty(np.count_nonzero(flat), np.int32 if flat.size < 2**30 else np.int64)
        return cls(shape, steps, flat, order, _sort(flat, order))

    def parted(self, bias: float) -> NDArray:
        """Return for each voxel (spatial...) the number of a voxel in its object."""
        voxels = self.levels.shape[1]
        parent, connected = (np.arange(voxels, dtype=_small(voxels)) for _ in range(2))
        middle = 1 + bias * (TOP - 1)
        _connect(connected, self.levels, self.steps, middle)
        lowest = _lowest(connected, self.levels, self.steps, middle)
        # Stronger than whatever parts: joined one after the other, which is quicker than by strength.
        highest = min(2 * middle - lowest, TOP)
        _connect(parent, self.levels, self.steps, highest)
        _part(parent, connected, self.order, self.starts, self.steps, middle, lowest, int(highest))
        return parent.reshape(self.shape)


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]


def _small(count: int) -> type[np.signedinteger[Any]]:
    return np.int32 if count < 2**31 else np.int64


@compiled()
def _sort(levels: NDArray, order: NDArray) -> NDArray:
    """Write the edges by level, and return where each level begins."""
    channels, voxels = levels.shape
    starts = np.zeros(TOP + 2, np.int64)
    for channel in range(channels):
        for voxel in range(voxels):
            if levels[channel, voxel] > 0:
                starts[levels[channel, voxel] + 1] += 1
    for level in range(TOP + 1):
        starts[level + 1] += starts[level]
    at = starts.copy()
    for channel in range(channels):
        for voxel in range(voxels):
            level = levels[channel, voxel]
            if level > 0:
                order[at[level]] = channel * voxels + voxel
                at[level] += 1
    return starts


@compiled()
def _find(parent: NDArray, voxel: int) -> int:
    """Return the root of a voxel, halving the way there."""
    while parent[voxel] != voxel:
        parent[voxel] = parent[parent[voxel]]
        voxel = parent[voxel]
    return voxel


@compiled()
def _connect(parent: NDArray, levels: NDArray, steps: NDArray, above: float) -> None:
    """Join whatever an edge above a level connects, and let every voxel know its root."""
    channels, voxels = levels.shape
    for channel in range(channels):
        for voxel in range(voxels):
            if levels[channel, voxel] > above:
                one, other = _find(parent, voxel), _find(parent, voxel + steps[channel])
                parent[max(one, other)] = min(one, other)
    for voxel in range(voxels):  # roots come before what they are the root of
        parent[voxel] = parent[parent[voxel]]


@compiled()
def _lowest(connected: NDArray, levels: NDArray, steps: NDArray, below: float) -> int:
    """Return the lowest level of an edge that might part what is connected, or that above all such."""
    channels, voxels = levels.shape
    lowest = int(np.ceil(below))
    for channel in range(channels):
        for voxel in range(voxels):
            level = levels[channel, voxel]
            if 0 < level < lowest and connected[voxel] == connected[voxel + steps[channel]]:
                lowest = level
    return lowest


@compiled()
def _part(
    parent: NDArray, connected: NDArray, order: NDArray, starts: NDArray, steps: NDArray,
    middle: float, low: int, high: int,
) -> None:  # fmt: skip
    """Join and part along edges from the strongest to the weakest.

    Each root has a list of voxels that it must not be joined with.  Joining links lists; before, the
    shorter one is looked through for the other root.  What was found is kept in a table of pairs of
    roots, since most of what is refused is refused again and again.
    """
    voxels = len(parent)
    length, head = np.zeros(voxels, order.dtype), np.full(voxels, -1, order.dtype)
    tail = head.copy()
    whom, after, used = np.empty(1024, parent.dtype), np.empty(1024, order.dtype), 0
    table, filled = np.full(4096, -1, np.int64), 0
    while high > middle or low < middle:
        joins = high - middle >= middle - low
        level = high if joins else low
        for edge in order[starts[level] : starts[level + 1]]:
            channel = edge // voxels
            voxel = edge - channel * voxels
            beside = voxel + steps[channel]
            if parent[voxel] == parent[beside] or (not joins and connected[voxel] != connected[beside]):
                continue
            one, other = _find(parent, voxel), _find(parent, beside)
            if one == other:
                continue
            if length[one] > length[other]:
                one, other = other, one
            key = min(one, other) * voxels + max(one, other)
            if length[one] > 0 and table[_slot(table, key)] == key:
                continue
            if joins:
                if not _is_among(other, head[one], whom, after, parent):
                    parent[one] = other
                    if head[one] >= 0:
                        _link(other, head[one], tail[one], length[one], head, tail, length, after)
                elif length[one] > SHORT:
                    table[_slot(table, key)] = key
                    filled += 1
                    if 2 * filled > len(table):
                        table, filled = _renewed(table, parent)
                continue
            if used + 2 > len(whom):
                whom, after = np.append(whom, whom), np.append(after, after)
            for root, partner in ((one, other), (other, one)):
                whom[used] = partner
                _link(root, used, used, 1, head, tail, length, after)
                used += 1
        if joins:
            high -= 1
        else:
            low += 1
    for voxel in range(voxels):
        parent[voxel] = _find(parent, voxel)


@compiled()
def _link(
    root: int,
    first: int,
    last: int,
    count: int,
    head: NDArray,
    tail: NDArray,
    length: NDArray,
    after: NDArray,
) -> None:
    """Put a list, given by its ends, before that of a root."""
    after[last] = head[root]
    if head[root] < 0:
        tail[root] = last
    head[root] = first
    length[root] += count


@compiled()
def _is_among(root: int, entry: int, whom: NDArray, after: NDArray, parent: NDArray) -> bool:
    """Say whether a root is that of one of the voxels of a list."""
    while entry >= 0 and _find(parent, whom[entry]) != root:
        entry = after[entry]
    return bool(entry >= 0)


@compiled()
def _slot(table: NDArray, key: int) -> int:
    """Return where a key is, or where it would be."""
    mask = len(table) - 1
    mixed = key * 0x9E3779B97F4A7C1
    slot = (mixed ^ (mixed >> 32)) & mask
    while table[slot] >= 0 and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled()
def _renewed(table: NDArray, parent: NDArray) -> tuple[NDArray, int]:
    """Return a table without the pairs of which one is no root any more, and how many are left."""
    kept = table[table >= 0]
    voxels, filled = len(parent), 0
    for key in kept:
        one = key // voxels
        if parent[one] == one and parent[key - one * voxels] == key - one * voxels:
            kept[filled] = key
            filled += 1
    made = np.full(2 * len(table) if 4 * filled > len(table) else len(table), -1, np.int64)
    for key in kept[:filled]:
        made[_slot(made, key)] = key
    return made, filled
