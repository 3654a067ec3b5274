"""Experiments kept in plain files, on local disks and on NFS.

<root>/configs/<collection>/<name>.yaml       one document a file
<root>/stats/runs/<run>/<n>.epoch             the n-th epoch, and where it begins
                       /<n>.iterations        its training stats, a framed log
                       /<n>.merged            those that were merged into larger blocks
                       /<n>.scores            its validation scores, a framed log
<root>/stats/standings/<run>.yaml             what is best of it, to be compared with other runs
<root>/stats/queue/...                        the queue; see queue_files
<root>/stats/leases/<run>/...                 who holds the run; see ``file_claims``
<root>/<run>/checkpoints/...                  blobs
<root>/<run>/best/<dataset>%2F<criterion>.yaml    which checkpoint is best
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dacapo.documents import Document
from dacapo.errors import CorruptData

from . import document_file, file_editions, publication
from .backend import Block, Claim, Epoch, ScoresRecord, StoreBackend, Tail
from .block_log import APPENDED, MERGED, BlockLog
from .blocks import decode_scores, encode_scores
from .document_index import DocumentIndex
from .file_claims import FileClaims
from .file_names import FileNames
from .framed_log import Frame, FramedLog
from .history import decode_past, encode_past
from .legacy.files import OldFiles
from .listing import Found, Query, chosen, many_at_once
from .previews import Outline
from .publication import explained, remove_file, remove_if_empty, remove_tree, visible
from .queue_files import FileQueue
from .standings import STANDINGS
from .twins import NAMED

if TYPE_CHECKING:
    from dacapo.options import DaCapoConfig

    from .legacy.old_data import OldData

_SCORES, _EPOCH = 2, 3
_YAML, _EPOCH_FILE = ".yaml", ".epoch"
_BEST = "best"  # what epochs publish: documents in editions


class FileBackend(FileQueue, StoreBackend):
    """Keeps everything below one folder; ``configs`` and ``stats`` may lie elsewhere."""

    def __init__(self, root: Path | str, configs: Path | None = None, stats: Path | None = None) -> None:
        self.root = Path(root).expanduser()
        self.configs = configs or self.root / "configs"
        self.stats = stats or self.root / "stats"
        self._logs: dict[Path, FramedLog] = {}
        self._block_logs: dict[tuple[str, int], BlockLog] = {}
        self._claims = FileClaims(self.stats / "leases")
        self._indexes: dict[str, DocumentIndex] = {}

    @property
    def place(self) -> str:
        apart = [str(path) for path in (self.configs, self.stats) if path.parent != self.root]
        return f"the files below {' and '.join([str(self.root), *apart])}"

    @classmethod
    def from_options(cls, options: DaCapoConfig) -> Self:
        """Open the folder ``runs_base_dir``; nothing is made before something is stored."""
        return cls(options.runs_base_dir)

    def old_data(self, *, weights_only: bool = False) -> OldData | None:
        old = OldFiles(self.root, self.configs, self.stats)
        return old if weights_only or old.are_there() else None

    # documents

    def put(self, collection: str, key: str, document: Document, *, replace: bool = False) -> bool:
        path, data = self._document(collection, key), document_file.dump(document)
        if collection in NAMED:
            return self._put_named(collection, key, data, replace)
        if replace:
            publication.replace(path, [data])
            if collection == _BEST:
                file_editions.sweep(path, path)
            return True
        if collection == _BEST and file_editions.newest(path) != path:
            return False
        return publication.create(path, [data])

    def _put_named(self, collection: str, key: str, data: bytes, replace: bool) -> bool:
        """Keep a document whose name is noted before it, and after it if somebody forgot it meanwhile."""
        path, names = self._document(collection, key), self._names(collection)
        names.add(key)
        made = True
        if replace:
            publication.replace(path, [data])
        else:
            made = publication.create(path, [data])
        names.add(key)
        return made

    def _names(self, collection: str) -> FileNames:
        return FileNames(self.configs / collection, _YAML)

    def twins(self, collection: str, key: str) -> list[str]:
        return self._names(collection).twins(key) if collection in NAMED else super().twins(collection, key)

    def publish(self, collection: str, key: str, document: Document, epoch: int) -> bool:
        """Write the edition of an epoch; those before it go, and one after it goes on being read.

        Standings lie side by side, of all runs in one folder, and have no editions: whoever writes
        them too late, between looking and replacing, is found out when they are read.
        """
        path, data = self._document(collection, key), document_file.dump(document)
        if collection == STANDINGS:
            with suppress(CorruptData):  # it can be made anew
                if (there := self.get(collection, key)) and there["epoch"] > epoch:
                    return False
            publication.replace(path, [data])
            return True
        if (edition := file_editions.edition(path, epoch)) is None:
            return False
        publication.replace(edition, [data])
        file_editions.sweep(path, edition)
        return file_editions.newest(path) == edition

    def get(self, collection: str, key: str) -> Document | None:
        path = self._document(collection, key)
        if collection == _BEST:
            path, data = file_editions.read(path, _read)
        else:
            data = _read(path)
        return None if data is None else document_file.load(bytes(data), path)

    def keys(self, collection: str, prefix: str = "") -> list[str]:
        folder = self._document(collection, f"{prefix}x").parent
        head, slash, rest = prefix.rpartition("/")
        files = file_editions.documents(folder) if collection == _BEST else visible(folder)
        names = (name.removesuffix(_YAML) for name in files if name.endswith(_YAML))
        return sorted(head + slash + name for name in names if name.startswith(rest))

    def find(self, collection: str, query: Query, fields: Sequence[str] = ()) -> Found:
        query.check(collection, fields)
        if collection not in self._indexes:
            folder = self._document(collection, "x").parent
            self._indexes[collection] = DocumentIndex(folder, collection, _YAML)
        with many_at_once():
            return chosen(self._indexes[collection].rows(uses=bool(query.uses)), query, fields)

    def remove(self, collection: str, key: str) -> bool:
        path = self._document(collection, key)
        if collection != _BEST:
            removed = remove_file(path)
            if removed and collection in NAMED:
                self._names(collection).remove(key)
            return removed
        removed = file_editions.remove(path)
        self._forget_if_empty(path.parent)
        return removed

    def _document(self, collection: str, key: str) -> Path:
        if collection == _BEST:
            run, _, rest = key.partition("/")
            return self.root / run / "best" / f"{rest}{_YAML}"
        if collection == STANDINGS:
            return self.stats / STANDINGS / f"{key}{_YAML}"
        return self.configs / collection / f"{key}{_YAML}"

    # claims

    def claim(self, run: str, claim: Claim, over: Claim | None = None) -> bool:
        return self._claims.claim(run, claim, over)

    def newest_claim(self, run: str) -> Claim | None:
        return self._claims.newest(run)

    def renew_claim(self, run: str, number: int) -> bool:
        return self._claims.renew(run, number)

    def release_claim(self, run: str, number: int) -> None:
        self._claims.release(run, number)

    def open_claims(self, prefix: str = "") -> dict[str, Claim]:
        return self._claims.open(prefix)

    # logs

    def epochs(self, run: str) -> list[Epoch]:
        return [self._epoch(run, number) for number in self._epoch_numbers(run)]

    def newest_epoch(self, run: str) -> int | None:
        return max(self._epoch_numbers(run), default=None)

    def _epoch_numbers(self, run: str) -> list[int]:
        numbers = (name.removesuffix(_EPOCH_FILE) for name in self._log_names(run, _EPOCH_FILE))
        return sorted(int(number) for number in numbers if number.isascii() and number.isdigit())

    def _epoch(self, run: str, number: int) -> Epoch:
        log = self._log(run, number, "epoch")
        frames = log.frames()
        if not frames:
            raise CorruptData(
                f"{log.path} is damaged: it should say at which iteration epoch {number} of run {run} began; "
                "delete the file to undo the cut that it made in the stats"
            )
        return Epoch(number, frames[0].first, decode_past(frames[0].body))

    def add_epoch(self, run: str, epoch: Epoch) -> bool:
        # Three times, so that no single damage takes the start of an epoch away.
        past = encode_past(epoch.past)
        frames = (Frame(_EPOCH, copy, epoch.start, epoch.start, 0, past) for copy in range(3))
        path = self._log(run, epoch.number, "epoch").path
        return publication.create(path, [frame.encode() for frame in frames])

    def append_block(self, run: str, epoch: int, block: Block) -> None:
        self._blocks_of(run, epoch).append(block)

    def tail(self, run: str, epoch: int) -> Tail:
        return self._blocks_of(run, epoch).tail()

    def blocks(self, run: str, epoch: int, begin: int = 0, end: int | None = None) -> list[Block]:
        return self._blocks_of(run, epoch).blocks(begin, end)

    def outlines(self, run: str, epoch: int, metric: str | None = None) -> list[Outline | Block]:
        found = self._blocks_of(run, epoch).outlines(metric)
        return super().outlines(run, epoch, metric) if found is None else found

    def merge_blocks(self, run: str, epoch: int, merged: list[Block]) -> bool:
        return self._blocks_of(run, epoch).merge(merged)

    def _blocks_of(self, run: str, epoch: int) -> BlockLog:
        if (run, epoch) not in self._block_logs:
            self._block_logs[run, epoch] = BlockLog(self.stats / "runs" / run, epoch)
        return self._block_logs[run, epoch]

    def append_scores(self, run: str, epoch: int, *records: ScoresRecord) -> None:
        frames = (Frame(_SCORES, 0, one.iteration, one.iteration, 1, encode_scores(one)) for one in records)
        self._log(run, epoch, "scores").add(*frames)

    def scores(self, run: str, epoch: int) -> list[ScoresRecord]:
        return [decode_scores(frame.body) for frame in self._log(run, epoch, "scores").frames()]

    def remove_stats(self, run: str) -> bool:
        return self._remove_logs(run, APPENDED, MERGED)

    def remove_scores(self, run: str) -> bool:
        return self._remove_logs(run, ".scores")

    def logged_runs(self, prefix: str = "") -> list[str]:
        return [run for run in visible(self.stats / "runs") if run.startswith(prefix)]

    def _log_names(self, run: str, suffix: str) -> list[str]:
        return [name for name in visible(self.stats / "runs" / run) if name.endswith(suffix)]

    def _log(self, run: str, epoch: int, what: str) -> FramedLog:
        path = self.stats / "runs" / run / f"{epoch}.{what}"
        if path not in self._logs:
            self._logs[path] = FramedLog(path)
        return self._logs[path]

    def _remove_logs(self, run: str, *suffixes: str) -> bool:
        """Remove one sort of a run's logs, and with the last of them its epochs too."""
        folder = self.stats / "runs" / run
        self._logs = {path: log for path, log in self._logs.items() if path.parent != folder}
        self._block_logs = {key: log for key, log in self._block_logs.items() if key[0] != run}
        names = [name for suffix in suffixes for name in self._log_names(run, suffix)]
        # An append that was broken off may have left an empty file.
        removed = any((folder / name).stat().st_size for name in names)
        if all(name.endswith((*suffixes, _EPOCH_FILE)) for name in visible(folder)):
            remove_tree(folder)
        for name in names:
            remove_file(folder / name)
        return removed

    def move_run(self, run: str, new: str) -> None:
        """Rename two folders, whatever they hold."""
        folder = self.stats / "runs" / run
        self._logs = {path: log for path, log in self._logs.items() if path.parent != folder}
        self._block_logs = {key: log for key, log in self._block_logs.items() if key[0] not in (run, new)}
        publication.move_tree(folder, self.stats / "runs" / new)
        publication.move_tree(self.root / run, self.root / new)

    # blobs

    def put_blob(self, run: str, name: str, chunks: Iterable[Any]) -> None:
        self.put_blobs(run, {name: chunks})

    def put_blobs(self, run: str, blobs: Mapping[str, Iterable[Any]]) -> None:
        publication.replace_all({self._blobs(run) / name: chunks for name, chunks in blobs.items()})

    def get_blob(self, run: str, name: str, *, mapped: bool = False) -> Any:
        path = self._blobs(run) / name
        return _map(path) if mapped else _read(path)

    def blobs(self, run: str, prefix: str = "") -> list[str]:
        home = self._blobs(run)
        found = []
        folders = [home]
        for folder in folders:
            for name in visible(folder):
                path = folder / name
                inner = path.relative_to(home).as_posix()
                if path.is_dir() and (inner.startswith(prefix) or prefix.startswith(f"{inner}/")):
                    folders.append(path)
                elif inner.startswith(prefix) and not path.is_dir():
                    found.append(inner)
        return sorted(found)

    def remove_blobs(self, run: str, prefix: str = "") -> bool:
        home, names = self._blobs(run), self.blobs(run, prefix)
        if not prefix or prefix.endswith("/"):
            remove_tree(home / prefix)
        else:
            for name in names:
                remove_file(home / name)
        # Folders within folders, the innermost first: one that is left would look like blobs.
        folders = {folder for name in names for folder in (home / name).parents if home in folder.parents}
        for folder in sorted(folders, reverse=True):
            remove_if_empty(folder)
        self._forget_if_empty(home)
        return bool(names)

    def blob_runs(self, prefix: str = "") -> list[str]:
        found = (name for name in visible(self.root) if name.startswith(prefix))
        return [name for name in found if self._blobs(name).is_dir()]

    def sweep(self, seconds: float, *, dry_run: bool = False) -> list[str]:
        """Look through the folders that the stores write to, and not through volumes."""
        folders = [self.configs, self.stats, *self.root.glob(f"*/{_BEST}"), *self.root.glob("*/checkpoints")]
        return [str(path) for path in publication.sweep(folders, seconds, dry_run=dry_run)]

    def _blobs(self, run: str) -> Path:
        return self.root / run / "checkpoints"

    def _forget_if_empty(self, folder: Path) -> None:
        """Remove a folder of a run, and the run's own, if nothing is left in them."""
        for place in (folder, folder.parent):
            remove_if_empty(place)


def _read(path: Path) -> bytearray | None:
    """Return what a file holds, in a buffer of its own, or None if there is no such file."""
    try:
        with path.open("rb", buffering=0) as file:
            buffer = bytearray(os.fstat(file.fileno()).st_size)
            rest = memoryview(buffer)
            while rest and (count := file.readinto(rest)):
                rest = rest[count:]
            return buffer
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        with explained(path, "reading"):
            raise


def _map(path: Path) -> mmap.mmap | bytearray | None:
    """Return what a file holds, read when it is looked at; changes stay in memory."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return _read(path)
