"""``dacapo plugins``: which types the installed packages offer, and how to offer some yourself."""

from __future__ import annotations

from typing import Any

import click

from dacapo.errors import DacapoError
from dacapo.registry import KINDS, registry

from .commands import Group
from .plugin_check import check_package
from .plugin_new import new_package
from .plugin_show import ambiguity, import_each, show_plugin
from .tables import json_option, show

COLUMNS = ("kind", "name", "package", "version")


class _Plugins(Group):
    """A group whose commands follow; a kind, or nothing, stands for the list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        listed = not args or args[0] in KINDS or args[0] in ("--check", "--json")
        return super().parse_args(ctx, ["list", *args] if listed else args)

    def words(self, ctx: click.Context) -> list[str]:
        return [*super().words(ctx), *KINDS]


@click.group(cls=_Plugins)
def plugins() -> None:
    """List, examine and begin the types that installed packages offer.

    \b
    dacapo plugins           is  dacapo plugins list
    dacapo plugins tasks     is  dacapo plugins list tasks
    """


@plugins.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS), metavar="[KIND]")
@click.option("--check", is_flag=True, help="Import each type and say which cannot be had, and why.")
@json_option
def list_plugins(kind: str | None, check: bool, as_json: bool) -> None:
    """List what is offered, with package and version; nothing is imported unless asked to."""
    offers = [
        offer
        for (_, _), rivals in sorted(registry.offers.items())
        for offer in rivals
        if kind in (None, offer.kind)
    ]
    rows: list[tuple[Any, ...]] = [(o.kind, o.name, o.dist, o.version) for o in offers]
    rows += [("unreadable", "-", one.dist, "-") for one in registry.unreadable]
    faults = list(map(ambiguity, offers))
    problems: list[str | None] = [*faults, *(one.reason for one in registry.unreadable)]
    if check:
        found = import_each([offer for offer, fault in zip(offers, faults, strict=True) if not fault])
        problems[: len(offers)] = [
            fault or found.get(offer) for offer, fault in zip(offers, faults, strict=True)
        ]
    if check or any(problems):
        rows = [(*row, problem or "ok") for row, problem in zip(rows, problems, strict=True)]
        show((*COLUMNS, "state"), rows, as_json)
    else:
        show(COLUMNS, rows, as_json, nothing=f"no installed package offers {kind}")
    if check and (broken := sum(map(bool, problems))):
        raise DacapoError(f"{broken} of {len(rows)} cannot be had; the state says why")


for command in (show_plugin, check_package, new_package):
    plugins.add_command(command)
