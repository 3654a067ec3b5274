"""Packages that are broken, in disagreement, too old or too new: each harms itself alone, and says why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from dacapo import documents
from dacapo.cli import cli
from dacapo.config import UnknownConfig, build, field
from dacapo.errors import AmbiguousPlugin, BrokenPlugin, InvalidDocument, MissingPlugin, OutdatedPlugin
from dacapo.experiments.tasks import DummyTaskConfig, TaskConfig
from dacapo.registry import add, registry
from dacapo.store.create_store import create_config_store
from dacapo.testing import fake_package
from stored_runs import run_config

GOOD = """
import attrs
from dacapo.config import field
from dacapo.experiments.tasks import DummyTaskConfig


@attrs.define(kw_only=True)
class {name}(DummyTaskConfig):
    '''A task of no use.'''

{fields}
"""
DOCUMENT = {
    "__type__": "acme.SomeTaskConfig",
    "__from__": "acme-dacapo==1.0",
    "name": "some",
    "embedding_dims": 1,
    "detection_threshold": 0.5,
}


def task(name: str = "SomeTaskConfig", *fields: str, **settings: str) -> str:
    """Return the source of a config module."""
    lines = [f"    {one}: float = field('A number.', default=1.0)" for one in fields]
    lines += [f"    {key} = {value}" for key, value in settings.items()]
    return GOOD.format(name=name, fields="\n".join(lines) or "    pass")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Return a function that makes a package look installed, offering one task as acme.SomeTaskConfig."""
    begun = set(sys.modules)
    places: list[Path] = []

    def do(source: str, version: str = "1.0", package: str = "acme-dacapo", **kinds: dict[str, str]) -> Path:
        module = package.replace("-", "_")
        offers = kinds or {"tasks": {"acme.SomeTaskConfig": f"{module}:SomeTaskConfig"}}
        place = tmp_path / f"site-{len(places)}"
        places.append(fake_package(place, package, version, offers, {f"{module}.py": source}))
        monkeypatch.syspath_prepend(str(place))
        monkeypatch.setenv("PYTHONPATH", ":".join(map(str, reversed(places))))
        sys.modules.pop(module, None)
        registry.refresh()
        return place

    yield do
    for module in set(sys.modules) - begun:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
    monkeypatch.undo()
    registry.refresh()


def call(*words: object) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words])


def state(name: str = "acme.SomeTaskConfig") -> str:
    """Return what ``dacapo plugins --check`` says of a type."""
    rows = documents.from_json(call("plugins", "tasks", "--check", "--json").stdout)
    return next(str(row["state"]) for row in rows if row["name"] == name)


def reason() -> Exception:
    """Read the document; return why it could not be."""
    read = documents.read(dict(DOCUMENT), TaskConfig)
    assert isinstance(read, UnknownConfig)
    assert documents.write(read) == DOCUMENT
    with pytest.raises(type(read.reason)):
        build(read)
    return read.reason


BROKEN = {
    "a syntax error": ("class SomeTaskConfig(:\n", "SyntaxError"),
    "a missing import": ("import nowhere_at_all\n", "No module named 'nowhere_at_all'"),
    "an exception": ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
    "an exit": ("import sys; sys.exit('go away')\n", "SystemExit: go away"),
    "another class": ("class OtherTaskConfig: ...\n", "SomeTaskConfig"),
    "a class that is no config": ("class SomeTaskConfig: ...\n", "is no config of that kind"),
    "a function": ("def SomeTaskConfig(): ...\n", "is no config of that kind"),
    "a config of another kind": (
        "from dacapo.experiments.datasplits.datasets.arrays import DummyArrayConfig as SomeTaskConfig\n",
        "belongs into the group dacapo.arrays",
    ),
}


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_package_is_told_with_its_cause_and_harms_no_other(install, source, cause):
    install(source)
    assert isinstance(found := reason(), BrokenPlugin)
    assert cause.rpartition(": ")[2] in str(found) or cause == "SyntaxError"
    assert "acme-dacapo 1.0" in str(found)
    assert cause in state()
    assert cause in call("plugins", "show", "acme.SomeTaskConfig").stdout
    assert state("DistanceTaskConfig") == "ok"
    assert "acme.SomeTaskConfig" in call("plugins").stdout
    assert "SomeTaskConfig" not in dir(sys.modules["dacapo.experiments.tasks"])


def test_a_component_that_cannot_be_imported_is_blamed_when_it_is_built(install):
    install(
        task("SomeTaskConfig", task_type="__import__('dacapo').config.implemented_by('acme_nowhere:Task')")
    )
    config = documents.read(dict(DOCUMENT), TaskConfig)
    with pytest.raises(BrokenPlugin, match="implemented by acme_nowhere:Task, which cannot be imported"):
        build(config)


