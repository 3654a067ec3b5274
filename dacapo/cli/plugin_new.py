"""``dacapo plugins new``: the package that a plugin begins as, complete and tested."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import click

from dacapo.errors import InvalidName, InvalidRequest
from dacapo.registry import registry

TEMPLATES = files("dacapo") / "plugin_templates"
FOR_ALL = "all"
# What the templates call the package, its module, its classes, and what its names begin with.
WORDS = ("dacapo-acme", "dacapo_acme", "Acme", "acme")
_WORD = re.compile("|".join(WORDS))
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 60


def sorts() -> list[str]:
    """Return the sorts of packages there are templates for."""
    return sorted(one.name for one in TEMPLATES.iterdir() if one.is_dir() and one.name != FOR_ALL)


def _options(function: Any) -> Any:
    for sort in reversed(sorts()):
        text = f"One with {'an' if sort[0] in 'aeiou' else 'a'} {sort.replace('-', ' ')}."
        function = click.option(f"--{sort}", "sort", flag_value=sort, help=text)(function)
    return function


@click.command("new")
@click.argument("name")
@_options
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to put it.  [default: a folder of its name]"
)
def new_package(name: str, sort: str | None, folder: Path | None) -> None:
    """Write a package that offers a type: with config, component, tests and README.

    NAME becomes dacapo-NAME, unless dacapo is part of it.  It installs, and passes its tests, as it is.
    """
    if sort is None:
        raise InvalidRequest(f"say what it should offer: {', '.join(f'--{one}' for one in sorts())}")
    words = names(name)
    if sort == "command" and words["acme"] in registry.names("commands"):
        raise InvalidName(f"there is a command {words['acme']} already; choose another name")
    target = folder or Path(words["dacapo-acme"])
    for path in write(sort, words, target):
        click.echo(path)
    click.echo(
        f"try it with  pip install -e '{target}[test]'  and  pytest {target}\n"
        f"then make it yours, beginning with {target / words['dacapo_acme']}",
        err=True,
    )


def names(name: str) -> dict[str, str]:
    """Return what stands for each word of the templates in a package of that name.

    Raises ``InvalidName`` for one that cannot be a package, or whose types would pass for others'.
    """
    plain = re.sub(r"[-_.]+", "-", name).lower()
    provider = "-".join(part for part in plain.split("-") if part != "dacapo")
    if not _NAME.fullmatch(provider) or len(plain) > LONGEST_NAME:
        raise InvalidName(
            f"{name!r} cannot name a package: it should be letters, digits and dashes, begin with a letter, "
            f"have at most {LONGEST_NAME} of them and more than 'dacapo', such as skeletons"
        )
    module = provider.replace("-", "_")
    if keyword.iskeyword(module) or module == "local":
        raise InvalidName(f"{name!r} cannot name a package: {module} has a meaning in Python or DaCapo")
    package = plain if "dacapo" in plain.split("-") else f"dacapo-{plain}"
    camel = "".join(part.capitalize() for part in provider.split("-"))
    return dict(zip(WORDS, (package, package.replace("-", "_"), camel, module), strict=True))


def write(sort: str, words: dict[str, str], target: Path) -> list[Path]:
    """Write the package of a sort below a folder and return its files; raises ``InvalidRequest`` if taken."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequest(f"{target} is there already, and is not overwritten; choose another --folder")
    contents = package(sort, words)
    for path, text in contents.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")
    return [target / path for path in contents]


def package(sort: str, words: dict[str, str]) -> dict[str, str]:
    """Return the files of a package: those for all, each followed by what its sort adds, and its own."""
    found: dict[str, str] = {}
    for part in (FOR_ALL, sort):
        for path, text in _texts(TEMPLATES / part):
            found[path] = found.get(path, "") + text
    return {_in(words, path): _in(words, text) for path, text in sorted(found.items())}


def _texts(folder: Traversable, above: str = "") -> list[tuple[str, str]]:
    """Return path and text of every file below a folder of templates."""
    found = []
    for one in folder.iterdir():
        if one.is_dir() and one.name != "__pycache__":
            found += _texts(one, f"{above}{one.name}/")
        elif one.is_file():
            found.append((above + one.name, one.read_text(encoding="utf-8")))
    return found


def _in(words: dict[str, str], text: str) -> str:
    return _WORD.sub(lambda match: words[match[0]], text)
