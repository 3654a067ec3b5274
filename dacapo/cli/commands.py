"""Finding the commands, and telling people what went wrong."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import click

from dacapo.errors import DacapoError, PluginError, did_you_mean
from dacapo.redaction import redacted
from dacapo.registry import registry

INTERRUPTED = 130
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Group(click.Group):
    """A group of commands that says which one may have been meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known, name = self.list_commands(ctx), args[0]
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            words = self.words(ctx)
            hint = did_you_mean(name, words, f"there are {', '.join(words)}")
            raise click.UsageError(f"no such command: {name}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def words(self, ctx: click.Context) -> list[str]:
        """Return what may stand where a command is expected."""
        return self.list_commands(ctx)


class KindGroup(Group):
    """A group of commands about the configs of one kind; see ``of_kind``."""

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__(kind.removesuffix("s"), **settings)
        self.kind = kind


def of_kind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the kind of the group that it is called in, so that several groups may have it."""

    @functools.wraps(function)
    def call(**asked: Any) -> Any:
        group = click.get_current_context().parent
        assert group is not None and isinstance(group.command, KindGroup)
        return function(kind=group.command.kind, **asked)

    return call


class Commands(Group):
    """All commands that installed packages offer, each imported when it is first needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return registry.names("commands")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if ("commands", cmd_name) not in registry.offers:
            return None
        command: click.Command = registry.load("commands", cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name)) for name in self.list_commands(ctx)])

    def _summary(self, ctx: click.Context, name: str) -> str:
        """Return the line of help about a command; a broken one must not hide the others."""
        try:
            command = self.get_command(ctx, name)
        except PluginError as error:
            return f"(broken) {str(error).splitlines()[0]}"
        return command.get_short_help_str(limit=100) if command else ""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn errors into a message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            _complain(ctx, "interrupted")
            ctx.exit(INTERRUPTED)
        except DacapoError as error:
            _complain(ctx, f"error: {error}")
            ctx.exit(error.exit_code)
        except OSError as error:
            _complain(ctx, f"error: {error}")
            ctx.exit(1)
        except Exception as error:
            _complain(ctx, f"error: {type(error).__name__}: {error}\nThis may be a bug in DaCapo; "
                           "see where it happened with  dacapo --debug ...")  # fmt: skip
            ctx.exit(1)


def _complain(ctx: click.Context, message: str) -> None:
    if ctx.params.get("debug"):
        click.echo(redacted(traceback.format_exc()), err=True, nl=False)
    click.echo(redacted(message), err=True)


class Option(click.Option):
    """An option that is also understood under the spellings of earlier versions, which no help shows."""

    def __init__(self, declarations: list[str], *, former: tuple[str, ...] = (), **settings: Any) -> None:
        super().__init__([*declarations, *former], **settings)
        self.former = former

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        opts = self.opts
        self.opts = [opt for opt in opts if opt not in self.former]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = opts


class Verb(click.Command):
    """A command whose arguments may also be given as options, as in earlier versions.

    An argument ``run`` takes its former spellings from a hidden option that stores into
    ``former_run``; what is given as an option is taken out of the row of arguments.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        # --output_path is --output-path.
        settings["context_settings"] = {"token_normalize_func": lambda token: token.replace("_", "-")}
        super().__init__(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        places = [param for param in self.params if isinstance(param, click.Argument)]
        names = [str(place.name) for place in places]
        given = iter([ctx.params[name] for name in names if ctx.params[name] is not None])
        for place, name in zip(places, names, strict=True):
            former = ctx.params.pop(f"former_{name}", None)
            ctx.params[name] = next(given, None) if former is None else former
            if ctx.params[name] is None:
                raise click.MissingParameter(ctx=ctx, param=place)
        if (extra := next(given, None)) is not None:
            raise click.UsageError(f"Got unexpected extra argument ({extra})", ctx)
        return super().invoke(ctx)


def argument(name: str, *former: str) -> Callable[[Decorated], Decorated]:
    """Declare an argument of a ``Verb``, with the options that stood for it in earlier versions."""

    def decorate(function: Decorated) -> Decorated:
        if former:
            function = click.option(*former, f"former_{name}", hidden=True)(function)
        return click.argument(name, required=False, metavar=name.upper())(function)

    return decorate