def test_a_broken_command_is_marked_and_the_others_work(install):
    install("raise RuntimeError('no licence')\n", commands={"acme": "acme_dacapo:main"})
    help_text = call("--help").stdout
    assert "(broken) acme could not be imported" in help_text
    assert "train" in help_text
    assert call("acme").exit_code == 1
    assert call("plugins", "tasks").exit_code == 0


def test_two_packages_of_one_name_are_refused_where_it_matters(install):
    install(task())
    install(task(), package="other-dacapo")
    assert isinstance(found := reason(), AmbiguousPlugin)
    assert "uninstall one of them" in str(found)
    assert "ambiguous: also offered by" in state()
    shown = call("plugins", "show", "SomeTaskConfig").stdout
    assert "other-dacapo 1.0" in shown and "acme-dacapo 1.0" in shown


def test_two_packages_with_classes_of_one_name_live_side_by_side(install):
    install(task())
    install(task(), package="other-dacapo", tasks={"other.SomeTaskConfig": "other_dacapo:SomeTaskConfig"})
    assert not isinstance(documents.read(dict(DOCUMENT), TaskConfig), UnknownConfig)
    with pytest.raises(AmbiguousPlugin, match="offered as acme.SomeTaskConfig and as other.SomeTaskConfig"):
        from dacapo.experiments.tasks import SomeTaskConfig  # noqa: F401


def test_of_two_copies_the_one_that_python_imports_counts(install):
    install(task(), "1.0")
    install(task("SomeTaskConfig", "newer"), "2.0")
    assert registry.find("tasks", "acme.SomeTaskConfig").version == "2.0"
    assert registry.load("tasks", "acme.SomeTaskConfig")(
        "a", embedding_dims=1, detection_threshold=0.5, newer=2
    )


def test_a_copy_without_offers_hides_those_of_the_copy_behind_it(install, tmp_path, monkeypatch):
    install(task())
    fake_package(tmp_path / "in front", "Acme.DaCapo", "2.0", entry_points="[console_scripts]\na = b:c\n")
    monkeypatch.syspath_prepend(str(tmp_path / "in front"))
    registry.refresh()
    assert isinstance(reason(), MissingPlugin)


def test_what_an_upgrade_left_behind_is_told_and_the_newest_counts(install, tmp_path):
    import os

    place = install(task(), "1.0")
    fake_package(
        place, "acme-dacapo", "1.1", {"tasks": {"acme.SomeTaskConfig": "acme_dacapo:SomeTaskConfig"}}
    )
    old = place / "acme_dacapo-1.0.dist-info"
    os.utime(old, (1, 1))
    registry.refresh()
    assert registry.find("tasks", "acme.SomeTaskConfig").version == "1.1"
    told = call("plugins", "tasks").stdout
    assert "installed more than once" in told and str(old) in told
    old.rename(place / "~cme_dacapo-1.0.dist-info")
    registry.refresh()
    assert registry.unreadable == []


@pytest.mark.parametrize(
    "text", ["[dacapo.tasks]\nodd.T\n", "[dacapo.tasks]\n= x:Y\n", "[dacapo.tasks]\nodd.T = not a target\n"]
)
def test_a_line_that_is_no_entry_point_is_told_and_spoils_no_other(install, text):
    place = install(task())
    path = place / "acme_dacapo-1.0.dist-info" / "entry_points.txt"
    path.write_text(path.read_text() + text)
    registry.refresh()
    assert not isinstance(documents.read(dict(DOCUMENT), TaskConfig), UnknownConfig)
    assert "should read  name = module:Class" in call("plugins", "tasks").stdout


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[console_scripts\n= = =\n[dacapo.tasks\n"),
        ("entry_points.txt", b"\xff\xfe\x00[dacapo"),
        ("METADATA", b"\xff\xfe not: metadata"),
    ],
)
def test_malformed_metadata_of_others_does_not_matter(install, file, content):
    place = install(task())
    neighbour = fake_package(place, "neighbour") / "neighbour-1.0.dist-info"
    (neighbour / file).write_bytes(content)
    registry.refresh()
    assert not isinstance(documents.read(dict(DOCUMENT), TaskConfig), UnknownConfig)
    assert registry.unreadable == []


def test_without_a_metadata_file_the_folder_says_what_the_package_is(install):
    place = install(task(), "1.4.2")
    (place / "acme_dacapo-1.4.2.dist-info" / "METADATA").unlink()
    registry.refresh()
    assert registry.find("tasks", "acme.SomeTaskConfig").requirement == "acme_dacapo==1.4.2"


