"""``dacapo task | architecture | trainer | datasplit | dataset | array``, on files and in MongoDB."""

from __future__ import annotations

import pytest
import yaml

from dacapo import documents
from dacapo.provenance import user
from dacapo.store.config_store import CLASSES
from dacapo.store.create_store import create_config_store
from dacapo.testing import tiny_run

NOUNS = {kind.removesuffix("s"): kind for kind in CLASSES if kind != "runs"}


@pytest.fixture(params=["files", "mongo"], autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch):
    """Let the options name a place of each sort."""
    if request.param == "mongo":
        for key, value in request.getfixturevalue("mongo").options.items():
            monkeypatch.setenv(f"DACAPO_{key.upper()}", value)


@pytest.fixture
def run(tmp_path):
    return tiny_run(tmp_path / "data")


@pytest.fixture
def configs(run):
    """Return one config of each kind, by the noun of its command."""
    dataset = run.datasplit_config.train_configs[0]
    parts = run.task_config, run.architecture_config, run.trainer_config, run.datasplit_config
    return dict(zip(NOUNS, (*parts, dataset, dataset.raw_config), strict=True))


def listed(dacapo, noun: str, *options: str) -> list[str]:
    return [row["name"] for row in dacapo(noun, "list", "--json", *options).json]


def written(tmp_path, document) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


def test_every_kind_is_created_listed_shown_copied_marked_and_deleted(dacapo, configs, tmp_path):
    for noun, config in configs.items():
        path = written(tmp_path, documents.write(config))
        assert dacapo(noun, "create", path).stdout == f"{config.name}\n"
        assert dacapo(noun, "note", config.name, "is fine").exit_code == 0
        assert dacapo(noun, "tag", config.name, "+good").stdout == "good\n"
        [row] = dacapo(noun, "list", "--json").json
        assert row.pop("stored").startswith("20")
        assert row == {"name": config.name, "type": type(config).__name__, "owner": user(), "tags": ["good"],
                       "note": "is fine"}  # fmt: skip
        shown = dacapo(noun, "show", config.name).stdout
        assert dacapo(noun, "delete", config.name, "--yes").exit_code == 0
        assert listed(dacapo, noun) == []
        assert dacapo(noun, "create", written(tmp_path, yaml.safe_load(shown))).exit_code == 0
        assert create_config_store().retrieve(NOUNS[noun], config.name) == config
        assert dacapo(noun, "show", config.name, "--json").json["name"] == config.name


def test_lists_are_narrowed(dacapo, configs):
    store = create_config_store()
    for kind, config in zip(NOUNS.values(), configs.values(), strict=True):
        store.store(kind, config)
    store.store("arrays", configs["array"].source_array_config)
    assert listed(dacapo, "array") == ["train_raw", "train_raw_uint8"]
    assert listed(dacapo, "array", "--type", "ZarrArrayConfig") == ["train_raw_uint8"]
    assert listed(dacapo, "array", "--uses", "train_raw_uint8") == ["train_raw"]
    assert listed(dacapo, "datasplit", "--uses", "train_raw", "--uses", "BinarizeArrayConfig") == ["volumes"]
    assert listed(dacapo, "trainer", "--uses", "SimpleAugmentConfig", "--match", "p*") == ["patches"]
    assert listed(dacapo, "array", "--owner", "nobody") == listed(dacapo, "array", "--until", "1h") == []
    assert len(listed(dacapo, "array", "--since", "1h", "--limit", "1")) == 1
    assert dacapo("array", "archive", "train_raw").exit_code == 0
    assert listed(dacapo, "array") == ["train_raw_uint8"]
    assert len(listed(dacapo, "array", "--archived")) == 2
    assert dacapo("array", "unarchive", "train_raw").exit_code == 0
    assert listed(dacapo, "array") == ["train_raw", "train_raw_uint8"]
    table = dacapo("array", "list").stdout.splitlines()
    assert table[0].split() == ["name", "type", "owner", "stored"]
    called = dacapo("array", "list", "--uses", "nothing")
    assert called.stderr == "none of the 2 arrays fits; list all with  dacapo array list --archived\n"


