"""A plugin made of nothing but what docs/plugins.md shows: it is the template, it is short, and it trains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dacapo.cli.plugin_new import names, package
from dacapo.registry import KINDS, import_target
from dacapo.testing import fake_package

PAGE = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text()
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE, flags=re.M | re.S))
MOST_LINES = 80


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Write the blocks of the page where an installed package would lie."""
    offers = dict(re.findall(r'^"(.+)" = "(.+)"$', FILES["pyproject.toml"], flags=re.M))
    modules = {path: text for path, text in FILES.items() if path.endswith(".py")}
    return fake_package(tmp_path / "site", "dacapo-acme", "0.1.0", {"tasks": offers}, modules)


def test_every_block_is_the_templates_own():
    template = package("task", names("acme"))
    assert FILES.keys() == {
        "dacapo_acme/configs.py",
        "dacapo_acme/task.py",
        "pyproject.toml",
        "tests/test_acme.py",
    }
    for path, text in FILES.items():
        assert template[path].endswith(text), path
    assert all(template[path] == text for path, text in FILES.items() if path.endswith(".py"))


def test_an_author_writes_few_lines():
    lines = [line for text in FILES.values() for line in text.splitlines() if line.strip()]
    assert 40 < len(lines) < MOST_LINES


def test_it_passes_its_tests_and_trains(written: Path):
    environment = os.environ | {"PYTHONPATH": str(written)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "tests"]
    done = subprocess.run(command, cwd=written, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_on_the_page_can_be_imported():
    table = PAGE.partition("## What is public")[2]
    for name in set(re.findall(r"`(dacapo\.[\w.]+)`", table)):
        module, _, last = name.rpartition(".")
        try:
            __import__(name)
        except ImportError:
            assert import_target(f"{module}:{last}") is not None


def test_every_kind_is_on_the_page():
    rows = re.findall(r"^\| (\w+) \|", PAGE.partition("## What is public")[2], flags=re.M)
    assert sorted(rows) == sorted(["kind", *KINDS])
