"""Showing results: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool, nothing: str = "") -> None:
    """Print rows on standard output, as a table or as a JSON list of objects.

    ``nothing`` is said on standard error when the table has no rows.
    """
    if as_json:
        return show_json([dict(zip(columns, row, strict=True)) for row in rows])
    if not rows:
        click.echo(nothing, err=True)
        return None
    return click.echo(table(columns, rows))


def show_json(value: Any) -> None:
    """Print plain data as JSON on standard output."""
    # Imported here: it costs as much as all the rest of the list of commands.
    from dacapo.documents import to_json

    click.echo(to_json(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as text with aligned columns; numbers stand to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    right = [
        all(isinstance(row[at], int | float) or row[at] is None for row in rows) for at in range(len(columns))
    ]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(columns), line(["-" * width for width in widths]), *map(line, cells)])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).splitlines())  # a line of a table is one line
