"""Logging in to a MongoDB server, TLS, and how long to wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import authority, signed
from dacapo.errors import InvalidOptions, StoreUnreachable
from dacapo.options import DaCapoConfig, Options
from dacapo.store.mongo import MongoBackend, connection
from dacapo.store.mongo.server import Server
from mongod import Mongod


def options(**changes: Any) -> DaCapoConfig:
    return Options.instance(mongo_db_host="mongodb://h/", mongo_db_name="lab", **changes)


def own(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o600)
    return path


# user and password


def test_user_and_password_come_from_a_file_or_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = own(tmp_path / "lab", "user: ann\npassword: 'hunter2'\n")
    server = Server.from_options(options(mongo_db_credentials_file=file))
    assert (server.user, server.password) == ("ann", "hunter2")
    monkeypatch.setenv("DACAPO_MONGO_DB_PASSWORD", "other")
    server = Server.from_options(options(mongo_db_credentials_file=file, mongo_db_user="bob"))
    assert (server.user, server.password) == ("bob", "other")
    with server.connect() as client:
        login = client.options._options
        assert (login["username"], login["password"]) == ("bob", "other")
    assert "hunter2" not in repr(server) and "other" not in repr(server)
    assert "hunter2" not in repr(Server("mongodb://ann:hunter2@h/"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("option", ["mongo_db_credentials_file", "mongo_db_tls_certificate_key_file"])
def test_a_secret_file_that_others_may_read_is_refused(tmp_path: Path, option: str, mode: int):
    file = own(tmp_path / "lab", "user: ann\npassword: hunter2\n")
    file.chmod(mode)
    with pytest.raises(InvalidOptions, match=f"{option} = .*others may read .*  chmod 600 {file}"):
        Server.from_options(options(**{option: file}))


@pytest.mark.parametrize(
    "content", ["hunter2", "password: 73313", "pasword: hunter2", "- hunter2", "password: [hunter2", ""]
)
def test_a_credentials_file_that_is_none_is_explained_and_not_repeated(tmp_path: Path, content: str):
    file = own(tmp_path / "lab", content)
    with pytest.raises(InvalidOptions, match="should hold the lines  user: NAME  and  password:") as caught:
        Server.from_options(options(mongo_db_credentials_file=file))
    assert "hunter2" not in str(caught.value) and "73313" not in str(caught.value)


@pytest.mark.parametrize(
    "option",
    ["mongo_db_credentials_file", "mongo_db_tls_ca_file", "mongo_db_tls_certificate_key_file"],
)
def test_a_file_that_is_not_there_is_named(option: str):
    with pytest.raises(InvalidOptions, match=f"{option} = gone.pem: there is no such file"):
        Server.from_options(options(**{option: "gone.pem"}))


# time


def test_the_option_wins_over_the_uri_and_the_uri_over_the_defaults():
    uri = "mongodb://h/?timeoutMS=3000"
    for server, expected in (
        (Server("mongodb://h/"), (25, 10)),
        (Server(uri), (3, 10)),
        (Server(uri, timeout=0.5), (0.5, 0.5)),
        (Server(uri, timeout=60), (60, 10)),
    ):
        with server.connect() as client:
            assert (client.options.timeout, client.options.server_selection_timeout) == expected


@pytest.mark.parametrize("key", ["timeoutMS", "connectTimeoutMS", "serverSelectionTimeoutMS"])
def test_waiting_without_end_is_refused(key: str):
    with pytest.raises(InvalidOptions, match=f"{key}=0 in mongo_db_host would wait without end"):
        Server(f"mongodb://h/?{key}=0").connect()


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_out_that_makes_no_sense_is_refused(seconds: float):
    with pytest.raises(InvalidOptions, match="mongo_db_timeout = .*: should be more than 0 seconds"):
        Server("mongodb://h/", timeout=seconds).connect()


# TLS


@pytest.fixture(scope="module")
def lab_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory, lab_authority: Path) -> Iterator[Mongod]:
    """Start a server that talks TLS alone, and wants a certificate of its clients."""
    key, client = signed(lab_authority, "server"), signed(lab_authority, "client")
    arguments = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(key), "--tlsCAFile"]
    settings = {"tls": True, "tlsCAFile": str(lab_authority), "tlsCertificateKeyFile": str(client)}
    folder = tmp_path_factory.mktemp("tls")
    server = Mongod(folder, None, *arguments, str(lab_authority), **settings).start()
    yield server
    connection.close_all()
    server.stop()


def test_a_server_that_proves_who_it_is_is_talked_to(tls_server: Mongod, lab_authority: Path):
    chosen = Options.instance(
        mongo_db_host=tls_server.uri,
        mongo_db_name="lab",
        mongo_db_tls_ca_file=lab_authority,
        mongo_db_tls_certificate_key_file=lab_authority.with_name("client.pem"),
        mongo_db_timeout=20,
    )
    backend = MongoBackend.from_options(chosen)
    assert backend.put("tasks", "a", {"x": 1}) and backend.keys("tasks") == ["a"]


def test_strangers_are_not_talked_to(tls_server: Mongod, lab_authority: Path, tmp_path: Path):
    """No TLS, an authority that did not sign, no certificate of our own, another name of the host."""
    client = lab_authority.with_name("client.pem")
    elsewhere = tls_server.uri.replace("127.0.0.1", "localhost")
    other = authority(tmp_path, "other")
    for uri, settings, reason in (
        (tls_server.uri, {}, "both talk TLS or neither does"),
        (
            tls_server.uri,
            {"tls": True, "tls_certificate_key_file": client},
            "who it is .*_tls_ca_file",
        ),
        (tls_server.uri, {"tls_ca_file": other, "tls_certificate_key_file": client}, "who it is"),
        (tls_server.uri, {"tls_ca_file": lab_authority}, "no answer"),
        (elsewhere, {"tls_ca_file": lab_authority, "tls_certificate_key_file": client}, "name of the host"),
    ):
        with pytest.raises(StoreUnreachable, match=reason):
            MongoBackend(Server(uri, timeout=0.4, **settings), "lab")


@pytest.mark.parametrize(
    "key", ["tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames", "TLSINSECURE"]
)
def test_trusting_anybody_has_to_be_forced(tls_server: Mongod, key: str, caplog: pytest.LogCaptureFixture):
    with pytest.raises(InvalidOptions, match=f"mongo_db_host sets .*{key.lower()}.*, so that anybody"):
        Server(f"{tls_server.uri}?tls=true&{key}=true").connect()
    Server(f"{tls_server.uri}?tls=true&{key}=false").connect().close()
    assert not caplog.records
    Server(f"mongodb://u:hunter2@h/?tls=true&{key}=true", force_insecure_tls=True).connect().close()
    assert "is not asked to prove who it is" in caplog.text and key.lower() in caplog.text
    assert "hunter2" not in caplog.text


def test_options_that_contradict_each_other_are_explained(lab_authority: Path):
    with pytest.raises(InvalidOptions, match="the options of the MongoDB server do not fit together"):
        Server("mongodb://h/", tls=False, tls_ca_file=lab_authority).connect()
