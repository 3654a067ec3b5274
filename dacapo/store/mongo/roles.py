"""Ready-made roles of a database: who looks, who trains, and who looks after it.

MongoDB grants rights by database or by collection, not by the beginning of a name.  So the
roles hold for the whole database that the experiments have to themselves, collections of
later versions included, and end at its border.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo import errors

if TYPE_CHECKING:
    from .connection import Connection

VIEWER, TRAINER, ADMIN = "dacapo_viewer", "dacapo_trainer", "dacapo_admin"
READING = ("find", "listCollections", "listIndexes", "collStats", "dbStats", "changeStream")
WRITING = ("insert", "update", "remove")
PURPOSES = {
    VIEWER: "lists, reads and plots",
    TRAINER: "also stores, trains, validates and deletes runs",
    ADMIN: "also prepares, upgrades and repairs, and gives these roles to people",
}
TAKEN = 51002
# What a command of the server needs, where the right is called otherwise.
_RIGHTS = {
    "aggregate": "find",
    "count": "find",
    "distinct": "find",
    "getMore": "find",
    "delete": "remove",
    "findAndModify": "update",
    "create": "createCollection",
    "createIndexes": "createIndex",
    "dropIndexes": "dropIndex",
    "drop": "dropCollection",
    "grantPrivilegesToRole": "grantRole",
    "grantRolesToRole": "grantRole",
}


def definitions(database: str) -> list[dict[str, Any]]:
    """Return the roles as MongoDB's ``createRole`` takes them, each building on the one before."""
    everywhere = {"db": database, "collection": ""}
    builtin = [{"role": role, "db": database} for role in ("dbAdmin", "userAdmin")]

    def role(name: str, actions: tuple[str, ...], includes: list[dict[str, str]]) -> dict[str, Any]:
        privileges = [{"resource": everywhere, "actions": list(actions)}] if actions else []
        return {"role": name, "privileges": privileges, "roles": includes}

    return [
        role(VIEWER, READING, []),
        role(TRAINER, WRITING, [{"role": VIEWER, "db": database}]),
        role(ADMIN, (), [{"role": TRAINER, "db": database}, *builtin]),
    ]


def script(database: str) -> str:
    """Return what to run in mongosh: the roles, and how a person gets one."""
    lines = [f"db = db.getSiblingDB({json.dumps(database)});"]
    for role in definitions(database):
        lines += [f"// {PURPOSES[role['role']]}", f"db.createRole({json.dumps(role, indent=2)});"]
    people = '{user: "NAME", pwd: passwordPrompt(), roles: ["' + TRAINER + '"]}'
    lines += [
        "// Each person then gets one of them; with a user made here the URI says",
        f"// ?authSource={database}",
        f"// db.createUser({people});",
    ]
    return "\n".join(lines)


def create(connection: Connection) -> list[str]:
    """Make the roles in a database, or add what they lack; return what each is for.

    Raises ``NotAllowed`` unless the account has ``userAdmin`` there, or more.
    """
    for role in definitions(connection.name):
        connection.write(f"making the role {role['role']}", partial(_make, connection.database, role))
    return [f"role {name}: {purpose}" for name, purpose in PURPOSES.items()]


def _make(database: Any, role: dict[str, Any]) -> None:
    name, privileges, includes = role["role"], role["privileges"], role["roles"]
    try:
        database.command("createRole", name, privileges=privileges, roles=includes)
    except errors.OperationFailure as error:
        if error.code != TAKEN:
            raise
        # To update a role takes rights over all databases; to add to it, those over this one.
        if privileges:
            database.command("grantPrivilegesToRole", name, privileges=privileges)
        if includes:
            database.command("grantRolesToRole", name, roles=includes)


def missing(refusal: str) -> tuple[str, str, str]:
    """Return the right that an account lacks, what for, and the role that has it.

    ``refusal`` is what the server says: that somebody is not authorized to run a command, with
    the command.
    """
    found = re.search(r"not authorized on (\S+) to execute command \{ (\w+): (?:\"([^\"]+)\")?", refusal)
    database, command, collection = found.groups() if found else ("the server", "do that", None)
    right = _RIGHTS.get(command, command)
    has = VIEWER if right in READING else TRAINER if right in WRITING else ADMIN
    return right, collection or database, has
