"""What is stored in MongoDB and how: keys that sort, columns packed as little-endian float64.

Keys are texts with numbers of fixed width, so one index, that of ``_id``, which every
collection has and nobody can drop, keeps them unique, finds the newest, and lists what
belongs to a run or an epoch in order.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dacapo.documents import Document, from_json, to_json
from dacapo.store import plain_data
from dacapo.store.backend import Block, Epoch, ScoresRecord
from dacapo.store.history import read_past, write_past
from dacapo.store.previews import Outline, decode_preview, has_preview, previews_of

Entry = dict[str, Any]
_DIGITS = 10
_LAST = "\U0010ffff"  # sorts behind whatever a name may contain
_LARGEST = 2**63


def token() -> str:
    """Return a text that marks one write, so that it is known again after an unknown outcome."""
    return secrets.token_hex(8)


def beginning(prefix: str) -> Entry:
    """Return the condition that a key begins with a text; the index of keys answers it."""
    return {"$gte": prefix, "$lt": prefix + _LAST}


def epoch_key(run: str, number: int) -> str:
    """Return the key of an epoch, sorting by run and number."""
    return f"{run}/{number:0{_DIGITS}}"


def log_key(run: str, epoch: int, sequence: int) -> str:
    """Return the key of an append, sorting by run, epoch and sequence."""
    return f"{epoch_key(run, epoch)}/{sequence:0{_DIGITS}}"


def write_document(key: str, document: Document) -> Entry:
    """Return the entry of a document; as JSON where BSON would not take it word for word."""
    plain = plain_data.copied(document)
    content = {"json": to_json(plain)} if _is_odd(plain) else {"document": plain}
    return {"_id": str(key), **content, "token": token()}


def read_document(entry: Entry) -> Document:
    """Return the document of an entry."""
    document: Document = from_json(entry["json"]) if "json" in entry else entry["document"]
    return document


def _is_odd(value: Any) -> bool:
    """Say whether there are keys with NUL, or whole numbers beyond 64 bits."""
    if isinstance(value, dict):
        return any("\0" in key or _is_odd(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_is_odd(item) for item in value)
    return type(value) is int and not -_LARGEST <= value < _LARGEST


def write_epoch(run: str, epoch: Epoch) -> Entry:
    """Return the entry of an epoch."""
    key = epoch_key(run, epoch.number)
    past = {} if epoch.past is None else {"past": write_past(epoch.past)}
    return {
        "_id": key,
        "run": str(run),
        "epoch": epoch.number,
        "start": epoch.start,
        "token": token(),
        **past,
    }


def read_epoch(entry: Entry) -> Epoch:
    """Return the epoch of an entry."""
    return Epoch(entry["epoch"], entry["start"], read_past(entry["past"]) if "past" in entry else None)


def write_block(run: str, epoch: int, block: Block) -> Entry:
    """Return the entry of a block; iterations are left out where they simply count up.

    A long one holds its preview too, so that whoever reads only that may leave the columns out.
    """
    iterations = np.ascontiguousarray(block.iterations, "<i8")
    first, last = int(iterations[0]), int(iterations[-1])
    entry = {
        "_id": log_key(run, epoch, block.sequence),
        "run": str(run),
        "epoch": epoch,
        "sequence": block.sequence,
        "first": first,
        "last": last,
        "count": len(iterations),
        "metrics": list(block.columns),
        "columns": [np.ascontiguousarray(column, "<f8").tobytes() for column in block.columns.values()],
    }
    if last - first + 1 != len(iterations):
        entry["iterations"] = iterations.tobytes()
    if block.span > 1:
        entry["span"] = block.span
    if has_preview(block):
        entry["previews"] = [table.tobytes() for table in previews_of(block.columns.values())]
    return entry


def read_block(entry: Entry) -> Block:
    """Return the block of an entry."""
    if "iterations" in entry:
        iterations = np.frombuffer(entry["iterations"], "<i8").astype(np.int64, copy=False)
    else:
        iterations = np.arange(entry["first"], entry["last"] + 1, dtype=np.int64)
    columns = {
        name: np.frombuffer(data, "<f8")
        for name, data in zip(entry["metrics"], entry["columns"], strict=True)
    }
    return Block(entry["sequence"], iterations, columns, entry.get("span", 1))


def outline_fields(metric: str | None) -> Entry:
    """Return the fields to ask for: previews of one metric or all, and columns where there are none."""
    names = "sequence", "span", "first", "last", "count", "iterations"
    previews: Any = "$previews"
    if metric is not None:
        at = {"$indexOfArray": ["$metrics", {"$literal": metric}]}
        there = {"$and": [{"$isArray": "$previews"}, {"$gte": [at, 0]}]}
        # Of a block that never measured it, all previews: to have none would mean to ask for columns.
        previews = {"$cond": [there, [{"$arrayElemAt": ["$previews", at]}], "$previews"]}
    without = {"$cond": [{"$isArray": "$previews"}, "$$REMOVE", "$columns"]}
    return dict.fromkeys((*names, "metrics"), 1) | {"previews": previews, "columns": without}


def read_outline(entry: Entry, metric: str | None) -> Outline | Block | None:
    """Return what ``outline_fields`` brought; None if the preview is not one of these iterations."""
    if "columns" in entry:
        return read_block(entry)
    names, packed = entry["metrics"], entry["previews"]
    if len(packed) == 1 and metric in names:
        names = [metric]
    tables = {name: decode_preview(data, entry["count"]) for name, data in zip(names, packed, strict=True)}
    previews = {name: table for name, table in tables.items() if table is not None}
    if len(previews) < len(tables):
        return None
    if metric is not None:
        previews = {name: table for name, table in previews.items() if name == metric}
    return Outline(entry["sequence"], entry.get("span", 1), entry["first"], entry["last"], previews)


def write_scores(run: str, epoch: int, added: Sequence[ScoresRecord]) -> Iterator[Entry]:
    """Yield the entry of each of some scores, without its place: labels as plain data, the numbers packed.

    Labels that several have in common are written once.
    """
    written: dict[tuple[int, int], Entry] = {}
    for record in added:
        same = id(record.parameters), id(record.criteria)
        if same not in written:
            labels = {"parameters": record.parameters, "criteria": record.criteria}
            written[same] = write_document("", labels)
        yield {
            "run": str(run),
            "epoch": epoch,
            "iteration": record.iteration,
            "dataset": record.dataset,
            "labels": written[same],
            "values": np.ascontiguousarray(record.values, "<f8").tobytes(),
            "token": token(),
        }


def place(entry: Entry, sequence: int) -> Entry:
    """Return an entry of scores at its place among those of its epoch."""
    return {"_id": log_key(entry["run"], entry["epoch"], sequence), "sequence": sequence, **entry}


def read_scores(entry: Entry) -> ScoresRecord:
    """Return the scores of an entry."""
    labels = read_document(entry["labels"])
    shape = len(labels["parameters"]), len(labels["criteria"])
    values = np.frombuffer(entry["values"], "<f8").reshape(shape)
    return ScoresRecord(entry["iteration"], entry["dataset"], values=values, **labels)
