"""What MONAI's classes can be told, read from their source: to import MONAI takes seconds, and torch.

Arguments are plain data, as documents are: lists stand for tuples.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from dacapo.config import checker

_NAMES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "None": type(None), "tuple": list, "list": list,
    "dict": dict,
}  # fmt: skip
_SEQUENCES = ("Sequence", "tuple", "list", "Tuple", "List")


@attrs.frozen
class Parameter:
    """One argument of a class: whether it has to be given, and what it may be."""

    required: bool
    hint: Any


Signature = Mapping[str, Parameter]


@cache
def classes(package: str) -> dict[str, Path]:
    """Return the classes that a package such as ``monai.losses`` exports, and where each is written.

    Raises ``ModuleNotFoundError`` if MONAI is not installed.
    """
    name, _, rest = package.partition(".")
    spec = importlib.util.find_spec(name)  # of the top package: to ask for more would import it
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed; install it with  pip install {name}")
    folder = Path(spec.submodule_search_locations[0], *rest.split("."))
    tree = ast.parse((folder / "__init__.py").read_text())
    found: dict[str, Path] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            path = folder.joinpath(*node.module.split(".")).with_suffix(".py")
            found |= {alias.asname or alias.name: path for alias in node.names}
    return found


@cache
def signature(package: str, name: str) -> Signature | None:
    """Return the arguments of a class's constructor by name; None if the package has no such class."""
    if (path := classes(package).get(name)) is None:
        return None
    tree = ast.parse(path.read_text())
    aliases = {
        target.id: node.value.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    known = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return _constructor(known, aliases.get(name, name))


def _constructor(known: Mapping[str, ast.ClassDef], name: str) -> Signature | None:
    """Return the arguments of the nearest constructor among a class and its bases in the same file."""
    if (found := known.get(name)) is None:
        return None
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return _parameters(node.args)
    bases = (_constructor(known, base.id) for base in found.bases if isinstance(base, ast.Name))
    return next((one for one in bases if one is not None), None)


def _parameters(arguments: ast.arguments) -> Signature:
    positional = arguments.args[1:]
    missing = len(positional) - len(arguments.defaults)
    found = {one.arg: Parameter(at < missing, _hint(one.annotation)) for at, one in enumerate(positional)}
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return found | {one.arg: Parameter(default is None, _hint(one.annotation)) for one, default in named}


def _hint(node: ast.expr | None) -> Any:
    """Return what an annotation allows, of plain data; ``Any`` for whatever else it says."""
    if isinstance(node, ast.Constant):
        return type(None) if node.value is None else Any
    if isinstance(node, ast.Name):
        return _NAMES.get(node.id, Any)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = _hint(node.left), _hint(node.right)
        return Any if Any in (left, right) else left | right
    if isinstance(node, ast.Subscript):
        head = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        if head in _SEQUENCES:
            inner = Any if isinstance(node.slice, ast.Tuple) else _hint(node.slice)
            # MONAI takes a list in place of a number where axes differ, and does not say so.
            return list if inner is Any else types.GenericAlias(list, (inner | list,))
    return Any


def plain(value: Any) -> Any:
    """Return nested data with lists in place of tuples, as documents keep them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def fault(known: Signature, given: Mapping[str, Any], own: Mapping[str, str]) -> str | None:
    """Say what is wrong with arguments, or None; ``own`` says of some that they come from elsewhere."""
    for name, value in given.items():
        if name in own:
            return f"{name} is not given here: {own[name]}"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            there = ", ".join(one for one in known if one not in own)
            return f"there is no {name}; " + (f"did you mean {near[0]}?" if near else f"there are {there}")
        if check := checker(known[name].hint):
            try:
                check(value)
            except (TypeError, ValueError) as error:
                return f"{name} = {value!r}: {error}"
    missing = [name for name, one in known.items() if one.required and name not in {**given, **own}]
    return f"{missing[0]} has to be given" if missing else None
