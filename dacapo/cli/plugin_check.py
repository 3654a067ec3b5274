"""``dacapo plugins check``: the checks that every type has to pass, on all that a package offers."""

from __future__ import annotations

import re

import click

from dacapo.errors import DacapoError, MissingPlugin
from dacapo.registry import Offer, registry

from .contained import Ended, each
from .tables import json_option, show

SECONDS_TO_CHECK = 600
COLUMNS = ("kind", "name", "check", "problem")


@click.command("check")
@click.argument("packages", metavar="PACKAGE...", nargs=-1, required=True)
@json_option
def check_package(packages: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance checks on all that packages offer.

    A config is made with its own ``example()``.  Each package runs in a process of its own.
    """
    offers = [offer for package in packages for offer in offers_of(package)]
    reports = each("dacapo.cli.check_each", offers, SECONDS_TO_CHECK)
    rows: list[tuple[str, ...]] = []
    for offer in offers:
        found = reports[offer]
        problems = [("survives", found.how)] if isinstance(found, Ended) else found
        rows += [(offer.kind, offer.name, *problem) for problem in problems or [("all", "ok")]]
    rows += [("unreadable", "-", "metadata", reason) for package in packages for reason in _reasons(package)]
    show(COLUMNS, rows, as_json)
    if failed := sum(row[-1] != "ok" for row in rows):
        raise DacapoError(
            f"failed: {failed}; the docstring of a check in dacapo.testing says what it demands"
        )


def offers_of(package: str) -> list[Offer]:
    """Return what the package of that name offers; raises ``MissingPlugin`` if that is nothing."""
    found = [
        offer for _, rivals in sorted(registry.offers.items()) for offer in rivals
        if _is(package, offer.dist)
    ]  # fmt: skip
    reasons = _reasons(package)
    if found:
        return found
    others = sorted({offer.dist for rivals in registry.offers.values() for offer in rivals})
    raise MissingPlugin(
        f"{package} offers nothing that could be read: {'; '.join(reasons)}"
        if reasons
        else f"no installed package {package} offers anything; these do: {', '.join(others)}; after a change "
        "of its pyproject.toml it has to be installed again",
        kind="",
        name=package,
    )


def _reasons(package: str) -> list[str]:
    """Return why something of a package could not be read."""
    return [one.reason for one in registry.unreadable if _is(package, one.dist)]


def _is(package: str, dist: str) -> bool:
    """Say whether a package is called so, perhaps without the dacapo in front."""
    key, own = (re.sub(r"[-_.]+", "-", name).lower() for name in (package, dist))
    return own in (key, f"dacapo-{key}")
