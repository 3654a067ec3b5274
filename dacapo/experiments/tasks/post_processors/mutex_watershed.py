"""The mutex watershed (Wolf et al., ECCV 2018) for one prediction and many biases.

Edges above the bias join and the others part, the farthest from the bias first; an edge of either
sort is without effect where an earlier one has decided.  Nothing is sorted for it, as in
Filter-Kruskal (Osipov, Sanders and Singler, 2009): joining edges are taken in bands, the strongest
first.  Whatever a band connects is one object at once, unless it holds both ends of a parting edge
that is stronger than the weakest of the band.  Of the few edges that are left there, first the
stronger half is a band of its own, then the weaker one, down to a single edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from dacapo.experiments.compiled import compiled

NDArray = np.ndarray[Any, Any]
TOP = 2**16 - 1  # the level of an affinity of 1; that of 0 is 1, and 0 means that there is no edge
SLOTS = 2**20  # of pairs that are remembered: about what fits into a cache
SAMPLE = 33  # edges of which the median tells the stronger half


@attrs.frozen(eq=False)
class Edges:
    """The edges of a grid of voxels and their affinities, 2 bytes each."""

    shape: tuple[int, ...]
    steps: NDArray  # from a voxel to its neighbour in each channel, in the flat volume
    levels: NDArray  # (channel, voxel)
    below: NDArray  # how many edges have a lower level than each, TOP + 1 included

    @classmethod
    def of(cls, affinities: NDArray, offsets: Sequence[Sequence[int]]) -> Edges:
        """Take affinities (channel, spatial...) to the neighbours at ``offsets``, in voxels.

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
            level = np.clip(affinities[channel][inside], 0, 1) * np.float32(TOP - 1)
            np.rint(level, out=level)
            level += 1
            levels[channel][inside] = np.nan_to_num(level, copy=False, nan=0)
        steps = np.array([np.dot(offset, _strides(shape)) for offset in offsets], np.int64)
        flat = levels.reshape(len(offsets), -1)
        return cls(shape, steps, flat, _below(flat))

    def parted(self, bias: float) -> NDArray:
        """Return for each voxel (spatial...) the number of a voxel in its object.

        Takes up to 12 bytes for each edge that is not decided at once, and 9 for each voxel, beside that.
        """
        voxels = self.levels.shape[1]
        parent, connected = (np.arange(voxels, dtype=_small(voxels)) for _ in range(2))
        torn, table = np.zeros(voxels, np.bool_), np.empty(SLOTS, np.int64)
        middle = 1 + bias * (TOP - 1)
        least, twice = max(1, int(np.floor(middle)) + 1), int(np.ceil(2 * middle))
        bands = list(self._bands(least, twice))
        most = max((int(self.below[high + 1] - self.below[low]) for low, high in bands), default=0)
        # Of these only as much is in memory as has been written to.
        joins, spare = (np.empty((most, 3), parent.dtype) for _ in range(2))
        parts = np.empty((int(self.below[min(least, TOP + 1)]), 3), parent.dtype)
        for low, high in bands:
            _connect(connected, self.levels, self.steps, low, high)
            held = _parting(parts, torn, parent, connected, self.levels, self.steps, min(twice - low, least))
            if held:
                count = _joining(joins, torn, parent, connected, self.levels, self.steps, low, high)
                _decide(parent, connected, torn, joins, count, parts, held, twice, spare, table)
                connected[:] = parent
            else:
                parent[:] = connected
        return parent.reshape(self.shape)

    def _bands(self, least: int, twice: int) -> Iterator[tuple[int, int]]:
        """Yield the lowest and the highest level of each band of joining edges, the strongest first."""
        size = self.levels.shape[1]
        high, lowest = TOP, int(np.searchsorted(self.below, 0, "right")) - 1
        low = max(least, twice - lowest)  # nothing that parts is stronger than these
        while high >= least:
            if low <= high:
                yield low, high
                high = low - 1
            low = int(np.searchsorted(self.below, self.below[high + 1] - size))
            low = min(max(low, least), high)


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]


def _small(count: int) -> type[np.integer[Any]]:
    return np.uint32 if count < 2**32 else np.int64  # an unsigned index need not be tried for being negative


@compiled()
def _below(levels: NDArray) -> NDArray:
    """Return how many edges have a lower level than each."""
    counts = np.zeros(TOP + 2, np.int64)
    for channel in range(len(levels)):
        for level in levels[channel]:
            counts[level + 1] += 1
    counts[1] = 0  # no edge
    return np.cumsum(counts)


