"""``dacapo plugins new``: a package under any name, and nothing overwritten."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dacapo.cli.plugin_new import names, package, sorts
from dacapo.registry import KINDS


def test_there_is_a_template_for_nearly_every_kind():
    offered = {kind for sort in sorts() for kind in _offers(package(sort, names("acme")))}
    # Scores come with the evaluator of a task, and a network is any torch module.
    assert set(KINDS) - offered == {"evaluation_scores", "networks"}


def _offers(files: dict[str, str]) -> dict[str, dict[str, str]]:
    groups = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]
    return {group.removeprefix("dacapo."): table for group, table in groups.items()}


@pytest.mark.parametrize(
    ("name", "dist", "module", "camel", "provider"),
    [
        ("skeletons", "dacapo-skeletons", "dacapo_skeletons", "Skeletons", "skeletons"),
        ("acme-dacapo", "acme-dacapo", "acme_dacapo", "Acme", "acme"),
        ("dacapo_Acme.tools", "dacapo-acme-tools", "dacapo_acme_tools", "AcmeTools", "acme_tools"),
    ],
)
def test_a_name_becomes_all_other_names(dacapo, tmp_path, name, dist, module, camel, provider):
    called = dacapo("plugins", "new", name, "--task")
    assert called.exit_code == 0, called.stderr
    folder = tmp_path / dist
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "README.md", "pyproject.toml", f"{module}/__init__.py", f"{module}/configs.py", f"{module}/task.py",
        f"tests/test_{provider}.py",
    }  # fmt: skip
    assert sorted(called.stdout.split()) == sorted(f"{dist}/{path}" for path in written)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == dist
    target = f"{module}.configs:{camel}TaskConfig"
    assert project["entry-points"] == {"dacapo.tasks": {f"{provider}.{camel}TaskConfig": target}}
    text = "\n".join(path.read_text() for path in folder.rglob("*.*") if path.is_file())
    if "acme" not in name.lower():
        assert not re.search("acme", text, re.IGNORECASE)


@pytest.mark.parametrize(
    "name",
    ["", "-", "dacapo", "3d", "../x", "a b", "a/b", "ä", "x" * 61, "class", "local", "a;b", "$(touch x)"],
)
def test_what_cannot_be_a_package_is_refused(dacapo, tmp_path, name):
    called = dacapo("plugins", "new", "--task", "--", name)
    assert called.exit_code == 2
    assert "cannot name a package" in called.stderr
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


def test_nothing_is_overwritten(dacapo, tmp_path):
    assert dacapo("plugins", "new", "acme", "--loss").exit_code == 0
    (tmp_path / "dacapo-acme" / "README.md").write_text("mine")
    again = dacapo("plugins", "new", "acme", "--loss")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "not overwritten" in again.stderr
    assert (tmp_path / "dacapo-acme" / "README.md").read_text() == "mine"
    (tmp_path / "taken").write_text("mine")
    assert dacapo("plugins", "new", "acme", "--loss", "--folder", "taken").exit_code == 2
    assert (tmp_path / "taken").read_text() == "mine"


def test_it_goes_where_it_is_told_to(dacapo, tmp_path):
    (tmp_path / "empty").mkdir()
    assert dacapo("plugins", "new", "acme", "--array", "--folder", "empty").exit_code == 0
    assert (tmp_path / "empty" / "dacapo_acme" / "array.py").exists()


def test_a_command_is_not_called_like_one_that_there_is(dacapo, tmp_path):
    called = dacapo("plugins", "new", "train", "--command")
    assert called.exit_code == 2
    assert "there is a command train already" in called.stderr


def test_what_it_should_offer_has_to_be_said(dacapo):
    called = dacapo("plugins", "new", "acme")
    assert called.exit_code == 2
    assert "--task" in called.stderr
    assert dacapo("plugins", "new", "acme", "--tasks").exit_code == 2


def test_templates_hold_nothing_but_text(tmp_path):
    for sort in sorts():
        for path, text in package(sort, names("acme")).items():
            assert text.endswith("\n") and "\r" not in text, path
            assert Path(path).suffix in (".py", ".toml", ".md")
