"""``dacapo config``: which options are in force, and why."""

from __future__ import annotations

import json

import click

from dacapo.options import Options

from .tables import json_option, show


@click.command()
@json_option
def config(as_json: bool) -> None:
    """Show the options in force and where each came from."""
    options = Options.explain()
    rows = [(key, value if as_json or isinstance(value, str | None) else json.dumps(value), origin)
            for key, value, origin in options]  # fmt: skip
    show(("option", "value", "from"), rows, as_json)
