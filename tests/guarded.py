"""A server that asks who you are, with one person of each role in the database lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
from click.testing import CliRunner, Result

from dacapo.cli import cli
from dacapo.store.mongo import MongoBackend, backend, connection, roles
from dacapo.store.mongo.server import Server
from mongod import Mongod

PASSWORD = "hunter2"
PEOPLE = {"admin": roles.ADMIN, "trainer": roles.TRAINER, "viewer": roles.VIEWER}


@contextmanager
def guarded_server(folder: Path) -> Iterator[Mongod]:
    """Start a server with ``root`` and, in the database lab, one of each role and a stranger."""
    server = Mongod(folder, None, "--auth").start()
    try:
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
    finally:
        connection.close_all()
        server.stop()


def forget(server: Mongod) -> None:
    """Forget what is in the database, but not its people."""
    with pymongo.MongoClient(uri_of(server, "root")) as client:
        client.drop_database("lab")
    backend._opened.clear()


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
