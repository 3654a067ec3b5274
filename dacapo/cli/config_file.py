"""Reading a config as people write it down: one YAML or JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import yaml

from dacapo import documents
from dacapo.config import Config, UnknownConfig, unknown_parts
from dacapo.errors import InvalidDocument, MissingData, OutdatedPlugin, PluginError, did_you_mean
from dacapo.experiments.run_config import RunConfig
from dacapo.registry import registry
from dacapo.store.config_store import RUNS, class_of

if TYPE_CHECKING:
    from dacapo.store.config_store import ConfigStore

# Parts of a run that may be given by the name of a stored config.
KINDS_OF_PARTS = {
    "task_config": "tasks",
    "architecture_config": "architectures",
    "trainer_config": "trainers",
    "datasplit_config": "datasplits",
}


def read_config(path: Path, kind: str, store: ConfigStore) -> Config:
    """Return the config in a file; parts of a run given as a text are looked up in the store.

    Raises ``MissingData``, ``InvalidDocument`` for what is none of that kind, ``NotFound`` for parts
    that are not stored, and ``PluginError`` for types that nobody offers.
    """
    document = dict(_mapping(path, kind))
    for part, kind_of_part in KINDS_OF_PARTS.items() if kind == RUNS else ():
        if isinstance(name := document.get(part), str):
            document[part] = store.retrieve_document(kind_of_part, name)
    try:
        config: Config = documents.read(document, class_of(kind))
    except InvalidDocument as error:
        raise InvalidDocument(f"{path}: {error}") from error
    if unknown := unknown_parts(config):
        raise _explained(unknown[0], path)
    return config


def _mapping(path: Path, kind: str) -> dict[str, Any]:
    """Return the content of a YAML file, of which JSON is a part."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingData(f"there is no file {path}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidDocument(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        noun = kind.removesuffix("s")
        raise InvalidDocument(f"{path} should hold the fields of the {noun}, such as  name: my_{noun}")
    return content


def _explained(part: UnknownConfig, path: Path) -> PluginError:
    """Return the reason against a part; what nobody knows in a file just written is a slip of the pen."""
    reason = part.reason
    message = f"{path}: {reason}"
    if not reason.name and reason.kind:
        offered = ", ".join(registry.names(reason.kind))
        message = f"{path}: {part.name!r} has no {documents.TYPE}; give it one of {offered}"
    elif isinstance(reason, OutdatedPlugin) and (hints := _hints(part, reason)):
        message = f"{path}: {'; '.join(hints)}"
    return type(reason)(message, kind=reason.kind, name=reason.name)


def _hints(part: UnknownConfig, reason: PluginError) -> list[str]:
    cls: type[Config] = registry.load(reason.kind, reason.name) if reason.kind else RunConfig
    known = [field.name for field in attrs.fields(cls)]
    hints = []
    for stranger in part.document.keys() - {*known, documents.TYPE, documents.FROM, documents.META}:
        meant = did_you_mean(stranger, known, f"its fields are {', '.join(known)}")
        hints.append(f"{cls.__name__} {part.name!r} has no field {stranger}: {meant}")
    return sorted(hints)
