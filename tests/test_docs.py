"""Every Python example on every page runs, page by page from top to bottom."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from dacapo.registry import registry

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_examples_run(page, session_types, monkeypatch):
    module = types.ModuleType(f"examples_of_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for number, source in enumerate(blocks(page, "python")):
        exec(compile(source, f"{page.name}, example {number + 1}", "exec"), vars(module))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_yaml_and_toml_examples_can_be_read(page):
    import tomllib

    for source in blocks(page, "yaml"):
        yaml.safe_load(source)
    for source in blocks(page, "toml"):
        tomllib.loads(source)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_the_page_exist(page):
    """Every `dacapo verb ...` in a shell example names a command, and only options it has."""
    from dacapo.cli import cli

    for source in blocks(page, "(?:bash|sh|console)"):
        for line in re.findall(r"^\$? ?dacapo (.+)$", source, flags=re.M):
            words = line.split("#")[0].split()
            command = [word for word in words[:2] if re.fullmatch(r"[a-z][a-z-]*", word)]
            has_verbs = isinstance(registry.load("commands", command[0]), click.Group)
            result = CliRunner().invoke(cli, [*(command if has_verbs else command[:1]), "--help"])
            assert result.exit_code == 0, line
            for option in re.findall(r"(?<= )--[a-z-]+", line):
                assert option in result.output or option in CliRunner().invoke(cli, ["--help"]).output, line


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_every_test_that_is_promised_exists():
    page = (ROOT / "docs" / "promises.md").read_text()
    rows = "\n".join(re.findall(r"^\| P.*", page, flags=re.M))
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", rows)
    assert len(named) > 20
    for path, name in named:
        source = (ROOT / "tests" / path).read_text()
        assert not name or f"def {name}(" in source, f"{path}::{name}"
    assert re.findall(r"^\| (P\d+) \|", page, flags=re.M) == [f"P{n}" for n in range(1, 23) if n != 19]