def test_two_are_compared_field_by_field(dacapo, configs, run):
    store, task = create_config_store(), configs["task"]
    store.store_task_config(task)
    store.store_task_config(task.replace(name="other", clip_distance=50.0, channels=["a", "b"]))
    fields = dacapo("task", "diff", "balls", "other", "--json").json
    assert fields == [
        {"field": "channels", "one": ["ball"], "other": ["a", "b"]},
        {"field": "clip_distance", "one": 40.0, "other": 50.0},
    ]
    table = dacapo("task", "diff", "balls", "other").stdout.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["channels", "clip_distance"]
    assert "say the same" in dacapo("task", "diff", "balls", "balls").stderr
    store.store_run_config(run)
    store.store_run_config(run.replace(name="longer", task_config=store.retrieve_task_config("other")))
    fields = dacapo("run", "diff", "tiny", "longer", "--json").json
    assert [row["field"] for row in fields] == [
        "task_config.name", "task_config.channels", "task_config.clip_distance"
    ]  # fmt: skip


def test_what_only_one_has_is_absent_from_the_other(dacapo, configs):
    backend = create_config_store().backend
    for name, more in {"a": {"x": None}, "b": {}}.items():
        backend.put("tasks", name, {"__type__": "acme.T", "__from__": "acme==1", "name": name, **more})
    assert "absent" in dacapo("task", "diff", "a", "b").stdout
    assert dacapo("task", "diff", "a", "b", "--json").json == [{"field": "x", "one": None, "other": None}]


def test_deleting_says_who_keeps_a_copy_and_asks(dacapo, configs, run, monkeypatch):
    store = create_config_store()
    store.store_dataset_config(configs["dataset"])
    store.store_datasplit_config(configs["datasplit"])
    store.store_run_config(run)
    called = dacapo("dataset", "delete", "train")
    assert called.exit_code == 2 and "dacapo dataset delete train --yes" in called.stderr
    assert f"dataset train: RawGTDatasetConfig, stored by {user()} at 20" in called.stderr
    assert "- 1 runs keep their copy, tiny among them\n- 1 datasplits keep" in called.stderr
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    assert dacapo("dataset", "delete", "train", input="n\n").exit_code == 0
    assert store.names("datasets") == ["train"]
    assert dacapo("dataset", "delete", "train", input="y\n").exit_code == 0
    assert store.names("datasets") == []
    assert store.retrieve_run_config("tiny") == run


def test_errors_name_what_may_have_been_meant(dacapo, configs, tmp_path):
    create_config_store().store_task_config(configs["task"])
    for command in (["show"], ["delete", "--yes"], ["tag"], ["note"], ["diff", "balls"]):
        called = dacapo("task", *command, "bals")
        assert called.exit_code == 3 and "did you mean balls?" in called.stderr, command
    assert "did you mean task?" in dacapo("tasks", "list").stderr
    wrong = documents.write(configs["task"]) | {"__type__": "DistanceTaskConfg"}
    called = dacapo("task", "create", written(tmp_path, wrong))
    assert called.exit_code == 1 and "did you mean DistanceTaskConfig?" in called.stderr
    called = dacapo("trainer", "create", written(tmp_path, documents.write(configs["task"])))
    assert called.exit_code == 1 and "it is among the tasks" in called.stderr
    called = dacapo("array", "create", written(tmp_path, []))
    assert "should hold the fields of the array, such as  name: my_array" in called.stderr
    other = documents.write(configs["task"]) | {"clip_distance": 50.0}
    called = dacapo("task", "create", written(tmp_path, other))
    assert called.exit_code == 4 and "clip_distance: 40.0 -> 50.0" in called.stderr
