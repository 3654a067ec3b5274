"""Checks for the commands that a package adds to ``dacapo``."""

from __future__ import annotations

import click
from click.testing import CliRunner

from .checks import check, demand


@check("commands")
def a_command_explains_itself(command: click.Command) -> None:
    """``--help`` works, and says what the command, its subcommands and their options are for."""
    for words, each in _with_subcommands(command, [str(command.name)]):
        whose = "dacapo " + " ".join(words)
        demand(bool((each.help or "").strip()), f"{whose} has no help; give its function a docstring")
        for option in each.params:
            silent = isinstance(option, click.Option) and not option.hidden and not option.help
            demand(not silent, f"{whose}: option --{option.name} has no help; add help=...")
    result = CliRunner().invoke(command, ["--help"])
    demand(result.exit_code == 0, f"--help ends with {result.exit_code}: {result.output or result.exception}")


@check("commands")
def a_command_refuses_strange_options(command: click.Command) -> None:
    """An option that it does not have ends it with exit code 2 and without a traceback."""
    result = CliRunner().invoke(command, ["--no-such-option"])
    demand(
        result.exit_code == 2 and isinstance(result.exception, SystemExit | None),
        f"--no-such-option ended it with exit code {result.exit_code} and {result.exception!r}",
    )


def _with_subcommands(command: click.Command, words: list[str]) -> list[tuple[list[str], click.Command]]:
    found = [(words, command)]
    for name, each in getattr(command, "commands", {}).items():
        found += _with_subcommands(each, [*words, name])
    return found
