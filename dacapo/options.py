"""Where things are kept: ``dacapo.yaml``, environment variables, arguments.

An argument wins over the environment (``DACAPO_RUNS_BASE_DIR`` and so on), the environment
over the options file, the file over the defaults.
"""

from __future__ import annotations

import difflib
import logging
import os
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import attrs
import yaml

from .config import checker, field
from .errors import InvalidOptions
from .redaction import keep_to_yourself, readable_by_others, redacted

__all__ = ["DaCapoConfig", "Options", "exported", "redacted"]

logger = logging.getLogger(__name__)

FILE_VARIABLE = "DACAPO_OPTIONS_FILE"
PREFIX = "DACAPO_"
# What tests and benchmarks are told, and not this package.
SPARED = (f"{PREFIX}TEST_", f"{PREFIX}BENCHMARK_")


@attrs.define(kw_only=True, repr=False)
class DaCapoConfig:
    """The options of this session: what is kept where, and where code runs."""

    type: str = field(
        "Where configs and stats are kept: files, or the name of another store.", default="files"
    )
    runs_base_dir: Path = field(
        "The folder of weights, snapshots and validations, and of everything with type files.",
        factory=lambda: Path("~/dacapo").expanduser(),
    )
    weights: str | None = field(
        "Where checkpoints are kept, if not where configs and stats are: files with type mongo.", default=None
    )
    arrays: str | None = field(
        "Where snapshots and the volumes of validations are kept, if not below runs_base_dir: a folder, or a "
        "URL such as s3://bucket/dacapo.",
        default=None,
    )
    compute_context: dict[str, Any] = field(
        "Where code runs: {type: LocalTorch, config: {device: cpu}}.",
        factory=lambda: {"type": "LocalTorch", "config": {}},
    )
    allow_imports: list[str] = field(
        "Modules, with those below them, whose networks may be imported because a config names them by "
        "import path; importing runs their code. Plugins may want their own names of code here.",
        factory=list,
    )
    lease_seconds: float = field(
        "After how many seconds without a sign of life others may take a run.", default=60.0
    )
    mongo_db_host: str | None = field("The URI of the MongoDB server.", default=None)
    mongo_db_name: str | None = field("The database on that server.", default=None)
    mongo_db_user: str | None = field("Who logs in there, if the URI does not say.", default=None)
    mongo_db_password: str | None = field(
        "The user's password; best kept in mongo_db_credentials_file, or in the environment.", default=None
    )
    mongo_db_credentials_file: Path | None = field(
        "A file of mode 600 that holds  user: NAME  and  password: PASSWORD.", default=None
    )
    mongo_db_tls: bool | None = field("Whether to talk TLS, if the URI does not say.", default=None)
    mongo_db_tls_ca_file: Path | None = field(
        "The certificate of the authority that signed the server's, in PEM.", default=None
    )
    mongo_db_tls_certificate_key_file: Path | None = field(
        "This client's certificate and private key, in PEM, of mode 600.", default=None
    )
    mongo_db_force_insecure_tls: bool = field(
        "Accept tlsInsecure and tlsAllowInvalid... in the URI, which let anybody in between listen.",
        default=False,
    )
    mongo_db_timeout: float | None = field(
        "How many seconds to wait for an answer of the server, if the URI does not say.  [default: 25]",
        default=None,
    )

    def __repr__(self) -> str:
        """Show all options but passwords."""
        shown = redacted(attrs.asdict(self))
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in shown.items())})"

    def serialize(self) -> dict[str, Any]:
        """Return the options that are set, as plain data; mind that a URI may hold a password."""
        plain = attrs.asdict(self, value_serializer=lambda _, __, v: str(v) if isinstance(v, Path) else v)
        return {key: value for key, value in plain.items() if value is not None}


KEYS = tuple(f.name for f in attrs.fields(DaCapoConfig))
_HINTS = typing.get_type_hints(DaCapoConfig)
_warned: set[Path] = set()


class Options:
    """Reads the options; ``Options.instance()`` is the way in."""

    def __init__(self) -> None:
        raise RuntimeError("Options cannot be made; use  Options.instance(**options)")

    @staticmethod
    def instance(**options: Any) -> DaCapoConfig:
        """Return the options in force now; keyword arguments win over file and environment.

        Raises ``InvalidOptions`` for unknown keys and variables, wrong values and unreadable files.
        """
        return DaCapoConfig(**{key: value for key, (value, _) in _gather(options).items()})

    @staticmethod
    def of_file(path: Path) -> DaCapoConfig:
        """Return the options that one file gives, whatever the environment says."""
        found = _checked_all([(_read(path), str(path))])
        return DaCapoConfig(**{key: value for key, (value, _) in found.items()})

    @staticmethod
    def config_file() -> Path | None:
        """Return the options file in force, as an absolute path, or None without one.

        The first of: ``DACAPO_OPTIONS_FILE``, ``./dacapo.yaml``, ``~/dacapo.yaml``,
        ``~/.config/dacapo/dacapo.yaml``, ``dacapo.yaml`` beside the package.
        """
        if named := os.environ.get(FILE_VARIABLE):
            path = Path(named).expanduser().absolute()
            if not path.is_file():
                raise InvalidOptions(
                    f"{FILE_VARIABLE} names {path}, which is no file; create it, or  unset {FILE_VARIABLE}"
                )
            return path
        places = ("dacapo.yaml", "~/dacapo.yaml", "~/.config/dacapo/dacapo.yaml")
        candidates = [Path(place).expanduser().absolute() for place in places]
        candidates.append(Path(__file__).parent.parent / "dacapo.yaml")
        return next((path for path in candidates if path.is_file()), None)

    @staticmethod
    def explain(**options: Any) -> list[tuple[str, Any, str]]:
        """Return each option as (key, value, where it came from), with secrets redacted."""
        gathered = _gather(options)
        defaults = DaCapoConfig()
        rows = []
        for key in KEYS:
            value, origin = gathered.get(key, (getattr(defaults, key), "default"))
            rows.append((key, _shown(key, value), origin))
        return rows


