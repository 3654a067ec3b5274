"""Where checkpoints are kept."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from dacapo import provenance
from dacapo.documents import Document
from dacapo.errors import CorruptData, InvalidName, InvalidRequest, NotFound, StoreError, StoreUnreachable
from dacapo.names import Repeated, RunKey, find_run, run_key, segment

from . import checkpoint_names, history, tensor_file
from .backend import Epoch, StoreBackend
from .best import BEST, BestRecord, best_of, meant_by, ranking_of
from .lease import Lease, make_sure_that_nobody_holds
from .manifest import CHECKPOINTS, Digest, checkpoint_path, seal, unseal
from .parameter_sets import read_parameters, write_parameters
from .tensor_tree import put_together, take_apart

if TYPE_CHECKING:
    from dacapo.experiments.validation_scores import ValidationScores

logger = logging.getLogger(__name__)


@attrs.define
class Weights:
    """What a checkpoint holds: nested plain data (dicts, lists, tuples, numbers, texts) with tensors."""

    model: dict[str, Any]
    optimizer: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    random_state: dict[str, Any] | None = None


PARTS = tuple(field.name for field in attrs.fields(Weights))


class Trained(Repeated, Protocol):
    """A run that can say what its checkpoint should hold."""

    def checkpoint_weights(self) -> Weights: ...


class WeightsStore:
    """Keeps checkpoints: tensors as safetensors, all else as JSON, each with its checksum.

    A checkpoint can be seen once its manifest is published, which comes last.  Runs are given
    by their config, as a ``Run``, or by a text: ``name`` or ``name:repetition``.
    """

    def __init__(self, backend: StoreBackend, epochs: StoreBackend | None = None) -> None:
        self.backend = backend
        self._epochs = epochs or backend  # where it is known which epochs count
        self._leases: dict[str, Lease] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backend!r})"

    def _find(self, run: str | Repeated) -> RunKey:
        return find_run(run, self.backend.blob_runs)

    def write_under(self, lease: Lease) -> None:
        """Publish a run's checkpoints under a lease from now on; ``LeaseLost`` once it is lost."""
        self._leases[lease.run] = lease

    def begin_at_the_end(self, lease: Lease) -> None:
        """Begin an epoch that cuts nothing: it goes on from where the run has got to."""
        manifests = self._manifests(lease.run, f"{CHECKPOINTS}/")
        end = max(lease.end(), *manifests, 0)
        lease.begin(end, manifests.get(end, ""))

    def _epoch(self, key: str) -> int | None:
        """Return the epoch to publish under, having made sure that it still is the newest."""
        if (lease := self._leases.get(key)) is None:
            make_sure_that_nobody_holds(self._epochs, key, "write to")
            return None
        if lease.begun is None:
            self.begin_at_the_end(lease)
        else:
            lease.confirm()
        return lease.number

    # checkpoints

    def store_weights(
        self, run: str | Trained | Repeated, iteration: int, weights: Weights | None = None
    ) -> None:
        """Keep the weights of a run at an iteration, in place of those of that iteration.

        Without ``weights`` the run is asked for them.
        """
        key, iteration = run_key(run), _checked(iteration)
        if weights is None:
            if not hasattr(run, "checkpoint_weights"):
                raise InvalidRequest(
                    f"there is nothing to store for {key}: give its weights, or the run itself"
                )
            weights = run.checkpoint_weights()
        epoch = self._epoch(key)
        parts: dict[str, Document] = {}
        try:
            manifest = self._store_parts(key, iteration, weights, parts, epoch)
        except StoreUnreachable:
            raise
        except StoreError:
            self._drop(key, iteration, [part["blob"] for part in parts.values()])
            raise
        self._sweep(key, iteration, {manifest, *(part["blob"] for part in parts.values())})

    def _store_parts(
        self, key: str, iteration: int, weights: Weights, parts: dict[str, Document], epoch: int | None
    ) -> str:
        """Publish every part, noting each in ``parts``, and then the manifest, whose name is returned."""
        digests: dict[str, Digest] = {}
        sizes: dict[str, int] = {}
        for name in PARTS:
            if (tree := getattr(weights, name)) is not None:
                skeleton, tensors = take_apart(tree)
                digests[name] = Digest(tensor_file.chunks(tensors))
                sizes[name] = sum(tensor.nbytes for tensor in tensors.values())
                # A new name each time: what an older manifest names stays until the new one is out.
                parts[name] = {"tree": skeleton, "blob": checkpoint_names.new_part(name, epoch)}
        # All at once and only then asked for their checksums, which are taken while the disk is busy;
        # the largest first, because its checksum takes longest.
        order = sorted(digests, key=sizes.__getitem__, reverse=True)
        self.backend.put_blobs(key, {_path(iteration, parts[name]["blob"]): digests[name] for name in order})
        for name, digest in digests.items():
            parts[name] |= {"size": digest.size, "sha256": digest.hexdigest()}
        content = {
            "run": str(key),
            "iteration": iteration,
            "epoch": epoch,
            "meta": provenance.stamp({}),
            "parts": parts,
        }
        there = self.backend.blobs(key, _path(iteration, ""))
        manifest = checkpoint_names.new_manifest(self._epoch(key), there)
        content["name"] = manifest
        self.backend.put_blob(key, _path(iteration, manifest), [seal(content)])
        return manifest

    def _drop(self, key: str, iteration: int, blobs: Collection[str]) -> None:
        """Take back what no manifest names: a full disk should not be filled further."""
        with suppress(StoreError):
            paths = self.backend.blobs(key, _path(iteration, checkpoint_names.MANIFEST))
            manifests = [bytes(self.backend.get_blob(key, path) or b"") for path in paths]
            for blob in blobs:
                if not any(blob.encode() in manifest for manifest in manifests):
                    self.backend.remove_blobs(key, _path(iteration, blob))

    def _sweep(self, key: str, iteration: int, kept: Collection[str]) -> None:
        """Remove what earlier checkpoints of the iteration left, but not that the run was restored from."""
        paths = self.backend.blobs(key, _path(iteration, ""))
        surplus = [path for path in paths if path.rpartition("/")[2] not in kept]
        if surplus and (epoch := self._epoch(key)) is not None:
            begun = self._leases[key].begun
            restored = begun is not None and begun.start == iteration
            surplus = [
                path for path in surplus if not restored and not checkpoint_names.is_later(path, epoch)
            ]
        # Manifests first: while there is one, all that it names should be there.
        for path in sorted(surplus, key=lambda path: not path.endswith(".json")):
            self.backend.remove_blobs(key, path)

    def retrieve_weights(
        self,
        run: str | Repeated,
        iteration: int | None = None,
        *,
        parts: Collection[str] = PARTS,
        mapped: bool = False,
    ) -> Weights:
        """Return the weights of an iteration, or of the newest whole checkpoint.

        Only the ``parts`` asked for are read; ``mapped`` leaves their bytes where they are until
        they are used.  Raises ``NotFound`` if there is no such checkpoint, ``CorruptData`` if it
        fails its checksum.
        """
        key = self._find(run)
        if iteration is not None:
            return self._read(key, iteration, parts, mapped)
        for _, weights in self._whole(key, parts, mapped):
            return weights
        raise NotFound(self._nothing(key))

    def latest_iteration(self, run: str | Repeated) -> int | None:
        """Return the iteration of the newest whole checkpoint, or None.

        It reads them to be sure; ``iterations`` only lists.
        """
        return next((iteration for iteration, _ in self._whole(self._find(run), PARTS, True)), None)

    def is_whole(self, run: str | Repeated, iteration: int) -> bool:
        """Say whether there is a checkpoint of an iteration, and passes its checksums."""
        try:
            return bool(self._read(self._find(run), iteration, PARTS, True))
        except (NotFound, CorruptData):
            return False

    def iterations(self, run: str | Repeated) -> list[int]:
        """Return the iterations of all published checkpoints, increasing."""
        return self._iterations(self._find(run))

    def _iterations(self, key: str) -> list[int]:
        return list(self._manifests(key, f"{CHECKPOINTS}/"))

    def _manifests(self, key: str, prefix: str) -> dict[int, str]:
        """Return the names of the manifests that count, by iteration, increasing."""
        return checkpoint_names.counting(self.backend.blobs(key, prefix), self._epochs.epochs(key))

    def manifest(self, run: str | Repeated, iteration: int) -> str:
        """Return what the checkpoint of an iteration is called, or "" if there is none."""
        return self._manifests(self._find(run), _path(iteration, "")).get(iteration, "")

    def remove(self, run: str | Repeated, iteration: int) -> None:
        """Remove a checkpoint, and the records that call it best; raises ``NotFound``."""
        self._remove(self._find(run), iteration)

    def _remove(self, key: str, iteration: int) -> None:
        if iteration not in self._iterations(key):
            raise NotFound(self._absent(key, iteration))
        for record in self._best(key):
            if record.iteration == iteration:
                self.backend.remove(BEST, _best_key(key, record.dataset, record.criterion))
        # Without its manifest a checkpoint is gone, even if what follows is interrupted.
        self.backend.remove_blobs(key, _path(iteration, checkpoint_names.MANIFEST))
        self.backend.remove_blobs(key, _path(iteration, ""))

    def prune(self, run: str | Repeated, keep_last: int = 1, keep_every: int | None = None) -> list[int]:
        """Remove checkpoints that need not be kept, and return their iterations.

        The last ones, those at multiples of ``keep_every`` and all that are best stay.
        """
        key = self._find(run)
        best = {record.iteration for record in self._best(key)}
        gone = expendable(self._iterations(key), best, keep_last, keep_every)
        for iteration in gone:
            self._remove(key, iteration)
        return gone

    def delete(self, run: str | Repeated) -> bool:
        """Delete all checkpoints of a run; return False if there were none."""
        key = self._find(run)
        records = [self.backend.remove(BEST, one) for one in self.backend.keys(BEST, f"{key}/")]
        return self.backend.remove_blobs(key) or any(records)

    def move(self, run: str | Repeated, new: str | Repeated) -> None:
        """Give all checkpoints of a run another key."""
        self.backend.move_run(run_key(run), run_key(new))

    def _whole(self, key: str, parts: Collection[str], mapped: bool) -> Iterator[tuple[int, Weights]]:
        """Yield the checkpoints that pass their checksums, newest first."""
        for iteration in reversed(self._iterations(key)):
            try:
                yield iteration, self._read(key, iteration, parts, mapped)
            except (CorruptData, NotFound) as error:  # it may have been removed meanwhile
                logger.warning("run %s: skipping the checkpoint of iteration %d: %s", key, iteration, error)

    def _read(self, key: str, iteration: int, parts: Collection[str], mapped: bool) -> Weights:
        name, data = "", None
        while data is None:  # one that is replaced in this moment is looked up again
            before, name = name, self._manifests(key, _path(iteration, "")).get(iteration, "")
            if name in ("", before):
                raise NotFound(self._absent(key, iteration))
            data = self.backend.get_blob(key, _path(iteration, name))
        what = f"checkpoint {iteration} of run {key} ({_path(iteration, name)} in {self.backend!r})"
        manifest = unseal(bytes(data), what)
        read = {
            part: self._read_part(
                key, iteration, entry, mapped, f"{what}: its {part}, the file {entry['blob']},"
            )
            for part, entry in manifest["parts"].items()
            if part in parts
        }
        return Weights(**{"model": {}, **read})

    def _read_part(self, key: str, iteration: int, entry: Document, mapped: bool, what: str) -> Any:
        buffer = self.backend.get_blob(key, _path(iteration, entry["blob"]), mapped=mapped)
        if buffer is None:
            raise CorruptData(f"{what} is missing; use another checkpoint")
        if len(buffer) != entry["size"] or hashlib.sha256(buffer).hexdigest() != entry["sha256"]:
            raise CorruptData(f"{what} fails its checksum; use another checkpoint")
        try:
            return put_together(entry["tree"], tensor_file.read(buffer))
        except (TypeError, ValueError, RecursionError) as error:
            raise CorruptData(f"{what} was not written by DaCapo: {error}; use another checkpoint") from error

    def _nothing(self, key: str) -> str:
        return f"run {key} has no whole checkpoint in {self.backend!r}; train it first"

    def _absent(self, key: str, iteration: int) -> str:
        there = ", ".join(map(str, self._iterations(key))) or "none"
        return f"run {key} has no checkpoint of iteration {iteration} in {self.backend!r}; there are: {there}"

    # the best

    def store_best(
        self,
        run: str | Repeated,
        iteration: int,
        dataset: Any,
        criterion: str,
        value: float | None = None,
        parameters: Any = None,
    ) -> None:
        """Record which checkpoint is best by a criterion on a dataset, and with which parameters."""
        key, iteration = run_key(run), _checked(iteration)
        if iteration not in self._iterations(key):
            raise NotFound(self._absent(key, iteration))
        self._record(key, [BestRecord(_name_of(dataset), criterion, iteration, value, parameters)])

    def record_best(self, run: str | Repeated, scores: ValidationScores) -> int:
        """Record what is best by the scores, and return by how many of them.

        That is by each criterion whose best should be kept (``store_best``), and by those that are
        recorded already.
        """
        key, ranking = run_key(run), ranking_of(scores)
        there = set(self.backend.keys(BEST, f"{key}/"))

        def is_kept(dataset: str, criterion: str) -> bool:
            return criterion in ranking or _best_key(key, dataset, criterion) in there

        if records := best_of(scores, self._iterations(key), is_kept):
            self._record(key, records)
        return len(records)

    def _record(self, key: RunKey, records: Iterable[BestRecord]) -> None:
        epoch = self._epoch(key)
        for one in records:
            document = {
                "run": str(key),
                **attrs.asdict(one, recurse=False),
                "parameters": None if one.parameters is None else write_parameters(one.parameters),
            }
            name = _best_key(key, one.dataset, one.criterion)
            if epoch is None:
                self.backend.put(BEST, name, document, replace=True)
            elif not self.backend.publish(BEST, name, {**document, "epoch": epoch}, epoch):
                self._leases[key].confirm()

    def retrieve_best(self, run: str | Repeated, dataset: Any, criterion: str) -> int:
        """Return the iteration of the best checkpoint: the recorded one, or else the best by the scores.

        Raises ``NotFound`` if none is recorded, and none that is kept was scored.
        """
        key, name = self._find(run), _name_of(dataset)
        document = self.backend.get(BEST, _best_key(key, dataset, criterion))
        if document is not None and self._counts(document, self._epochs.epochs(key)):
            return int(document["iteration"])
        asked = best_of(self._scores(key), self._iterations(key), lambda *one: one == (name, criterion))
        if asked:
            return asked[0].iteration
        known = ", ".join(one.name for one in self._best(key)) or "none"
        raise NotFound(f"run {key} has no best checkpoint by {name}/{criterion}; recorded are: {known}")

    def best_by_scores(self, run: str | Repeated) -> list[BestRecord]:
        """Return which of the checkpoints that are kept are best by every score, recorded or not."""
        key = self._find(run)
        return best_of(self._scores(key), self._iterations(key))

    def _scores(self, key: RunKey) -> ValidationScores:
        from .stats_store import StatsStore  # imported here: few ask for scores

        return StatsStore(self._epochs).retrieve_validation_scores(key)

    def best(self, run: str | Repeated) -> list[BestRecord]:
        """Return what is recorded as best, by dataset and criterion."""
        return self._best(self._find(run))

    def _best(self, key: str) -> list[BestRecord]:
        found = [self.backend.get(BEST, one) for one in self.backend.keys(BEST, f"{key}/")]
        epochs = self._epochs.epochs(key) if found else []
        records = [_best_record(one) for one in found if one and self._counts(one, epochs)]
        return sorted(records, key=lambda record: (record.dataset, record.criterion))

    def _counts(self, document: Document, epochs: list[Epoch]) -> bool:
        return history.counts(epochs, document.get("epoch"), document["iteration"])

    def retrieve_weights_by(self, run: str | Repeated, choice: str) -> Weights:
        """Return the weights that a text chooses; see ``iteration_by``."""
        if choice == "latest":
            return self.retrieve_weights(run)
        return self._read(self._find(run), self.iteration_by(run, choice), PARTS, False)

    def iteration_by(self, run: str | Repeated, choice: str) -> int:
        """Return the iteration of the checkpoint that a text chooses.

        It is an iteration, ``latest``, ``best <dataset>/<criterion>``, or a criterion alone if the
        best checkpoint by it is the same on every dataset; ``best`` may be left out.  Alone it means
        the first criterion that ranks checkpoints.  What is not recorded follows from the scores.
        """
        key = self._find(run)
        if not isinstance(choice, str):
            raise InvalidRequest(
                f"{choice!r:.80} chooses no weights: give an iteration as a text, latest, or a criterion"
            )
        if choice == "latest":
            if (newest := self.latest_iteration(run)) is None:
                raise NotFound(self._nothing(key))
            return newest
        number = choice.removeprefix(f"{CHECKPOINTS}/")
        if number.isascii() and number.isdigit():
            return int(number)
        records = self._best(key)
        if not (fitting := meant_by(choice, records)):
            scores = self._scores(key)
            fitting = meant_by(choice, best_of(scores, self._iterations(key)), ranking_of(scores))
        if len(fitting) == 1:
            return fitting.pop()
        there = ", ".join(map(str, self._iterations(key))) or "there is none yet"
        names = ", ".join(one.name for one in records) or f"none; see  dacapo validate {key} --help"
        raise (InvalidRequest if fitting else NotFound)(
            f"run {key} has {'several' if fitting else 'no'} best checkpoints by {choice!r}; choose an "
            f"iteration ({there}), latest, or a score that ranks them; recorded are: {names}"
        )

    def load_weights(self, run: Any, iteration: int) -> None:
        """Put a checkpoint's model and optimizer into a ``Run``."""
        weights = self.retrieve_weights(run, iteration)
        run.load_weights(Weights(weights.model, weights.optimizer), training=True)

    def load_best(self, run: Any, dataset: Any, criterion: str) -> None:
        """Put the best checkpoint's model and optimizer into a ``Run``."""
        self.load_weights(run, self.retrieve_best(run, dataset, criterion))


