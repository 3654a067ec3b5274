"""Many small blocks of stats made into few large ones, while training goes on and once an epoch is over.

The newest block of an epoch is left alone, so that an append of unknown outcome can be asked
for again and is recognised.
"""

from __future__ import annotations

import logging

import attrs

from dacapo.errors import StoreError

from .backend import Block, StoreBackend
from .blocks import can_merge, merged

logger = logging.getLogger(__name__)

SMALL = 2048  # iterations; blocks of more are read fast enough as they are
MANY = 512  # small blocks that are waited for
LONGEST = 2**15  # iterations in a merged block,
LARGEST = 2**20  # and numbers: 8 MB


@attrs.define
class _Growing:
    """The blocks at the end of an epoch that were not looked at yet."""

    epoch: int
    begin: int
    small: int = 0


class Compaction:
    """Merges what one writer appends, each time there are many small blocks."""

    def __init__(self, backend: StoreBackend) -> None:
        self._backend = backend
        self._growing: dict[str, _Growing] = {}

    def appended(self, run: str, epoch: int, block: Block) -> None:
        """Count a block that was appended, and merge those before it if they are many.

        Never fails: what could not be merged is kept as it is.
        """
        growing = self._growing.get(run)
        if growing is None or growing.epoch != epoch or not growing.small:
            growing = self._growing[run] = _Growing(epoch, block.sequence)
        if len(block.iterations) < SMALL:
            growing.small += 1
        if growing.small > MANY:
            self._growing[run] = _Growing(epoch, block.sequence, 1)
            merge(self._backend, run, epoch, growing.begin, block.sequence - 1)

    def forget(self, run: str) -> None:
        """Count from anew, because somebody else writes or what was written is gone."""
        self._growing.pop(run, None)


def merge(backend: StoreBackend, run: str, epoch: int, begin: int = 0, end: int | None = None) -> int:
    """Merge the blocks of an epoch from one sequence to another, and return how many went into others.

    Without ``end`` all but the newest.  A store that cannot be reached or written is left as it is.
    """
    try:
        blocks = backend.blocks(run, epoch, begin, end)
        groups = [one for one in _groups(blocks if end is not None else blocks[:-1]) if len(one) > 1]
        if groups and backend.merge_blocks(run, epoch, [merged(group) for group in groups]):
            return sum(map(len, groups))
    except StoreError as error:
        logger.info("run %s: small blocks of stats stay as they are: %s", run, error)
    return 0


def _groups(blocks: list[Block]) -> list[list[Block]]:
    """Divide blocks into stretches that may each become one."""
    groups: list[list[Block]] = []
    iterations, metrics = 0, set[str]()
    for block in blocks:
        iterations, metrics = iterations + len(block.iterations), metrics | block.columns.keys()
        fits = iterations <= LONGEST and iterations * (len(metrics) + 1) <= LARGEST
        if not groups or not fits or not can_merge([groups[-1][-1], block]):
            groups.append([])
            iterations, metrics = len(block.iterations), set(block.columns)
        groups[-1].append(block)
    return groups
