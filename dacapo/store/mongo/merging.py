"""Blocks of stats in MongoDB: read while they are being merged, and merged while they are being read.

The entry of the last append of a stretch is replaced by the merged one, which is one
operation on one entry; then those before it are removed.  Whoever reads does so in the order
of keys, so what is removed under their eyes is in the entry that they have yet to come to;
and whoever sees both leaves out what was merged.
"""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING

from dacapo.store.backend import Block
from dacapo.store.blocks import resolved
from dacapo.store.previews import Outline

from . import records, schema
from .connection import Connection
from .records import Entry


def read(connection: Connection, run: str, epoch: int, begin: int, end: int | None) -> list[Block]:
    """Return the blocks of an epoch with a sequence from ``begin`` to ``end``."""
    condition = _between(run, epoch, begin, end)
    with connection.explained(f"reading the stats of run {run}"):
        found = connection.collection(schema.STATS).find({"_id": condition}).sort("_id", ASCENDING)
        return resolved([records.read_block(entry) for entry in found])


def read_outlines(
    connection: Connection, run: str, epoch: int, metric: str | None
) -> list[Outline | Block] | None:
    """Return the outlines of an epoch in one request; None if one is not what it should be."""
    condition, fields = _between(run, epoch, 0, None), records.outline_fields(metric)
    with connection.explained(f"reading the stats of run {run}"):
        entries = connection.collection(schema.STATS).find({"_id": condition}, fields).sort("_id", ASCENDING)
        found = [records.read_outline(entry, metric) for entry in entries]
    kept: list[Outline | Block] = []
    for one in found:
        if one is None:
            return None
        begin = one.sequence - one.span + 1
        while kept and kept[-1].sequence - kept[-1].span + 1 >= begin:
            kept.pop()
        kept.append(one)
    return kept


def merge(connection: Connection, run: str, epoch: int, merged: Block) -> bool:
    """Put a block in place of those it stands for; see ``StoreBackend.merge_blocks``."""
    there = connection.collection(schema.STATS)
    entry = records.write_block(run, epoch, merged)
    doing = f"merging the stats of run {run}"
    with connection.explained(doing):
        last = there.find_one({"_id": entry["_id"]}, {"span": 1})
        first = next(_ascending(there, _between(run, epoch, merged.begin, merged.sequence)), None)
        after = next(_ascending(there, _between(run, epoch, merged.sequence + 1, None)), None)
    if last is None or first is None or after is None or _begin(first) != merged.begin:
        return False
    if last.get("span", 1) > merged.span:
        return False
    if last.get("span", 1) < merged.span:
        # Only over what was found: if somebody else merges these too, one of the two comes too late.
        unchanged = {"_id": entry["_id"], "span": last.get("span", {"$exists": False})}
        connection.write(doing, lambda: there.replace_one(unchanged, entry))
        with connection.explained(doing):
            if there.find_one({"_id": entry["_id"], "span": merged.span}, {"_id": 1}) is None:
                return False
    parts: Entry = {"_id": {**_between(run, epoch, merged.begin, merged.sequence), "$ne": entry["_id"]}}
    # Another merger's block may reach farther back; what it holds beyond this one has to stay.
    reach = {"$subtract": ["$sequence", {"$ifNull": ["$span", 1]}]}
    parts["$expr"] = {"$gte": [reach, merged.begin - 1]}
    connection.write(doing, lambda: there.delete_many(parts))
    return True


def is_begun(connection: Connection, run: str, epoch: int, block: Block) -> bool:
    """Say whether other blocks are where one of several appends should be added."""
    there, own = connection.collection(schema.STATS), records.log_key(run, epoch, block.sequence)
    return any(entry["_id"] != own for entry in _ascending(there, _between(run, epoch, block.begin, None)))


def _ascending(there: Any, condition: Entry) -> Any:
    fields = {"sequence": 1, "span": 1}
    return there.find({"_id": condition}, fields).sort("_id", ASCENDING).limit(1)


def _begin(entry: Entry) -> int:
    return int(entry["sequence"]) - int(entry.get("span", 1)) + 1


def _between(run: str, epoch: int, begin: int, end: int | None) -> Entry:
    """Return the condition that a key lies from one sequence to another."""
    everything = records.beginning(f"{records.epoch_key(run, epoch)}/")
    if end is None:
        return {"$gte": records.log_key(run, epoch, begin), "$lt": everything["$lt"]}
    return {"$gte": records.log_key(run, epoch, begin), "$lte": records.log_key(run, epoch, end)}
