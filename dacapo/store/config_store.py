"""Where configs are kept, by kind and name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from dacapo.config import Config, UnknownConfig
from dacapo.documents import META, Document, documents
from dacapo.errors import DuplicateNameError, InvalidDocument, InvalidRequest, NotFound, did_you_mean
from dacapo.names import Repeated, RunKey, check_name, find_run, repetitions_of, run_key
from dacapo.provenance import stamp
from dacapo.registry import import_target

from .backend import StoreBackend
from .differences import Difference, differences, differing
from .listing import Listed, Query, fields_of, many_at_once
from .remarks import ARCHIVED, Remark, Remarks, check_tag
from .twins import put_without_twin

if TYPE_CHECKING:
    from dacapo.experiments.architectures.configs import ArchitectureConfig
    from dacapo.experiments.datasplits.configs import DataSplitConfig
    from dacapo.experiments.datasplits.datasets.arrays.configs import ArrayConfig
    from dacapo.experiments.datasplits.datasets.configs import DatasetConfig
    from dacapo.experiments.run_config import RunConfig
    from dacapo.experiments.tasks.configs import TaskConfig
    from dacapo.experiments.trainers.configs import TrainerConfig

RUNS = "runs"
# What each collection holds; imported when its first config is read.
CLASSES = {
    RUNS: "dacapo.experiments.run_config:RunConfig",
    "tasks": "dacapo.experiments.tasks.configs:TaskConfig",
    "architectures": "dacapo.experiments.architectures.configs:ArchitectureConfig",
    "trainers": "dacapo.experiments.trainers.configs:TrainerConfig",
    "datasplits": "dacapo.experiments.datasplits.configs:DataSplitConfig",
    "datasets": "dacapo.experiments.datasplits.datasets.configs:DatasetConfig",
    "arrays": "dacapo.experiments.datasplits.datasets.arrays.configs:ArrayConfig",
}
Names = Collection[str] | None
Ignored = Collection[str] | None


class ConfigStore:
    """Keeps configs of seven kinds, each under its name; runs under name and repetition.

    Storing equal content under a taken name does nothing; different content raises
    ``DuplicateNameError`` with the differences, unless ``replace`` is given.  Fields in ``ignore`` may
    differ.  A name that differs from a taken one only in case raises it too.  What this environment
    cannot read comes back as ``UnknownConfig`` and is stored again word for word.
    """

    def __init__(self, backend: StoreBackend) -> None:
        self.backend = backend
        self.remarks = Remarks(backend)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backend!r})"

    # any kind

    def store(self, kind: str, config: Any, ignore: Ignored = None, *, replace: bool = False) -> str:
        """Store a config among those of a kind (``runs``, ``tasks``, ...), and return its key."""
        expected = class_of(kind)
        if not isinstance(config, expected | UnknownConfig):
            raise InvalidRequest(
                f"among the {kind} only a {expected.__name__} can be stored, and not {type(config).__name__}"
            )
        document = documents.write(config)
        key = _key(kind, document)
        if META not in document:  # an unknown one keeps what it came with
            document = {**document, META: stamp(document)}
        while not put_without_twin(self.backend, kind, key, document):
            if (stored := self.backend.get(kind, key)) is None:
                continue  # deleted in this moment, so the name is free again
            differences = list(self._differences(stored, document, expected, set(ignore or ())))
            if differences and not replace:
                raise DuplicateNameError(
                    f"{kind.removesuffix('s')} {key} is already stored, and different (stored -> given): "
                    f"{'; '.join(differences)}. Choose another name, or delete the stored one first"
                )
            if differences:
                document[META] = stamp(document, stored.get(META))
                self.backend.put(kind, key, document, replace=True)
            break
        return key

    def retrieve(self, kind: str, name: str | Repeated) -> Any:
        """Return the config of that kind and name; raises ``NotFound`` if there is none."""
        document = self.retrieve_document(kind, name)
        try:
            return documents.read(document, class_of(kind))
        except InvalidDocument as error:
            raise InvalidDocument(f"{kind.removesuffix('s')} {name} in {self.backend!r}: {error}") from error

    def retrieve_document(self, kind: str, name: str | Repeated) -> Document:
        """Return what is stored of a config, with its ``__meta__``: who stored it, when, with what."""
        key = self.find(kind, name)
        document = self.backend.get(kind, key)
        if document is None:
            raise self._missing(kind, key)
        return document

    def names(self, kind: str) -> list[str]:
        """Return the names of the configs of a kind, sorted; runs as ``name`` or ``name:repetition``."""
        class_of(kind)
        keys = self.backend.keys(kind)
        return [RunKey(key) for key in keys] if kind == RUNS else keys

    def delete(self, kind: str, name: str | Repeated) -> None:
        """Delete a config with its tags and notes, and nothing else; raises ``NotFound`` if there is none."""
        key = self.find(kind, name)
        self.remarks.delete(kind, key)
        if not self.backend.remove(kind, key):
            raise self._missing(kind, key)

    def find(self, kind: str, name: str | Repeated) -> str:
        """Return the key of a config; of runs, a bare name finds its only repetition."""
        class_of(kind)
        if kind == RUNS:
            return find_run(name, lambda prefix: self.backend.keys(RUNS, prefix))
        return check_name(name)

    def listed(
        self, kind: str, query: Query | None = None, tags: Collection[str] = (), *, archived: bool = False
    ) -> list[Listed]:
        """Return the configs of a kind that a query asks for and that bear all the tags, by key.

        What is archived is left out unless ``archived`` or that tag is asked for.
        """
        class_of(kind)
        wanted, known = {check_tag(tag) for tag in tags}, self.remarks.all_tags(kind)
        unwanted = set() if archived else {ARCHIVED} - wanted
        found = self.backend.find(kind, query or Query(), tuple(fields_of(kind)))
        notes = self.remarks.last_notes(kind)
        with many_at_once():
            return [
                Listed(key, fields, tuple(own), notes[key].text if key in notes else None)
                for key, fields in found
                if wanted <= {*(own := known.get(key, []))} and not unwanted & {*own}
            ]

    def compared(self, kind: str, one: str | Repeated, other: str | Repeated) -> list[Difference]:
        """Return in what two configs of a kind differ but their names, as today's types read them."""
        left, right = (_as_read(self.retrieve_document(kind, name), class_of(kind)) for name in (one, other))
        return [found for found in differing(left, right) if found[0] not in ("name", "repetition")]

    def tag(
        self, kind: str, name: str | Repeated, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> list[str]:
        """Give a config tags, take others from it, and return those it has then."""
        key = self._stored(kind, name)
        self.remarks.tag(kind, key, add, remove)
        return [tag.text for tag in self.remarks.tags(kind, key)]

    def note(self, kind: str, name: str | Repeated, text: str) -> None:
        """Add a note to a config."""
        self.remarks.note(kind, self._stored(kind, name), text)

    def tags(self, kind: str, name: str | Repeated) -> list[Remark]:
        """Return the tags of a config, with who gave them and when."""
        return self.remarks.tags(kind, self._stored(kind, name))

    def notes(self, kind: str, name: str | Repeated) -> list[Remark]:
        """Return the notes of a config, oldest first, with who wrote them and when."""
        return self.remarks.notes(kind, self._stored(kind, name))

    def _stored(self, kind: str, name: str | Repeated) -> str:
        """Return the key of a config that is stored; raises ``NotFound`` for others."""
        key = self.find(kind, name)
        if key not in self.backend.keys(kind, key):
            self.retrieve_document(kind, name)
        return key

    def _missing(self, kind: str, key: str) -> NotFound:
        """Return the error for a config that is not there, with the names that may have been meant."""
        names = self.names(kind)
        hint = f"there are {', '.join(names[:20])}" if names else f"it holds no {kind} yet"
        if len(names) > 20:
            hint += f" and {len(names) - 20} more"
        what = f"{kind.removesuffix('s')} {key}"
        hint = did_you_mean(key, names, hint, most=3)
        return NotFound(f"{what}: no such config in {self.backend!r}; {hint}")

    def _differences(
        self, stored: Document, given: Document, expected: type, ignore: set[str]
    ) -> Iterator[str]:
        """Yield what differs between two documents once both are read as configs."""
        left, right = _as_read(stored, expected), _as_read(given, expected)
        for field in ignore:
            left.pop(field, None)
            right.pop(field, None)
        return differences(left, right)

    # runs

    def store_run_config(
        self, run_config: RunConfig, ignore: Ignored = None, *, replace: bool = False
    ) -> None:
        """Store a run config under its name and repetition."""
        self.store(RUNS, run_config, ignore, replace=replace)

    def retrieve_run_config(self, run_name: str | Repeated) -> RunConfig:
        """Return the run config of ``name`` or ``name:repetition``."""
        config: RunConfig = self.retrieve(RUNS, run_name)
        return config

    def retrieve_run_config_names(
        self,
        task_names: Names = None,
        datasplit_names: Names = None,
        architecture_names: Names = None,
        trainer_names: Names = None,
    ) -> list[str]:
        """Return the runs that use one of the given tasks, and one of the datasplits, and so on."""
        wanted = {
            "task": task_names,
            "datasplit": datasplit_names,
            "architecture": architecture_names,
            "trainer": trainer_names,
        }
        among = {part: names for part, names in wanted.items() if names is not None}
        if not among:
            return self.names(RUNS)
        return [RunKey(key) for key, _ in self.backend.find(RUNS, Query(among))]

    def repetitions(self, run_name: str) -> list[RunKey]:
        """Return the keys of all stored repetitions of a run, or the one that is named.

        Raises ``NotFound`` if there is none.
        """
        found = repetitions_of(run_name, lambda prefix: self.backend.keys(RUNS, prefix))
        if missing := [key for key in found or [run_key(run_name)] if self.backend.get(RUNS, key) is None]:
            raise self._missing(RUNS, missing[0])
        return found

    def delete_run_config(self, run_name: str | Repeated) -> None:
        """Delete a run config only; ``dacapo.store.deletion.delete_run`` deletes all of a run."""
        self.delete(RUNS, run_name)

    # tasks

    def store_task_config(self, task_config: TaskConfig, ignore: Ignored = None) -> None:
        """Store a task config under its name."""
        self.store("tasks", task_config, ignore)

    def retrieve_task_config(self, task_name: str) -> TaskConfig:
        """Return the task config of that name."""
        config: TaskConfig = self.retrieve("tasks", task_name)
        return config

    def retrieve_task_config_names(self) -> list[str]:
        """Return the names of all task configs."""
        return self.names("tasks")

    def delete_task_config(self, task_name: str) -> None:
        """Delete a task config; runs that use it keep their copy."""
        self.delete("tasks", task_name)

    # architectures

    def store_architecture_config(
        self, architecture_config: ArchitectureConfig, ignore: Ignored = None
    ) -> None:
        """Store an architecture config under its name."""
        self.store("architectures", architecture_config, ignore)

    def retrieve_architecture_config(self, architecture_name: str) -> ArchitectureConfig:
        """Return the architecture config of that name."""
        config: ArchitectureConfig = self.retrieve("architectures", architecture_name)
        return config

    def retrieve_architecture_config_names(self) -> list[str]:
        """Return the names of all architecture configs."""
        return self.names("architectures")

    def delete_architecture_config(self, architecture_name: str) -> None:
        """Delete an architecture config; whatever uses it keeps its copy."""
        self.delete("architectures", architecture_name)

    # trainers

    def store_trainer_config(self, trainer_config: TrainerConfig, ignore: Ignored = None) -> None:
        """Store a trainer config under its name."""
        self.store("trainers", trainer_config, ignore)

    def retrieve_trainer_config(self, trainer_name: str) -> TrainerConfig:
        """Return the trainer config of that name."""
        config: TrainerConfig = self.retrieve("trainers", trainer_name)
        return config

    def retrieve_trainer_config_names(self) -> list[str]:
        """Return the names of all trainer configs."""
        return self.names("trainers")

    def delete_trainer_config(self, trainer_name: str) -> None:
        """Delete a trainer config; whatever uses it keeps its copy."""
        self.delete("trainers", trainer_name)

    # datasplits

    def store_datasplit_config(self, datasplit_config: DataSplitConfig, ignore: Ignored = None) -> None:
        """Store a datasplit config under its name."""
        self.store("datasplits", datasplit_config, ignore)

    def retrieve_datasplit_config(self, datasplit_name: str) -> DataSplitConfig:
        """Return the datasplit config of that name."""
        config: DataSplitConfig = self.retrieve("datasplits", datasplit_name)
        return config

    def retrieve_datasplit_config_names(self) -> list[str]:
        """Return the names of all datasplit configs."""
        return self.names("datasplits")

    def delete_datasplit_config(self, datasplit_name: str) -> None:
        """Delete a datasplit config; whatever uses it keeps its copy."""
        self.delete("datasplits", datasplit_name)

    # datasets

    def store_dataset_config(self, dataset_config: DatasetConfig, ignore: Ignored = None) -> None:
        """Store a dataset config under its name."""
        self.store("datasets", dataset_config, ignore)

    def retrieve_dataset_config(self, dataset_name: str) -> DatasetConfig:
        """Return the dataset config of that name."""
        config: DatasetConfig = self.retrieve("datasets", dataset_name)
        return config

    def retrieve_dataset_config_names(self) -> list[str]:
        """Return the names of all dataset configs."""
        return self.names("datasets")

    def delete_dataset_config(self, dataset_name: str) -> None:
        """Delete a dataset config; whatever uses it keeps its copy."""
        self.delete("datasets", dataset_name)

    # arrays

    def store_array_config(self, array_config: ArrayConfig, ignore: Ignored = None) -> None:
        """Store an array config under its name."""
        self.store("arrays", array_config, ignore)

    def retrieve_array_config(self, array_name: str) -> ArrayConfig:
        """Return the array config of that name."""
        config: ArrayConfig = self.retrieve("arrays", array_name)
        return config

    def retrieve_array_config_names(self) -> list[str]:
        """Return the names of all array configs."""
        return self.names("arrays")

    def delete_array_config(self, array_name: str) -> None:
        """Delete an array config; whatever uses it keeps its copy."""
        self.delete("arrays", array_name)


def _as_read(document: Document, expected: type) -> Document:
    """Bring a document to the form that today's types give it: defaults filled in, old names replaced."""
    try:
        return dict(documents.write(documents.read(document, expected)))
    except InvalidDocument:
        return dict(document)


def class_of(kind: str) -> type:
    """Return the class that all configs of a kind are of; raises ``InvalidRequest`` for what is no kind."""
    if not isinstance(kind, str) or kind not in CLASSES:
        raise InvalidRequest(
            f"{kind!r:.80} is no kind of config that is stored; there are {', '.join(CLASSES)}"
        )
    cls: type[Config] = import_target(CLASSES[kind])
    return cls


def _key(kind: str, document: Document) -> str:
    name = document.get("name")
    if kind != RUNS:
        return check_name(name, f"the name of the {kind.removesuffix('s')} config")
    check_name(name, "the run name")
    return run_key(f"{name}:{document.get('repetition', 0)}")


__all__ = ["CLASSES", "ConfigStore", "DuplicateNameError"]