def expendable(
    iterations: Iterable[int], best: Collection[int], keep_last: int, keep_every: int | None
) -> list[int]:
    """Return which checkpoints a retention rule lets go."""
    if keep_last < 1 or (keep_every is not None and keep_every < 1):
        raise InvalidRequest(
            "keep_last and keep_every should be at least 1: the newest checkpoint always stays"
        )
    ordered = sorted(iterations)
    spared = {*best, *ordered[-keep_last:]}
    return [one for one in ordered if one not in spared and (keep_every is None or one % keep_every)]


def _checked(iteration: Any) -> int:
    """Return an iteration as a number that JSON knows too, whoever counted it: numpy does so in its own."""
    if not isinstance(iteration, Integral) or isinstance(iteration, bool) or iteration < 0:
        raise InvalidRequest(f"an iteration should be a number from 0 on, and is {iteration!r:.80}")
    return int(iteration)


def _path(iteration: int, name: str) -> str:
    return checkpoint_path(_checked(iteration), name)


def _name_of(dataset: Any) -> str:
    name = getattr(dataset, "name", dataset)
    if not isinstance(name, str):
        raise InvalidName(f"a dataset should be given as a text or by its config, and not as {dataset!r:.80}")
    return name


def _best_key(key: str, dataset: Any, criterion: str) -> str:
    if not isinstance(criterion, str):
        raise InvalidName(f"a criterion should be given as a text, and not as {criterion!r:.80}")
    return f"{key}/{segment(f'{_name_of(dataset)}/{criterion}')}"


def _best_record(document: Document) -> BestRecord:
    parameters = document["parameters"]
    return BestRecord(
        document["dataset"],
        document["criterion"],
        document["iteration"],
        document["value"],
        None if parameters is None else read_parameters(parameters),
    )
