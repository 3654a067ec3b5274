"""The page of the checks lists them all, in the words of their docstrings.

``python tests/test_checks_page.py`` writes its tables anew.
"""

from __future__ import annotations

from pathlib import Path

from dacapo.testing.checks import checks, kind_of_check

PAGE = Path(__file__).parent.parent / "docs" / "checks.md"
MARK = "<!-- the tables below are made of the docstrings of the checks -->\n"
FIRST = {"types": "Types", "configs": "Configs of every kind"}


def tables() -> str:
    kinds = dict.fromkeys([*FIRST, *sorted({kind_of_check(name) for name in checks})])
    parts = []
    for kind in kinds:
        rows = [
            f"| `{name}` | {' '.join((function.__doc__ or '').split()).replace('``', '`')} |"
            for name, function in checks.items()
            if kind_of_check(name) == kind
        ]
        title = FIRST.get(kind) or kind.replace("_", " ").capitalize()
        parts.append(f"\n### {title}\n\n| check | demands |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def test_the_page_lists_every_check_as_it_is():
    assert PAGE.read_text().partition(MARK)[2] == tables()


if __name__ == "__main__":
    PAGE.write_text("".join(PAGE.read_text().partition(MARK)[:2]) + tables())
