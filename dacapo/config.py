"""What every config has in common: fields with help, checked values, and a component.

A config says, a component does.  A config is an attrs class that imports nothing
heavy and names its component lazily::

    @attrs.define(kw_only=True)
    class SkeletonTaskConfig(TaskConfig):
        '''Predict, for every voxel, how far it is from the nearest centre line.'''

        task_type = implemented_by("acme_dacapo.skeleton:SkeletonTask")

        tolerance: float = field("Distance, in world units, that still counts as a hit.")
"""

from __future__ import annotations

import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, Literal, NoReturn, Self, Union

import attrs
from funlib.geometry import Coordinate, Roi

from .errors import BrokenPlugin, InvalidConfig, PluginError
from .registry import import_target

_Check = Callable[[Any], Any]
_PLAIN = (list, tuple)
_TEXTS = (str, bytes, Mapping)


def field(help_text: str, **options: Any) -> Any:
    """Declare a field of a config, with the help text that CLI, docs and dashboard show.

    Further keyword arguments are those of ``attrs.field``.
    """
    return attrs.field(metadata={"help_text": help_text}, **options)


class implemented_by:
    """A class attribute that is imported when it is first asked for.

    It lets a config name the component it describes without importing it, so
    that reading a document never costs an ``import torch``.
    """

    def __init__(self, target: str) -> None:
        self.target = target

    def __get__(self, config: object | None, owner: type) -> Any:
        try:
            return import_target(self.target)
        except (Exception, SystemExit) as error:
            raise BrokenPlugin(
                f"{owner.__name__} is implemented by {self.target}, which cannot be imported: "
                f"{error or type(error).__name__}; whose it is says  dacapo plugins show {owner.__name__}",
                kind=getattr(owner, "kind", ""),
                name=owner.__name__,
            ) from error


@attrs.define
class Config:
    """A description of one part of an experiment, free of behaviour."""

    kind: ClassVar[str] = ""
    builds: ClassVar[str] = ""
    retired: ClassVar[frozenset[str]] = frozenset()
    default_type: ClassVar[str] = ""  # what a document without a type is taken for

    name: str = field("How the config is called; keep it short, without special characters.")

    def __init_subclass__(cls, kind: str | None = None, builds: str | None = None) -> None:
        cls.kind = kind or cls.kind
        cls.builds = builds or cls.builds

    def __attrs_post_init__(self) -> None:
        for name, passing, check in _checks(type(self)):
            value = getattr(self, name)
            if type(value) in passing:
                continue
            try:
                checked = check(value)
            except (TypeError, ValueError) as error:
                self.refuse(name, str(error))
            if checked is not value:
                # Not setattr: parameter sets are frozen.
                object.__setattr__(self, name, checked)
        self.check()

    def check(self) -> None:
        """Refuse values that do not go together; subclasses say which."""

    def refuse(self, field_name: str, allowed: str) -> NoReturn:
        """Raise ``InvalidConfig`` for the value of a field, saying what is allowed."""
        raise InvalidConfig(
            f"{type(self).__name__} {self.name!r}: {field_name} = {getattr(self, field_name)!r}: {allowed}"
        )

    @classmethod
    def example(cls) -> Self:
        """Return a small config that can be built, and run on a CPU in a second: what the kit checks.

        Without one of its own a type makes it of its defaults, and is called "example"; raises
        ``InvalidConfig`` if there are fields without a default.
        """
        fields = {f.name: f for f in attrs.fields(cls) if f.init}
        values = {"name": "example"} if "name" in fields else {}
        if lacking := [n for n, f in fields.items() if f.default is attrs.NOTHING and n not in values]:
            raise InvalidConfig(
                f"{cls.__name__} has no example: {', '.join(lacking)} should be given; add a classmethod "
                "example() that returns a small config which can be built and run"
            )
        return cls(**values)

    def verify(self) -> tuple[bool, str]:
        """Say whether what the config points at exists, and if not, what is missing."""
        return True, ""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return attrs.evolve(self, **changes)


@attrs.define(kw_only=True)
class UnknownConfig:
    """A document that this environment cannot turn into a config.

    It is kept word for word, shows what it can, and is stored again unchanged.
    Asking it for its component raises the reason.
    """

    document: dict[str, Any]
    reason: PluginError = attrs.field(eq=False)

    @property
    def name(self) -> str | None:
        """The name in the document, if it has one."""
        return self.document.get("name")

    def __getattr__(self, attribute: str) -> Any:
        if attribute.endswith("_type"):
            raise self.reason
        raise AttributeError(
            f"the {attribute} of {self.document.get('__type__', 'this document')} "
            f"{self.name!r} cannot be known here: {self.reason}"
        )


def build(config: Any) -> Any:
    """Make the component that ``config`` describes."""
    if isinstance(config, UnknownConfig):
        raise config.reason
    return getattr(config, config.builds)(config)


def unknown_parts(config: Any) -> list[UnknownConfig]:
    """Return every part of a config, at any depth, that this environment cannot read."""
    if isinstance(config, UnknownConfig):
        return [config]
    if isinstance(config, Mapping):
        return [part for value in config.values() for part in unknown_parts(value)]
    if isinstance(config, list | tuple) and not isinstance(config, Coordinate):
        return [part for value in config for part in unknown_parts(value)]
    if attrs.has(type(config)):
        fields = attrs.fields(type(config))
        return [part for f in fields for part in unknown_parts(getattr(config, f.name))]
    return []