def test_packages_in_archives_are_found_too(tmp_path, monkeypatch):
    import shutil

    folder = fake_package(
        tmp_path / "site",
        "acme-dacapo",
        offers={"tasks": {"acme.SomeTaskConfig": "acme_zipped:SomeTaskConfig"}},
        modules={"acme_zipped.py": task()},
    )
    archive = shutil.make_archive(str(tmp_path / "site"), "zip", folder)
    monkeypatch.syspath_prepend(archive)
    registry.refresh()
    assert registry.load("tasks", "acme.SomeTaskConfig").__name__ == "SomeTaskConfig"
    sys.modules.pop("acme_zipped")
    monkeypatch.undo()
    registry.refresh()


# upgrades


def test_a_field_of_a_newer_version_keeps_the_document_whole(install):
    install(task())
    newer = {**DOCUMENT, "__from__": "acme-dacapo==2.0", "patience": 3.0}
    read = documents.read(newer, TaskConfig)
    assert isinstance(read, UnknownConfig) and isinstance(read.reason, OutdatedPlugin)
    assert "does not know the field patience" in str(read.reason)
    assert "pip install 'acme-dacapo==2.0'" in str(read.reason)
    assert documents.write(read) == newer
    install(task("SomeTaskConfig", "patience"), "2.0")
    assert documents.read(newer, TaskConfig).patience == 3.0


def test_a_new_field_with_a_default_reads_what_older_versions_wrote(install):
    install(task("SomeTaskConfig", "patience"), "2.0")
    config = documents.read(dict(DOCUMENT), TaskConfig)
    assert config.patience == 1.0
    assert documents.write(config) == {
        **DOCUMENT, "sweep": {}, "__from__": "acme-dacapo==2.0", "patience": 1.0
    }  # fmt: skip


def test_a_run_stored_by_an_older_version_is_the_same_run_to_a_newer_one(install):
    install(task())
    store = create_config_store()
    config = run_config().replace(task_config=documents.read(dict(DOCUMENT), TaskConfig))
    store.store_run_config(config)
    install(task("SomeTaskConfig", "patience"), "2.0")
    upgraded = store.retrieve_run_config("run")
    assert upgraded.task_config.patience == 1.0
    store.store_run_config(upgraded)  # it is there already, and not another


def test_a_removed_field_makes_documents_unknown_unless_it_is_retired(install):
    install(task("SomeTaskConfig", "patience"))
    document = documents.write(documents.read({**DOCUMENT, "patience": 3.0}, TaskConfig))
    install(task(), "2.0")
    assert isinstance(documents.read(document, TaskConfig).reason, OutdatedPlugin)
    install(task("SomeTaskConfig", retired="frozenset({'patience'})"), "2.1")
    config = documents.read(document, TaskConfig)
    assert not hasattr(config, "patience")
    assert "patience" not in documents.write(config)


def test_a_renamed_class_reads_the_documents_of_its_old_name(install):
    target = "acme_dacapo:BetterTaskConfig"
    install(
        task("BetterTaskConfig"),
        "2.0",
        tasks={"acme.BetterTaskConfig": target, "acme.SomeTaskConfig": target},
    )
    config = documents.read(dict(DOCUMENT), TaskConfig)
    assert documents.write(config)["__type__"] == "acme.BetterTaskConfig"
    from dacapo.experiments.tasks import BetterTaskConfig, SomeTaskConfig

    assert BetterTaskConfig is SomeTaskConfig is type(config)
    assert "also as    acme.SomeTaskConfig" in call("plugins", "show", "acme.BetterTaskConfig").stdout


def test_a_class_renamed_without_its_old_name_leaves_documents_as_they_are(install):
    install(task("BetterTaskConfig"), "2.0", tasks={"acme.BetterTaskConfig": "acme_dacapo:BetterTaskConfig"})
    assert "pip install 'acme-dacapo==1.0'" in str(reason())


def test_a_value_that_no_longer_fits_is_an_error_of_its_own(install):
    install(task("SomeTaskConfig", "patience"))
    with pytest.raises(InvalidDocument, match="patience"):
        documents.read({**DOCUMENT, "patience": "long"}, TaskConfig)


# sessions


def test_a_class_of_a_notebook_is_kept_for_the_session_that_has_it(session_types):
    @add
    @attrs.define(kw_only=True)
    class NotebookTaskConfig(DummyTaskConfig):
        """Made in a notebook."""

        extra: int = field("Of no use.", default=1)

    store = create_config_store()
    config = run_config().replace(
        task_config=NotebookTaskConfig("n", embedding_dims=1, detection_threshold=0)
    )
    store.store_run_config(config)
    assert store.retrieve_run_config("run") == config
    from dacapo.experiments import tasks

    assert tasks.NotebookTaskConfig is NotebookTaskConfig
    registry._session.clear()
    registry.refresh()
    unknown = store.retrieve_run_config("run").task_config
    assert "add its class with  dacapo.registry.add" in str(unknown.reason)
    assert call("run", "list").exit_code == 0
    assert "local.NotebookTaskConfig" in call("run", "show", "run").stdout
    add(NotebookTaskConfig)
    assert store.retrieve_run_config("run") == config
