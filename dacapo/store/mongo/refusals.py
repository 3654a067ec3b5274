"""What the server or the driver refuses, in our words: what, where, and what to do about it."""

from __future__ import annotations

from pymongo import errors

from dacapo.errors import DacapoError, InvalidDocument, NotAllowed, StoreError, StoreUnreachable
from dacapo.redaction import redacted

from . import roles

UNAUTHORIZED, WRONG_LOGIN, NO_MAJORITY, INVALID, TOO_LARGE = 13, 18, 64, 121, 10334


def is_unknown(error: Exception) -> bool:
    """Say whether something may have been done or not, so that only doing it again tells.

    Time-outs are not meant: there is no time left to do it again.
    """
    if not isinstance(error, errors.PyMongoError) or error.timeout:
        return False
    if isinstance(error, errors.BulkWriteError):
        return bool(error.details["writeConcernErrors"])
    lost = isinstance(error, errors.AutoReconnect | errors.WriteConcernError)
    return lost or getattr(error, "code", None) == NO_MAJORITY


def translated(error: Exception, what: str) -> DacapoError:
    """Return the error of ours for one of the driver's; ``what`` says what failed, and where.

    ``StoreUnreachable`` is what may go well later; ``NotAllowed``, ``InvalidDocument`` and other
    ``StoreError`` will not.
    """
    code = getattr(error, "code", None)
    reason = redacted(str(error).split(", Timeout:")[0].split(", full error:")[0])
    if code in (UNAUTHORIZED, WRONG_LOGIN):
        return _not_allowed(code, reason, what)
    if isinstance(error, errors.DocumentTooLarge) or code == TOO_LARGE or "too large" in reason:
        return StoreError(
            f"{what}: MongoDB keeps at most 16 MB in one document, and this one is larger; "
            "keep large data in files and name them in the config"
        )
    if isinstance(error, errors.ConnectionFailure) or getattr(error, "timeout", False) or is_unknown(error):
        return _unreachable(reason, what)
    if code == INVALID:
        return StoreError(f"{what}: the database refuses it as malformed ({reason})")
    if not isinstance(error, errors.PyMongoError):
        return InvalidDocument(f"{what}: it cannot be written as BSON ({reason})")
    return StoreError(f"{what}: {reason}")


def _unreachable(reason: str, what: str) -> StoreUnreachable:
    """Say what to check when there is no answer, or none that can be trusted."""
    if "certificate verify failed" in reason:
        return StoreUnreachable(
            f"{what}: the server does not prove who it is ({reason}). Check the name of the host, and "
            "that mongo_db_tls_ca_file names the authority that signed the server's certificate"
        )
    return StoreUnreachable(
        f"{what}: no answer ({reason}). Check that the server runs, that mongo_db_host and its port "
        "are right, that this machine may reach it, and that both talk TLS or neither does; how long "
        "to wait is said by  dacapo --timeout  and the option mongo_db_timeout"
    )


def _not_allowed(code: int, reason: str, what: str) -> NotAllowed:
    """Name the right that is missing, and who can give it."""
    if code == WRONG_LOGIN:
        return NotAllowed(
            f"{what}: the server does not accept the user or password (mongo_db_user, mongo_db_password, "
            "mongo_db_credentials_file, or in mongo_db_host); check both, and that authSource in "
            "mongo_db_host names the database the user belongs to"
        )
    if "requires authentication" in reason:
        return NotAllowed(
            f"{what}: the server wants to know who asks; put user and password into a file, and its name "
            "into mongo_db_credentials_file"
        )
    right, place, role = roles.missing(reason)
    if role == roles.ADMIN:
        remedy = "let somebody who has it do it; a new or upgraded database wants  dacapo store init"
    else:
        remedy = (
            f"somebody with the role {roles.ADMIN} gives it to you in mongosh:  "
            f'db.grantRolesToUser("YOUR NAME", ["{role}"])'
        )
    return NotAllowed(
        f"{what}: this account may not do that: it lacks the right {right} on {place}, which the role "
        f"{role} has (see  dacapo store roles); {remedy}"
    )
