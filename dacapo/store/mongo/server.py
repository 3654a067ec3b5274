"""Which MongoDB server, who logs in there, whether it talks TLS, and how long to wait for it.

The URI may say all of this.  Options of their own say it too, so that the URI can be shared by
a lab while each of its people has a password, in a file that nobody else may read.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
import yaml
from pymongo import MongoClient, errors
from pymongo.uri_parser import parse_uri

from dacapo.errors import InvalidOptions
from dacapo.redaction import keep_to_yourself, readable_by_others, redacted

if TYPE_CHECKING:
    from dacapo.options import DaCapoConfig

logger = logging.getLogger(__name__)

Client = MongoClient[dict[str, Any]]

# In milliseconds, unless option or URI say otherwise.  Without them a driver waits for minutes.
TIME_OUTS = {"serverSelectionTimeoutMS": 10_000, "connectTimeoutMS": 10_000, "timeoutMS": 25_000}
# How often servers are asked how they are: a new primary has to be seen well before a time-out.
HEARTBEAT = {"heartbeatFrequencyMS": 2_000}
_INSECURE = {"tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"}


@attrs.frozen(kw_only=True, repr=False)
class Server:
    """A server or replica set, and how to be let in; shows no passwords.

    What is given here wins over what the URI says; None leaves it to the URI.  ``timeout`` is in
    seconds.  Equal ones share a client.
    """

    uri: str = attrs.field(kw_only=False)
    user: str | None = None
    password: str | None = None
    tls: bool | None = None
    tls_ca_file: Path | None = None
    tls_certificate_key_file: Path | None = None
    force_insecure_tls: bool = False
    timeout: float | None = None

    def __repr__(self) -> str:
        """Show the URI without its password."""
        return f"Server({redacted(self.uri)!r})"

    @classmethod
    def from_options(cls, options: DaCapoConfig) -> Self:
        """Gather what the options say of the server; raises ``InvalidOptions`` for what cannot be.

        User and password of the options win over those of ``mongo_db_credentials_file``.
        """
        stored = {} if options.mongo_db_credentials_file is None else read(options.mongo_db_credentials_file)
        return cls(
            str(options.mongo_db_host),
            user=options.mongo_db_user or stored.get("user"),
            password=options.mongo_db_password or stored.get("password"),
            tls=options.mongo_db_tls,
            tls_ca_file=_file("mongo_db_tls_ca_file", options.mongo_db_tls_ca_file),
            tls_certificate_key_file=_private(
                "mongo_db_tls_certificate_key_file", options.mongo_db_tls_certificate_key_file
            ),
            force_insecure_tls=options.mongo_db_force_insecure_tls,
            timeout=options.mongo_db_timeout,
        )

    def connect(self) -> Client:
        """Make a client; it connects when it is first used.

        Raises ``InvalidOptions`` for what is no URI, for options that contradict each other, for
        time-outs without end, and for TLS that asks the server for no proof, unless that is forced.
        """
        try:
            given = {
                key.lower(): value
                for key, value in parse_uri(self.uri, validate=True, warn=False)["options"].items()
            }
        except (errors.ConfigurationError, errors.ConnectionFailure, ValueError, OSError) as error:
            # What the driver says may hold a part of the password, so only its kind is passed on.
            raise InvalidOptions(
                f"mongo_db_host is no URI of a MongoDB server ({type(error).__name__}); it should read "
                "mongodb://user:password@host:27017/, with odd characters of the password quoted as %40, and "
                "name files that are there"
            ) from None
        self._check_tls(given)
        settings = self._time_outs(given) | self._login() | self._tls()
        settings |= {key: value for key, value in HEARTBEAT.items() if key.lower() not in given}
        try:
            return MongoClient(self.uri, appname="dacapo", tz_aware=True, retryWrites=True, **settings)
        except (errors.ConfigurationError, errors.ConnectionFailure, ValueError, OSError) as error:
            raise InvalidOptions(
                f"the options of the MongoDB server do not fit together ({type(error).__name__}): see "
                "mongo_db_host and the mongo_db_tls... options in  dacapo config"
            ) from None

    def _time_outs(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the time-outs that the URI leaves open; all are finite.

        The driver sends each operation's deadline to the server as ``maxTimeMS``, which bounds the
        wait for the majority too; so no write concern needs a ``wtimeout`` of its own.
        """
        if self.timeout is not None:
            if not 0 < self.timeout < math.inf:
                raise InvalidOptions(f"mongo_db_timeout = {self.timeout}: should be more than 0 seconds")
            whole = int(self.timeout * 1000) or 1
            return {key: min(usual, whole) for key, usual in TIME_OUTS.items()} | {"timeoutMS": whole}
        for key in TIME_OUTS:
            if key.lower() in given and not given[key.lower()]:
                raise InvalidOptions(
                    f"{key}=0 in mongo_db_host would wait without end; give it milliseconds, or leave it out"
                )
        return {key: value for key, value in TIME_OUTS.items() if key.lower() not in given}

    def _login(self) -> dict[str, Any]:
        """Return user and password as far as options give them."""
        login = {"username": self.user, "password": self.password}
        return {key: value for key, value in login.items() if value is not None}

    def _tls(self) -> dict[str, Any]:
        """Return what options say of TLS; naming a file of it asks for it."""
        files = {"tlsCAFile": self.tls_ca_file, "tlsCertificateKeyFile": self.tls_certificate_key_file}
        settings: dict[str, Any] = {key: str(path) for key, path in files.items() if path is not None}
        if self.tls is not None or settings:
            settings["tls"] = self.tls is not False
        return settings

    def _check_tls(self, given: dict[str, Any]) -> None:
        """Refuse to talk to whoever claims to be the server, unless that is forced."""
        insecure = sorted(key for key in _INSECURE & given.keys() if given[key])
        if not insecure:
            return
        if not self.force_insecure_tls:
            raise InvalidOptions(
                f"mongo_db_host sets {', '.join(insecure)}, so that anybody in between could read passwords "
                "and data; name the authority that signed the server's certificate in mongo_db_tls_ca_file "
                "instead, or set  mongo_db_force_insecure_tls: true"
            )
        logger.warning("%r is not asked to prove who it is: %s", self, ", ".join(insecure))


def read(path: Path) -> dict[str, str]:
    """Return ``user`` and ``password`` of a credentials file, which nobody else may read.

    Raises ``InvalidOptions`` if others may read it, with the command that ends this, and if it
    holds anything else; what it holds is not repeated.
    """
    path = path.expanduser()
    _private("mongo_db_credentials_file", path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        content = type(error).__name__  # what it says may show the password
    fits = isinstance(content, dict) and content.keys() <= {"user", "password"}
    if not fits or not all(isinstance(value, str) for value in content.values()):
        raise InvalidOptions(
            f"mongo_db_credentials_file = {path}: should hold the lines  user: NAME  and  password: "
            "'PASSWORD', in quotes if it is a number or has odd characters"
        )
    return dict(content)


def _file(option: str, path: Path | None) -> Path | None:
    """Return the path of a file that is there."""
    if path is not None and not path.is_file():
        raise InvalidOptions(f"{option} = {path}: there is no such file; see  dacapo config")
    return path


def _private(option: str, path: Path | None) -> Path | None:
    """Return the path of a file that nobody else may read."""
    if _file(option, path) and path and readable_by_others(path):
        raise InvalidOptions(
            f"{option} = {path}: others may read this file; keep it to yourself with  "
            f"{keep_to_yourself(path)}"
        )
    return path