@compiled()
def _find(parent: NDArray, voxel: int) -> int:
    """Return the root of a voxel, halving the way there."""
    while parent[voxel] != voxel:
        parent[voxel] = parent[parent[voxel]]
        voxel = parent[voxel]
    return voxel


@compiled()
def _join(parent: NDArray, one: int, other: int) -> bool:
    """Give two voxels one root, the lower of theirs, and say whether they had two."""
    one, other = _find(parent, one), _find(parent, other)
    parent[max(one, other)] = min(one, other)
    return one != other


@compiled()
def _put(edges: NDArray, at: int, one: int, other: int, level: int) -> None:
    edges[at, 0], edges[at, 1], edges[at, 2] = min(one, other), max(one, other), level


@compiled()
def _move(edges: NDArray, source: int, at: int) -> None:
    edges[at, 0], edges[at, 1], edges[at, 2] = edges[source, 0], edges[source, 1], edges[source, 2]


@compiled()
def _connect(connected: NDArray, levels: NDArray, steps: NDArray, low: int, high: int) -> None:
    """Join whatever an edge of some levels connects, and let every voxel know its root."""
    channels, voxels = levels.shape
    for channel in range(channels):
        step = steps[channel]
        for voxel in range(voxels):
            if low <= levels[channel, voxel] <= high and connected[voxel] != connected[voxel + step]:
                _join(connected, voxel, voxel + step)
        for voxel in range(voxels):  # roots come before what they are the root of
            connected[voxel] = connected[connected[voxel]]


@compiled()
def _parting(
    parts: NDArray, torn: NDArray, parent: NDArray, connected: NDArray, levels: NDArray, steps: NDArray,
    bound: int,
) -> int:  # fmt: skip
    """Write down the edges below a level that part what is connected, mark that, and return their number."""
    channels, voxels = levels.shape
    held = 0
    for channel in range(channels):
        step = steps[channel]
        for voxel in range(voxels):
            level = levels[channel, voxel]
            one, other = parent[voxel], parent[voxel + step]
            inside = connected[voxel] == connected[voxel + step]
            if 0 < level < bound and inside and one != other:
                torn[connected[voxel]] = True
                _put(parts, held, one, other, level)
                held += 1
    return held


@compiled()
def _joining(
    joins: NDArray, torn: NDArray, parent: NDArray, connected: NDArray, levels: NDArray, steps: NDArray,
    low: int, high: int,
) -> int:  # fmt: skip
    """Join what is connected and not torn, write down the edges inside of the rest, return their number."""
    channels, voxels = levels.shape
    for voxel in range(voxels):
        if not torn[connected[voxel]]:
            parent[voxel] = connected[voxel]
    count = 0
    for channel in range(channels):
        step = steps[channel]
        for voxel in range(voxels):
            if low <= levels[channel, voxel] <= high and parent[voxel] != parent[voxel + step]:
                _put(joins, count, parent[voxel], parent[voxel + step], levels[channel, voxel])
                count += 1
    for voxel in range(voxels):
        connected[voxel], torn[voxel] = voxel, False
    return count


@compiled()
def _decide(
    parent: NDArray, connected: NDArray, torn: NDArray, joins: NDArray, count: int, parts: NDArray, held: int,
    twice: int, spare: NDArray, table: NDArray,
) -> None:  # fmt: skip
    """Join along all edges of a band that nothing forbids, and let every voxel know its root.

    An edge is a row of two roots and a level.  A band is a range of ``joins``, with the number of
    ``parts``, from the first on, that might forbid one of them.
    """
    bands = np.empty((128, 4), np.int64)
    bands[0] = 0, count, held, 0
    deep, merged = 1, np.count_nonzero(parent != np.arange(len(parent)))
    fresh = True
    while deep:
        deep -= 1
        start, stop, held, since = bands[deep]
        if not fresh:  # the first band has been found torn
            stop, last = _connect_joins(joins, start, stop, parent, connected)
            if start == stop:
                continue
            held = _torn_parts(parts, held, twice - last, parent, connected, torn)
            end, more = _torn_joins(joins, start, stop, parent, connected, torn)
            merged += more
            if end == start or stop == start + 1:
                continue
            stop = end
        fresh = False
        if merged - since > (stop - start) // 2:  # otherwise there are few to find
            since = merged
            stop, held = _strongest(joins, start, stop, parts, held, twice, table)
        if start == stop:
            continue
        middle = _halve(joins, start, stop, spare)
        if deep + 2 > len(bands):
            bands = np.concatenate((bands, bands))
        for begin, end in ((middle, stop), (start, middle)):
            if begin < end:
                bands[deep] = begin, end, held, since
                deep += 1
    for voxel in range(len(parent)):
        parent[voxel] = _find(parent, voxel)