_Checks = list[tuple[str, tuple[type, ...], _Check]]
_CHECKS: dict[type, _Checks] = {}


def _checks(cls: type) -> _Checks:
    """Return, for each field with a type to hold, the types that need no look, and what checks others."""
    if cls not in _CHECKS:
        hints = typing.get_type_hints(cls)
        found = [(f.name, hints[f.name]) for f in attrs.fields(cls) if f.name in hints]
        _CHECKS[cls] = [(name, _passing(hint), check) for name, hint in found if (check := checker(hint))]
    return _CHECKS[cls]


def _passing(hint: Any) -> tuple[type, ...]:
    """Return the types of values that fit a hint as they are."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(member for part in typing.get_args(hint) for member in _passing(part))
    if hint is Path:
        return (type(Path()),)
    return (hint,) if hint in _SCALARS or hint is types.NoneType else ()


def checker(hint: Any) -> _Check | None:
    """Return a function that brings a value to a type or says why it cannot."""
    if hint is Any:
        return None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Literal:
        return _one_of(arguments)
    if hint is list or origin is list:
        return _sequence(list, arguments[0] if arguments else Any)
    if origin is tuple:
        return _tuple(arguments)
    if hint is dict or origin is dict:
        return _mapping(arguments or (Any, Any))
    if hint in _SCALARS:
        return _SCALARS[hint]
    return _instance(hint) if isinstance(hint, type) else None


def _union(members: tuple[Any, ...]) -> _Check:
    checks = [checker(member) for member in members if member is not type(None)]
    optional = type(None) in members
    if len(checks) == 1 and optional:
        only = checks[0] or (lambda value: value)
        return lambda value: None if value is None else only(value)

    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        reasons = []
        for one in checks:
            try:
                return one(value) if one else value
            except (TypeError, ValueError) as error:
                reasons.append(str(error))
        raise TypeError("; or ".join(reasons))

    return check


def _one_of(allowed: tuple[Any, ...]) -> _Check:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"should be one of {', '.join(map(repr, allowed))}")
        return value

    return check


def _sequence(make: Any, member: Any) -> _Check:
    each = checker(member)

    def check(value: Any) -> Any:
        # Asking an abstract class is slow, and nearly all values are lists or tuples.
        if type(value) not in _PLAIN and (isinstance(value, _TEXTS) or not isinstance(value, Sequence)):
            raise TypeError(f"should be a list, not {type(value).__name__}")
        if each is None:
            return value if type(value) is make else make(value)
        made = [each(item) for item in value]
        same = type(value) is make and all(map(operator.is_, made, value))
        return value if same else make(made)

    return check


def _tuple(members: tuple[Any, ...]) -> _Check:
    if len(members) == 2 and members[1] is Ellipsis:
        return _sequence(tuple, members[0])
    checks = [checker(member) or (lambda value: value) for member in members]

    def check(value: Any) -> Any:
        wrong = type(value) not in _PLAIN and (isinstance(value, _TEXTS) or not isinstance(value, Sequence))
        if wrong or len(value) != len(checks):
            raise TypeError(f"should be {len(checks)} values")
        return tuple(one(item) for one, item in zip(checks, value, strict=True))

    return check


def _mapping(members: tuple[Any, ...]) -> _Check:
    key, value_check = (checker(member) or (lambda value: value) for member in members)

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"should be a mapping, not {type(value).__name__}")
        return {key(k): value_check(v) for k, v in value.items()}

    return check


def _instance(cls: type) -> _Check:
    allowed = (cls, UnknownConfig) if issubclass(cls, Config) else (cls,)

    def check(value: Any) -> Any:
        if not isinstance(value, allowed):
            raise TypeError(f"should be a {cls.__name__}, not {type(value).__name__}")
        return value

    return check


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    if type(value).__name__ == "bool":  # numpy's, without importing numpy to say so
        return bool(value)
    raise TypeError("should be true or false")


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, bool | str) or not hasattr(value, "__int__") or int(value) != value:
        raise TypeError("should be a whole number")
    return int(value)


def _real(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError("should be a number")
    return float(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("should be a text")
    return value


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str | PurePath):
        raise TypeError("should be a path")
    return Path(value)


def _coordinate(value: Any) -> Coordinate:
    if isinstance(value, Coordinate):
        return value
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError("should be a list of whole numbers")
    # Past the constructor of Coordinate, which looks at each value again: a run config has dozens.
    return tuple.__new__(Coordinate, map(_integer, value))


def _roi(value: Any) -> Roi:
    if isinstance(value, Roi):
        return value
    if isinstance(value, str) or len(value) != 2:
        raise TypeError("should be a pair of offset and shape")
    offset, shape = value
    begin = [None if item is None else _integer(item) for item in offset]
    return Roi(begin, [None if item is None else _integer(item) for item in shape])


_SCALARS: dict[Any, _Check] = {
    bool: _boolean,
    int: _integer,
    float: _real,
    str: _string,
    Path: _path,
    Coordinate: _coordinate,
    Roi: _roi,
}
