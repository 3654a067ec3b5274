"""What labels scores, as plain data and back: parameter sets and criteria."""

from __future__ import annotations

from typing import Any

import attrs

from dacapo.config import Config, UnknownConfig
from dacapo.documents import Document, documents
from dacapo.errors import InvalidDocument
from dacapo.experiments.score_labels import Criterion
from dacapo.registry import import_target

_EXPECTED = "dacapo.experiments.tasks.post_processors.parameters:PostProcessorParameters"


@attrs.frozen
class StoredParameters:
    """A parameter set that cannot be read here: its words, and what was stored of it."""

    words: str
    document: Document | None = attrs.field(default=None, eq=False, repr=False)

    def __str__(self) -> str:
        return self.words


def write_parameters(parameters: Any) -> Document:
    """Return a parameter set as plain data: its words, and its document if it has one."""
    document = None
    if isinstance(parameters, StoredParameters):
        document = parameters.document
    elif isinstance(parameters, Config):
        document = documents.write(parameters)
    return {"words": str(parameters), "document": document}


def read_parameters(plain: Document) -> Any:
    """Return the parameter set, or as much of it as can be known here."""
    words, document = plain["words"], plain["document"]
    if document is None:
        return StoredParameters(words)
    try:
        parameters = documents.read(document, import_target(_EXPECTED))
    except InvalidDocument:
        return StoredParameters(words, document)
    # Scores are told apart by the words; a set that reads differently now is another one.
    same = not isinstance(parameters, UnknownConfig) and str(parameters) == words
    return parameters if same else StoredParameters(words, document)


def write_criterion(criterion: Criterion) -> Document:
    """Return a criterion with its direction as plain data."""
    return attrs.asdict(criterion) | {"bounds": list(criterion.bounds)}


def read_criterion(plain: Document) -> Criterion:
    """Return the criterion that ``write_criterion`` made plain."""
    low, high = plain["bounds"]
    return Criterion(plain["name"], plain["higher_is_better"], (low, high), plain["store_best"])