@compiled()
def _connect_joins(
    joins: NDArray, start: int, stop: int, parent: NDArray, connected: NDArray
) -> tuple[int, int]:
    """Connect roots; return where the edges end that are not inside of an object, and the lowest level."""
    end, last = start, TOP
    for at in range(start, stop):
        one, other = _find(parent, joins[at, 0]), _find(parent, joins[at, 1])
        if one != other:
            _put(joins, end, one, other, joins[at, 2])
            last = min(last, joins[at, 2])
            end += 1
            _join(connected, one, other)
    return end, last


@compiled()
def _torn_parts(
    parts: NDArray, held: int, bound: int, parent: NDArray, connected: NDArray, torn: NDArray
) -> int:
    """Mark what edges below a level part; put these first, and return their number."""
    kept = 0
    for at in range(held):
        one, other, level = _find(parent, parts[at, 0]), _find(parent, parts[at, 1]), parts[at, 2]
        root = _find(connected, one)
        parted = (one != other) & (level < bound) & (root == _find(connected, other))
        torn[root] |= parted
        _move(parts, kept, at)
        _put(parts, kept, one, other, level)
        kept += parted
    return kept


@compiled()
def _torn_joins(
    joins: NDArray, start: int, stop: int, parent: NDArray, connected: NDArray, torn: NDArray
) -> tuple[int, int]:
    """Join what is not torn, put the other edges first, return where they end and how many roots are gone.

    Nothing is connected or torn thereafter.
    """
    end, gone = start, 0
    for at in range(start, stop):
        one, other, level = joins[at, 0], joins[at, 1], joins[at, 2]
        if torn[_find(connected, one)]:
            _move(joins, end, at)
            _put(joins, end, one, other, level)
            end += 1
        else:
            gone += _join(parent, one, other)
    for at in range(start, stop):
        for side in range(2):
            root = joins[at, side]
            connected[root], torn[root] = root, False
    return end, gone


@compiled()
def _strongest(
    joins: NDArray, start: int, stop: int, parts: NDArray, held: int, twice: int, table: NDArray
) -> tuple[int, int]:
    """Drop edges beside a stronger one between the same two objects; return where the others end.

    The last edge of each slot of the table is known, which finds most: whatever is overlooked
    changes nothing of the result.
    """
    size = 64
    while size < min(2 * (held + stop - start), len(table)):
        size *= 2
    slots = table[:size]
    slots[:] = -1
    kept = 0
    for at in range(held):
        one, other, level = parts[at, 0], parts[at, 1], parts[at, 2]
        slot = _slot(one, other, size)
        known = slots[slot]
        if known >= 0 and parts[known, 0] == one and parts[known, 1] == other:
            parts[known, 2] = min(parts[known, 2], level)
            continue
        _move(parts, kept, at)
        _put(parts, kept, one, other, level)
        slots[slot] = kept
        kept += 1
    end = start
    for at in range(start, stop):
        one, other, level = joins[at, 0], joins[at, 1], joins[at, 2]
        slot = _slot(one, other, size)
        known = slots[slot]
        if known >= 0:
            if parts[known, 0] == one and parts[known, 1] == other and level < twice - parts[known, 2]:
                continue
        elif known < -1:
            before = -2 - known
            if joins[before, 0] == one and joins[before, 1] == other:
                if joins[before, 2] >= level:
                    continue
                joins[before, 1] = one  # no edge any more
        _put(joins, end, one, other, level)
        slots[slot] = -2 - end
        end += 1
    return end, kept


@compiled()
def _slot(one: int, other: int, size: int) -> int:
    """Return where in a table, of a power of two, two roots are."""
    mixed = one * 0x9E3779B97F4A7C1 + other * 0x632BE59BD9B4E01
    return (mixed ^ (mixed >> 32)) & (size - 1)


@compiled()
def _halve(joins: NDArray, start: int, stop: int, spare: NDArray) -> int:
    """Put the stronger half first, and return where the weaker one begins; equal ones stay in order."""
    levels = joins[start:stop, 2]
    if levels.min() == levels.max():
        return (start + stop) // 2
    sample = np.sort(levels[np.arange(SAMPLE) * 0x9E3779B1 % len(levels)])
    pivot = max(sample[SAMPLE // 2], levels.min() + 1)
    end = weak = start
    for at in range(start, stop):
        if joins[at, 2] >= pivot:
            _move(joins, at, end)
            end += 1
        else:
            for row in range(3):
                spare[weak, row] = joins[at, row]
            weak += 1
    joins[end:stop] = spare[start:weak]
    return end
