"""A new package of every sort, made and installed by pip as an author would: its tests pass unedited."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dacapo.cli import cli
from dacapo.cli.plugin_new import sorts

CHECKED = ("array", "command", "compute-context", "loss", "start", "store")  # the quick ones


def run(*words: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make and install a package of every sort; they lie in ``packages``, and installed in ``site``."""
    folder = tmp_path_factory.mktemp("new")
    packages = [folder / "packages" / f"new-{sort}" for sort in sorts()]
    for sort, package in zip(sorts(), packages, strict=True):
        words = ["plugins", "new", f"new-{sort}", f"--{sort}", "--folder", str(package)]
        assert CliRunner().invoke(cli, words).exit_code == 0
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index")
    run("pip", "install", *options, "--target", folder / "site", *packages)
    return folder


def test_all_are_found(folder: Path) -> None:
    listed = run("dacapo", "plugins", PYTHONPATH=str(folder / "site"))
    assert all(f"dacapo-new-{sort} " in listed for sort in sorts())


def test_their_tests_pass_as_they_are(folder: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull)
    printed = run("pytest", *options, *(folder / "packages").iterdir(), PYTHONPATH=str(folder / "site"))
    assert " passed" in printed and "skipped" not in printed


def test_they_pass_the_checks_of_the_command_line(folder: Path) -> None:
    names = [f"new-{sort}" for sort in CHECKED]
    printed = run("dacapo", "plugins", "check", *names, PYTHONPATH=str(folder / "site"))
    assert printed.count(" ok") == len(CHECKED)