@contextmanager
def exported(**options: Any) -> Iterator[None]:
    """Set options in the environment for a while: for this process and those it starts."""
    before = {name: os.environ.get(name) for name in (PREFIX + key.upper() for key in options)}
    os.environ.update({PREFIX + key.upper(): str(value) for key, value in options.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _shown(key: str, value: Any) -> Any:
    """Return the value of an option as people may see it: no passwords."""
    return redacted({key: value})[key]


def _gather(arguments: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return the options that are set anywhere, checked, with where each came from."""
    sources = [(_from_file(), str(Options.config_file())), (_from_environment(), "environment")]
    return _checked_all([*sources, (dict(arguments), "argument")])


def _checked_all(sources: Iterable[tuple[dict[str, Any], str]]) -> dict[str, tuple[Any, str]]:
    """Return the options of several sources, of which the later ones win."""
    found: dict[str, tuple[Any, str]] = {}
    for values, origin in sources:
        for key, value in values.items():
            if key not in KEYS:
                _refuse_key(key, origin)
            where = f"{origin} {PREFIX}{key.upper()}" if origin == "environment" else origin
            found[key] = (_checked(key, value, where), where)
    return found


def _checked(key: str, value: Any, origin: str) -> Any:
    check = checker(_HINTS[key])
    try:
        value = check(value) if check else value
    except (TypeError, ValueError) as error:
        raise InvalidOptions(f"{key} = {_shown(key, value)!r} (from {origin}): {error}") from error
    if isinstance(value, Path):
        return value.expanduser()
    if key == "lease_seconds" and not 0 < value < 1e6:
        raise InvalidOptions(
            f"lease_seconds = {value} (from {origin}): should be a number of seconds above 0"
        )
    if key == "compute_context":
        _check_compute_context(value, origin)
        return {"config": {}, **value}
    return value


def _check_compute_context(value: dict[str, Any], origin: str) -> None:
    strangers = value.keys() - {"type", "config"}
    if strangers or not isinstance(value.get("type"), str):
        raise InvalidOptions(
            f"compute_context (from {origin}) should read {{type: LocalTorch, config: {{...}}}}, "
            f"and is {redacted(value)!r}"
        )


def _refuse_key(key: str, origin: str) -> NoReturn:
    plain = {known.replace("_", ""): known for known in KEYS}
    close = difflib.get_close_matches(str(key).replace("_", "").lower(), plain, n=1, cutoff=0.5)
    hint = f"did you mean {plain[close[0]]}?" if close else f"known are {', '.join(KEYS)}"
    raise InvalidOptions(f"unknown option {key} (from {origin}); {hint}")


def _refuse_variable(name: str) -> NoReturn:
    plain = {known.replace("_", ""): known for known in KEYS}
    given = name.removeprefix(PREFIX).replace("_", "").lower()
    close = difflib.get_close_matches(given, plain, n=1)
    hint = f"did you mean {PREFIX}{plain[close[0]].upper()}? Else " if close else ""
    raise InvalidOptions(
        f"the environment variable {name} is no option of DaCapo; {hint}take it away with  unset {name} "
        "(options are listed by  dacapo config)"
    )


def _from_file() -> dict[str, Any]:
    path = Options.config_file()
    return {} if path is None else _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOptions(f"the options file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidOptions(f"the options file {path} cannot be read: {_yaml_reason(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidOptions(f"the options file {path} should hold  key: value  lines")
    if path not in _warned and redacted(content) != content and readable_by_others(path):
        _warned.add(path)
        logger.warning(
            "the options file %s holds a password, and others may read it; type  %s",
            path,
            keep_to_yourself(path),
        )
    return content


def _yaml_reason(error: yaml.YAMLError) -> str:
    """Say what is no YAML, and where; PyYAML would show the line, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{getattr(error, 'problem', None) or 'it is no YAML'}"


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = {FILE_VARIABLE, *(PREFIX + key.upper() for key in KEYS)}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(SPARED):
            _refuse_variable(name)
    for key in KEYS:
        if (value := os.environ.get(PREFIX + key.upper())) is not None:
            try:
                found[key] = value if _is_text(key) else yaml.safe_load(value)
            except yaml.YAMLError as error:
                raise InvalidOptions(f"{PREFIX}{key.upper()} cannot be read: {_yaml_reason(error)}") from None
    return found


def _is_text(key: str) -> bool:
    """Say whether an option is a text or path, so that its variable is taken word for word."""
    hint = _HINTS[key]
    return not {str, Path}.isdisjoint(typing.get_args(hint) if isinstance(hint, types.UnionType) else {hint})
