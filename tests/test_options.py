"""Options come from arguments, environment, file and defaults, in this order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dacapo import options as module
from dacapo.errors import InvalidOptions
from dacapo.options import Options, exported


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("DACAPO_RUNS_BASE_DIR", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_defaults(own_home):
    options = Options.instance()
    assert (options.type, options.runs_base_dir) == ("files", own_home / "dacapo")
    assert options.compute_context == {"type": "LocalTorch", "config": {}}
    assert "mongo_db_host" not in options.serialize()


def test_arguments_beat_the_environment_which_beats_the_file(monkeypatch):
    Path("dacapo.yaml").write_text("runs_base_dir: from_file\nmongo_db_name: from_file\ntype: files\n")
    monkeypatch.setenv("DACAPO_MONGO_DB_NAME", "from_environment")
    monkeypatch.setenv("DACAPO_TYPE", "from_environment")
    options = Options.instance(type="from_argument")
    assert str(options.runs_base_dir) == "from_file"
    assert (options.mongo_db_name, options.type) == ("from_environment", "from_argument")


@pytest.mark.parametrize("place", ["dacapo.yaml", "~/dacapo.yaml", "~/.config/dacapo/dacapo.yaml"])
def test_every_place_is_found(place):
    path = Path(place).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mongo_db_name: lab\n")
    assert Options.config_file() == path.absolute()
    assert Options.instance().mongo_db_name == "lab"


def test_the_nearest_place_wins(own_home):
    (own_home / "dacapo.yaml").write_text("mongo_db_name: home\n")
    Path("dacapo.yaml").write_text("mongo_db_name: here\n")
    assert Options.instance().mongo_db_name == "here"


def test_the_variable_names_a_file_and_is_left_alone(monkeypatch, tmp_path):
    (tmp_path / "lab.yaml").write_text("mongo_db_name: lab\n")
    monkeypatch.setenv("DACAPO_OPTIONS_FILE", str(tmp_path / "lab.yaml"))
    assert Options.instance().mongo_db_name == "lab"
    monkeypatch.setenv("DACAPO_OPTIONS_FILE", "gone.yaml")
    with pytest.raises(InvalidOptions, match="DACAPO_OPTIONS_FILE names .*gone.yaml, which is no file"):
        Options.instance()


def test_looking_for_a_file_does_not_change_the_environment():
    Path("dacapo.yaml").write_text("type: files\n")
    Options.instance()
    assert "DACAPO_OPTIONS_FILE" not in os.environ


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("mongodbhost", "mongo_db_host"), ("mongodbname", "mongo_db_name"), ("run_base_dir", "runs_base_dir")],
)
def test_an_unknown_key_is_an_error_that_suggests_the_right_one(wrong, right):
    Path("dacapo.yaml").write_text(f"{wrong}: x\n")
    with pytest.raises(
        InvalidOptions, match=rf"unknown option {wrong} \(from .*dacapo.yaml\); did you mean {right}\?"
    ):
        Options.instance()
    Path("dacapo.yaml").unlink()
    with pytest.raises(InvalidOptions, match=rf"{wrong} \(from argument\)"):
        Options.instance(**{wrong: "x"})


def test_a_key_like_no_other_lists_what_is_known():
    with pytest.raises(InvalidOptions, match="known are type, runs_base_dir"):
        Options.instance(zzz=1)


@pytest.mark.parametrize(
    "content",
    ["type: [1, 2\n", "- a\n- b\n", "just text", "runs_base_dir: 3\n", "compute_context: LocalTorch\n"],
)
def test_unreadable_files_and_wrong_values_are_clear_errors(content):
    Path("dacapo.yaml").write_text(content)
    with pytest.raises(InvalidOptions):
        Options.instance()


def test_a_compute_context_may_leave_out_its_config(monkeypatch):
    assert Options.instance(compute_context={"type": "LocalTorch"}).compute_context["config"] == {}
    with pytest.raises(InvalidOptions, match="compute_context"):
        Options.instance(compute_context={"kind": "LocalTorch"})
    monkeypatch.setenv("DACAPO_COMPUTE_CONTEXT", "{type: LocalTorch, config: {device: cpu}}")
    assert Options.instance().compute_context["config"] == {"device": "cpu"}


def test_options_cannot_be_made_by_hand():
    with pytest.raises(RuntimeError, match="Options.instance"):
        Options()


def test_explain_says_where_each_value_comes_from_without_secrets(monkeypatch):
    monkeypatch.setenv("DACAPO_MONGO_DB_HOST", "mongodb://anna:s3cret@db.lab:27017/?x=1")
    rows = {key: (value, origin) for key, value, origin in Options.explain(type="files")}
    assert rows["mongo_db_host"] == (
        "mongodb://anna:***@db.lab:27017/?x=1",
        "environment DACAPO_MONGO_DB_HOST",
    )
    assert rows["type"] == ("files", "argument")
    assert rows["runs_base_dir"][1] == "default"


def test_the_password_does_not_show_in_errors():
    with pytest.raises(InvalidOptions) as caught:
        Options.instance(mongo_db_name=["mongodb://u:s3cret@h"])
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidOptions, match=r"mongo_db_password = '\*\*\*' .*: should be a text") as caught:
        Options.instance(mongo_db_password=73313)
    assert "73313" not in str(caught.value)


def test_the_password_does_not_show_in_a_repr_and_in_the_table():
    options = Options.instance(mongo_db_password="s3cret", mongo_db_host="mongodb://u:s3cret@h")
    assert "mongo_db_password='***'" in repr(options) and "u:***@h" in repr(options)
    assert "s3cret" not in repr(options) + repr(Options.explain(mongo_db_password="s3cret"))
    assert {key: value for key, value, _ in Options.explain()}["mongo_db_password"] is None


@pytest.mark.parametrize("content", ["password: s3cret: {", "mongo_db_host: [m://u:s3cret@h", "\t@: s3cret"])
def test_a_file_that_is_no_yaml_is_not_repeated(content):
    Path("dacapo.yaml").write_text(f"type: files\n{content}\n")
    with pytest.raises(InvalidOptions, match=r"dacapo.yaml cannot be read: line \d, column \d") as caught:
        Options.instance()
    assert "s3cret" not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.parametrize("line", ["mongo_db_host: mongodb://u:s3cret@h", "mongo_db_password: s3cret"])
def test_a_file_with_a_password_that_others_may_read_is_warned_of_once(line, caplog, monkeypatch):
    monkeypatch.setattr(module, "_warned", set())
    path = Path("dacapo.yaml")
    path.write_text(f"{line}\n")
    path.chmod(0o600)
    Options.instance()
    assert not caplog.records
    path.chmod(0o644)
    Options.instance()
    Options.instance()
    (record,) = caplog.records
    assert (
        f"holds a password, and others may read it; type  chmod 600 {path.absolute()}" in record.getMessage()
    )


def test_variables_are_read_as_what_the_option_is(monkeypatch):
    for key, text in (("TLS", "true"), ("TIMEOUT", "2"), ("PASSWORD", "12"), ("TLS_CA_FILE", "~/ca.pem")):
        monkeypatch.setenv(f"DACAPO_MONGO_DB_{key}", text)
    options = Options.instance()
    assert (options.mongo_db_tls, options.mongo_db_timeout, options.mongo_db_password) == (True, 2.0, "12")
    assert options.mongo_db_tls_ca_file == Path("~/ca.pem").expanduser()
    monkeypatch.setenv("DACAPO_MONGO_DB_TLS", "{")
    with pytest.raises(InvalidOptions, match="DACAPO_MONGO_DB_TLS cannot be read"):
        Options.instance()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DACAPO_MONGODB_HOST", "did you mean DACAPO_MONGO_DB_HOST? Else take it away"),
        ("DACAPO_RUNS_DIR", "did you mean DACAPO_RUNS_BASE_DIR?"),
        ("DACAPO_mongo_db_host", "did you mean DACAPO_MONGO_DB_HOST?"),
        ("DACAPO_OPTION_FILE", "unset DACAPO_OPTION_FILE"),
        ("DACAPO_XYZZY", "is no option of DaCapo; take it away with  unset DACAPO_XYZZY "),
    ],
)
def test_a_misspelt_variable_is_an_error_that_names_the_right_one(monkeypatch, name: str, meant: str):
    monkeypatch.setenv(name, "mongodb://anna:s3cret@lab")
    with pytest.raises(InvalidOptions) as raised:
        Options.instance()
    assert f"the environment variable {name} " in str(raised.value) and meant in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_variables_of_tests_benchmarks_and_others_are_left_alone(monkeypatch):
    for name in ("DACAPO_TEST_MONGO_URI", "DACAPO_BENCHMARK_URI", "MONGO_DB_HOST", "DACAPOX"):
        monkeypatch.setenv(name, "x")
    assert Options.instance().mongo_db_host is None


def test_options_are_exported_for_a_while(monkeypatch):
    monkeypatch.setenv("DACAPO_TYPE", "files")
    with exported(mongo_db_timeout=2.5, type="memory"):
        assert (Options.instance().mongo_db_timeout, Options.instance().type) == (2.5, "memory")
    assert (Options.instance().mongo_db_timeout, Options.instance().type) == (None, "files")
