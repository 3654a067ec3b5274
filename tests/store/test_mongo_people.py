"""Who may do what in a database of a server that asks who you are: administrators, trainers, viewers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
import yaml
from click.testing import CliRunner, Result

from dacapo.cli import cli
from dacapo.documents import write
from dacapo.errors import NotAllowed
from dacapo.store.mongo import MongoBackend, backend, connection, roles
from dacapo.store.mongo.server import Server
from dacapo.testing import stores
from mongo_places import MongoPlace, empty
from mongod import Mongod
from tiny import tiny_run

PASSWORD = "hunter2"
PEOPLE = {"admin": roles.ADMIN, "trainer": roles.TRAINER, "viewer": roles.VIEWER}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """Start a server that asks who you are, with ``root`` and, in the database lab, one of each role."""
    server = Mongod(tmp_path_factory.mktemp("guarded"), None, "--auth").start()
    with pymongo.MongoClient(server.uri) as client:
        client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
    with pymongo.MongoClient(uri_of(server, "root")) as client:
        lab = client.lab
        for role in roles.definitions("lab"):
            lab.command("createRole", role.pop("role"), **role)
        for person, role in PEOPLE.items():
            lab.command("createUser", person, pwd=PASSWORD, roles=[role])
        lab.command("createUser", "stranger", pwd=PASSWORD, roles=[])
    yield server
    connection.close_all()
    server.stop()


@pytest.fixture
def fresh(guarded: Mongod) -> Iterator[Mongod]:
    """Forget what is in the database, but not its people."""
    with pymongo.MongoClient(uri_of(guarded, "root")) as client:
        client.drop_database("lab")
    backend._opened.clear()
    yield guarded
    connection.close_all()


def uri_of(server: Mongod, user: str, password: str = PASSWORD) -> str:
    return (
        server.uri.replace("//", f"//{user}:{password}@")
        + f"?authSource={'admin' if user == 'root' else 'lab'}"
    )


def opened(server: Mongod, user: str) -> MongoBackend:
    """Open the database as somebody, with a user and password that are not in the URI."""
    return MongoBackend(Server(f"{server.uri}?authSource=lab", user=user, password=PASSWORD), "lab")


def call(server: Mongod, user: str, *arguments: str) -> Result:
    """Call the command line as somebody, with the password in a file."""
    file = Path(f"{user}.yaml").absolute()
    file.write_text(f"user: {user}\npassword: {PASSWORD}\n")
    file.chmod(0o600)
    env = {"TYPE": "mongo", "MONGO_DB_HOST": f"{server.uri}?authSource=lab", "MONGO_DB_NAME": "lab"}
    env |= {"MONGO_DB_CREDENTIALS_FILE": str(file), "WEIGHTS": "mongo"}
    result = CliRunner().invoke(cli, arguments, env={f"DACAPO_{key}": value for key, value in env.items()})
    assert PASSWORD not in result.output
    return result


def test_a_new_database_waits_for_somebody_who_may_prepare_it(fresh: Mongod, caplog):
    caplog.set_level("INFO", "dacapo")
    assert opened(fresh, "viewer").keys("tasks") == []
    assert "let somebody who may run  dacapo store init" in caplog.text
    trainer = opened(fresh, "trainer")
    assert trainer.put("tasks", "a", {"x": 1})
    with pytest.raises(NotAllowed, match="the right createIndex on dacapo.weights.* dacapo store init"):
        trainer.put_blob("run", "a", [b"x"])
    with pytest.raises(NotAllowed, match="preparing dacapo.* which the role dacapo_admin has"):
        trainer.prepare()
    called = call(fresh, "admin", "store", "init")
    assert called.exit_code == 0 and "dacapo.stats, validated" in called.stdout
    trainer.put_blob("run", "a", [b"x"])
    viewer = opened(fresh, "viewer")
    assert (viewer.get("tasks", "a"), viewer.get_blob("run", "a")) == ({"x": 1}, b"x")
    assert PASSWORD not in caplog.text + repr(viewer)


def test_the_conformance_suite_passes_as_trainer(fresh: Mongod):
    opened(fresh, "admin")
    for check in stores.CHECKS:
        empty(MongoPlace(uri_of(fresh, "root"), "lab"))
        check(lambda: opened(fresh, "trainer"))


def test_a_trainer_trains_and_a_viewer_sees_it(fresh: Mongod, tmp_path: Path):
    """Every verb that reads is open to a viewer; every one that writes names the right and who has it."""
    assert call(fresh, "admin", "store", "init").exit_code == 0
    config = tiny_run(tmp_path / "data", num_iterations=2, validation_interval=2)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(write(config)))
    for verb in (("run", "create", str(file)), ("train", "tiny", "--device", "cpu"),
                 ("validate", "tiny", "-i", "2", "--device", "cpu")):  # fmt: skip
        assert call(fresh, "trainer", *verb).exit_code == 0, verb
    predict = ("predict", "tiny", str(tmp_path / "data" / "validate.zarr"), "raw", str(tmp_path / "out"))
    for verb in (("run", "list", "--json"), ("run", "show", "tiny"), ("best", "tiny"), ("stats", "tiny"),
                 ("config",), ("plugins",), ("store", "roles"), ("top", "f1_score"),
                 (*predict, "-i", "best", "--device", "cpu")):  # fmt: skip
        called = call(fresh, "viewer", *verb)
        assert called.exit_code == 0, called.output
    assert json.loads(call(fresh, "viewer", "run", "list", "--json").stdout)[0]["trained"] == 2
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(write(tiny_run(tmp_path / "data", name="other"))))
    for verb in (("run", "create", str(other)), ("validate", "tiny", "-i", "2"), ("store", "init"),
                 ("run", "delete", "tiny", "--yes"), ("store", "init", "--roles")):  # fmt: skip
        called = call(fresh, "viewer", *verb)
        assert called.exit_code == 1, called.output
        assert "this account may not do that: it lacks the right" in called.stderr
    assert call(fresh, "viewer", "stats", "tiny").exit_code == 0
    assert call(fresh, "trainer", "run", "delete", "tiny", "--yes").exit_code == 0


def test_what_is_missing_and_who_gives_it_is_named(fresh: Mongod):
    opened(fresh, "admin")
    viewer = opened(fresh, "viewer")
    wanted = "right insert on dacapo.documents.tasks, which the role dacapo_trainer has .*dacapo_admin gives"
    with pytest.raises(NotAllowed, match=f'{wanted} .*db.grantRolesToUser.*"dacapo_trainer"'):
        viewer.put("tasks", "b", {})
    for user in ("stranger",):
        with pytest.raises(
            NotAllowed, match="opening the store .* the right find on dacapo.meta, .*viewer has"
        ):
            opened(fresh, user)
    with pytest.raises(NotAllowed, match="the server wants to know who asks; .*mongo_db_credentials_file"):
        MongoBackend(fresh.uri, "lab")
    with pytest.raises(NotAllowed, match="does not accept the user or password") as caught:
        MongoBackend(uri_of(fresh, "viewer", "wrong-one"), "lab")
    assert "wrong-one" not in str(caught.value)


def test_a_trainer_has_no_rights_beyond_the_entries(fresh: Mongod):
    """No collections dropped, no validators and indexes changed, no roles made, no other database."""
    opened(fresh, "admin").make_roles()
    with pymongo.MongoClient(uri_of(fresh, "trainer")) as client:
        for database, command in (
            ("lab", {"drop": "dacapo.stats"}),
            ("lab", {"dropDatabase": 1}),
            ("lab", {"collMod": "dacapo.stats", "validationLevel": "off"}),
            ("lab", {"dropIndexes": "dacapo.weights.chunks", "index": "*"}),
            ("lab", {"grantRolesToUser": "trainer", "roles": [roles.ADMIN]}),
            ("lab", {"createUser": "x", "pwd": "x", "roles": []}),
            ("other", {"insert": "x", "documents": [{}]}),
            ("admin", {"find": "system.users"}),
            ("lab", {"insert": "dacapo.stats", "documents": [{}], "bypassDocumentValidation": True}),
        ):
            with pytest.raises(pymongo.errors.OperationFailure) as caught:
                client[database].command(command)
            assert caught.value.code == 13, command


def test_roles_are_made_by_init_and_may_be_again(fresh: Mongod):
    with pymongo.MongoClient(uri_of(fresh, "root")) as client:
        older = [{"resource": {"db": "lab", "collection": ""}, "actions": ["find"]}]  # as of another version
        client.lab.command("updateRole", roles.VIEWER, privileges=older, roles=[])
        for _ in range(2):
            called = call(fresh, "admin", "store", "init", "--roles")
            assert called.exit_code == 0, called.output
            assert "role dacapo_viewer: lists, reads and plots" in called.stdout
        found = client.lab.command("rolesInfo", roles.VIEWER, showPrivileges=True)["roles"][0]
        assert set(found["privileges"][0]["actions"]) == set(roles.READING)
        client.other.command("createUser", "owner", pwd=PASSWORD, roles=["dbOwner"])
    owner = MongoBackend(Server(f"{fresh.uri}?authSource=other", user="owner", password=PASSWORD), "other")
    assert len(owner.make_roles()) == 3


def test_roles_can_be_printed_for_mongosh(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DACAPO_MONGO_DB_NAME", "lab")
    printed = CliRunner().invoke(cli, ["store", "roles"]).stdout
    assert printed.startswith('db = db.getSiblingDB("lab");\n// lists, reads and plots\ndb.createRole({')
    assert printed.count("db.createRole(") == 3 and "passwordPrompt()" in printed
    made = json.loads(CliRunner().invoke(cli, ["store", "roles", "--json"]).stdout)
    assert made == roles.definitions("lab")
    monkeypatch.delenv("DACAPO_MONGO_DB_NAME")
    called = CliRunner().invoke(cli, ["store", "roles"])
    assert called.exit_code == 2 and "the option mongo_db_name is not set" in called.stderr
    called = CliRunner().invoke(cli, ["store", "init", "--roles"])
    assert called.exit_code == 2 and "knows no roles" in called.stderr


def test_a_refusal_that_names_no_command_is_passed_on():
    assert roles.missing("not allowed") == ("do that", "the server", roles.ADMIN)


def test_a_server_log_in_at_debug_level_shows_no_password(fresh: Mongod, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    opened(fresh, "admin").put("tasks", "a", {})
    assert "saslStart" in caplog.text or caplog.records
    assert PASSWORD not in caplog.text
