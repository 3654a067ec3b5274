"""A self-contained HTML page: no file beside it, no network, light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")


def page(title: str, lead: str, sections: Iterable[str]) -> str:
    """Put sections of HTML under a title into one whole document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(lead)}</p>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def section(title: str, *content: str, lead: str = "") -> str:
    """Put content under a heading."""
    words = f"<p>{escape(lead)}</p>" if lead else ""
    return f"<section><h2>{escape(title)}</h2>{words}{''.join(content)}</section>"


def cards(facts: Sequence[tuple[str, str]]) -> str:
    """Show a few figures large, each with what it means."""
    boxes = (
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(what)}</span></div>'
        for what, figure in facts
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | float]],
    best: int | None = None,
    shaded: bool = False,
) -> str:
    """Show rows of text and figures; row ``best`` stands out, ``shaded`` figures are coloured by size."""
    figures = [cell for row in rows for cell in row if isinstance(cell, float) and math.isfinite(cell)]
    low, high = min(figures, default=0.0), max(figures, default=0.0)

    def cell(content: str | float) -> str:
        if isinstance(content, str):
            return f"<td>{escape(content)}</td>"
        if not math.isfinite(content):
            return "<td>–</td>"
        share = round(55 * (content - low) / ((high - low) or 1))
        style = f' style="background:color-mix(in srgb, var(--a) {share}%, transparent)"' if shaded else ""
        return f"<td{style}>{content:.3f}</td>"

    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr{' class=best' if at == best else ''}>{''.join(map(cell, row))}</tr>"
        for at, row in enumerate(rows)
    )
    return f'<div class="panel"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Show pairs of a word and what there is to say about it."""
    body = "".join(f"<tr><td>{escape(what)}</td><td>{escape(said)}</td></tr>" for what, said in rows)
    return f'<div class="panel"><table class="facts">{body}</table></div>'


def folded(summary: str, text: str) -> str:
    """Show long text only to who asks for it."""
    return f'<details class="panel"><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>'
