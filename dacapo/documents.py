"""Configs to documents and back, without ever losing anything.

A document is plain: dictionaries with text keys, lists, texts, numbers, booleans and
None, so that JSON, YAML (safe) and BSON all hold it.  Where the type of a field does not
tell how to read a value back, the document says so itself: ``{"__tuple__": [...]}``.
"""

from __future__ import annotations

import copy
import json
import math
import types
import typing
from pathlib import Path, PurePath
from typing import Any, TypeVar, cast

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from funlib.geometry import Coordinate, Roi

from .config import Config, UnknownConfig
from .errors import InvalidConfig, InvalidDocument, MissingPlugin, OutdatedPlugin, PluginError
from .registry import Registry, registry

TYPE, FROM, META = "__type__", "__from__", "__meta__"
_TUPLE, _FLOAT = "__tuple__", "__float__"
_ALWAYS_STRICT = {str, int, bool, type(None)}
_CHECKED = (Coordinate, Roi, Path, str, int, float, bool, types.NoneType)
Document = dict[str, Any]
C = TypeVar("C")


class Documents:
    """Reads and writes documents with the types that a registry offers.

    The functions that read and write one type are generated once and kept.
    """

    def __init__(self, registry: Registry = registry) -> None:
        self.registry = registry
        self.converter = cattrs.Converter(detailed_validation=False)
        self._readers: dict[tuple[str, str], Any] = {}
        self._writers: dict[type, Any] = {}
        self._generation = registry.generation
        self._register()

    def write(self, config: Any) -> Document:
        """Return the document of a config, or the one an ``UnknownConfig`` keeps."""
        return cast(Document, self.converter.unstructure(config))

    def read(self, document: Document, expected: type[C]) -> C:
        """Return the config that a document describes.

        What cannot be read here without loss comes back as ``UnknownConfig``, at the top
        or inside; wrong values raise ``InvalidDocument``.
        """
        try:
            return self.converter.structure(document, expected)
        except InvalidDocument:
            raise
        except Exception as error:
            raise InvalidDocument(_complaint(document, expected, error)) from error

    def _register(self) -> None:
        converter = self.converter
        # Coordinate is a tuple, Roi a class: both have one plain form, their fields' type reads it.
        converter.register_unstructure_hook(Coordinate, lambda c: [int(item) for item in c])
        converter.register_unstructure_hook(Roi, _plain_roi)
        converter.register_unstructure_hook_func(
            lambda cls: isinstance(cls, type) and issubclass(cls, PurePath), str
        )
        converter.register_unstructure_hook_func(_is_loose, _write_loose)
        converter.register_unstructure_hook_func(
            _is_tuple, lambda value: [converter.unstructure(v) for v in value]
        )
        for scalar in (Coordinate, Roi, Path, str, int, float, bool):
            converter.register_structure_hook(scalar, lambda value, _: value)
        converter.register_structure_hook_func(_is_loose, lambda value, _: _read_loose(value))
        converter.register_structure_hook_func(_is_tuple, _tuple_reader(converter))
        converter.register_structure_hook_func(_is_config, self._read)
        converter.register_unstructure_hook_func(_is_config, self._write)
        converter.register_unstructure_hook(UnknownConfig, self._write)

    def _forget_if_stale(self) -> None:
        if self._generation != self.registry.generation:
            self._readers.clear()
            self._writers.clear()
            self._generation = self.registry.generation

    def _reader(self, kind: str, name: str, expected: type) -> Any:
        cls: Any = self.registry.load(kind, name) if kind else expected
        known = {TYPE, FROM, META, *cls.retired, *(f.name for f in attrs.fields(cls))}
        as_is: Any = {f.name: override(struct_hook=_as_is) for f in attrs.fields(cls) if _is_checked(f.type)}
        return cls, make_dict_structure_fn(cls, self.converter, **as_is), known

    def _read(self, document: Any, expected: type[Config]) -> Any:
        if not isinstance(document, dict):
            if isinstance(document, Config | UnknownConfig):
                return document
            raise InvalidDocument(f"a {expected.__name__} should be a mapping, and is {document!r:.80}")
        self._forget_if_stale()
        original = document
        key = expected.kind, document.get(TYPE, expected.default_type) if expected.kind else expected.__name__
        try:
            if key not in self._readers:
                self._readers[key] = self._reader(*key, expected)
            cls, structure, known = self._readers[key]
            if not document.keys() <= known:
                document = _without_underscores(document, known)
                if not document.keys() <= known:
                    self._refuse_news(document, key, document.keys() - known)
        except PluginError as error:
            return UnknownConfig(document=copy.deepcopy(original), reason=_with_origin(error, document))
        try:
            return structure(document, cls)
        except InvalidConfig as error:
            raise InvalidDocument(str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidDocument(_complaint(document, cls, error)) from error

    def _refuse_news(self, document: Document, key: tuple[str, str], news: set[str]) -> None:
        kind, name = key
        offered = self.registry.find(kind, name).requirement if kind else "dacapo"
        many = "s" if len(news) > 1 else ""
        raise OutdatedPlugin(
            f"the installed {offered} does not know the field{many} "
            f"{', '.join(sorted(news))} of {name} {document.get('name', '')!r}; "
            f"upgrade it with  pip install --upgrade {offered.partition('==')[0]}",
            kind=kind,
            name=name,
        )

    def _write(self, config: Any) -> Document:
        if isinstance(config, UnknownConfig):
            return copy.deepcopy(config.document)
        self._forget_if_stale()
        cls = type(config)
        if cls not in self._writers:
            head = {}
            if cls.kind:
                offer = self.registry.offer_of(cls)
                head = {TYPE: offer.name} if offer.is_ours else {TYPE: offer.name, FROM: offer.requirement}
            self._writers[cls] = head, make_dict_unstructure_fn(cls, self.converter)
        head, unstructure = self._writers[cls]
        return {**head, **unstructure(config)}


def _without_underscores(document: Document, known: set[str]) -> Document:
    """Return a document as existing DaCapo wrote it, with ``_input_shape`` called ``input_shape``."""
    plain = {name: name.removeprefix("_") for name in document.keys() - known}
    return {plain.get(n, n) if plain.get(n) in known else n: value for n, value in document.items()}


def _is_config(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Config)


def _is_checked(hint: Any) -> bool:
    """Say whether the checks of a config, made anyway, turn plain data into a type by themselves."""
    members = [member for member in typing.get_args(hint) if member is not Ellipsis]
    if typing.get_origin(hint) is typing.Literal:
        return True
    return all(map(_is_checked, members)) if members else hint in _CHECKED


def _as_is(value: Any, _: Any) -> Any:
    return value


def _is_tuple(cls: Any) -> bool:
    return typing.get_origin(cls) is tuple


def _is_loose(cls: Any) -> bool:
    """Say whether a type leaves open what is inside: then the document has to tell."""
    return cls in (Any, dict, list, tuple) or (
        typing.get_origin(cls) in (dict, list) and Any in typing.get_args(cls)
    )


def _tuple_reader(converter: cattrs.Converter) -> Any:
    def read(value: Any, cls: Any) -> Any:
        members = typing.get_args(cls)
        if len(members) == 2 and members[1] is Ellipsis:
            members = (members[0],) * len(value)
        if len(members) != len(value):
            raise ValueError(f"should be {len(members)} values")
        return tuple(converter.structure(v, m) for v, m in zip(value, members, strict=True))

    return read


def _plain_roi(roi: Roi) -> list[list[int | None]]:
    offset = [None if item is None else int(item) for item in roi.offset]
    return [offset, [None if item is None or math.isinf(item) else int(item) for item in roi.shape]]


def _write_loose(value: Any) -> Any:
    if isinstance(value, Coordinate):
        return [int(item) for item in value]
    if isinstance(value, Roi):
        return _plain_roi(value)
    if isinstance(value, tuple):
        return {_TUPLE: [_write_loose(item) for item in value]}
    if isinstance(value, list):
        return [_write_loose(item) for item in value]
    if isinstance(value, dict):
        return {key: _write_loose(item) for key, item in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy
        return _write_loose(value.tolist())
    return value


def _read_loose(value: Any) -> Any:
    if isinstance(value, list):
        return [_read_loose(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {_TUPLE}:
            return tuple(_read_loose(item) for item in value[_TUPLE])
        return {key: _read_loose(item) for key, item in value.items()}
    return value


def _with_origin(error: PluginError, document: Document) -> PluginError:
    """Add to an error the pip line that the document itself knows."""
    origin = document.get(FROM)
    if not isinstance(origin, str):
        return error
    remedy = (
        "add its class with  dacapo.registry.add  before reading it"
        if origin.startswith("this session")
        else f"get it back with  pip install '{origin}'"
    )
    return type(error)(
        f"{error}\nThe document was written with {origin}; {remedy}",
        kind=error.kind,
        name=error.name,
    )


def _complaint(document: Any, cls: type, error: Exception) -> str:
    whose = f"{cls.__name__} {document.get('name', '')!r}" if isinstance(document, dict) else cls.__name__
    if isinstance(error, KeyError):
        return f"{whose}: the field {error.args[0]} is missing from the document"
    return f"{whose}: {str(error) or type(error).__name__}"


def to_json(value: Any, **options: Any) -> str:
    """Write plain data as strict JSON; NaN and infinities become ``{"__float__": "nan"}``."""
    writer = json.JSONEncoder(allow_nan=False, **options) if options else _writer
    return writer.encode(_strict(value))


def from_json(text: str) -> Any:
    """Read what ``to_json`` wrote."""
    return _reader.decode(text)


def _strict(value: Any) -> Any:
    if type(value) in _ALWAYS_STRICT:
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _float_again(value: dict[str, Any]) -> Any:
    return float(value[_FLOAT]) if value.keys() == {_FLOAT} else value


# Made once: making one takes longer than most reading and writing.
_reader, _writer = json.JSONDecoder(object_hook=_float_again), json.JSONEncoder(allow_nan=False)
documents = Documents()


def write(config: Any) -> Document:
    """Return the document of a config, made with the installed types."""
    return documents.write(config)


def read(document: Document, expected: type[C]) -> C:
    """Return the config of a document, made with the installed types."""
    return documents.read(document, expected)


__all__ = ["Document", "Documents", "MissingPlugin", "from_json", "read", "to_json", "write"]
