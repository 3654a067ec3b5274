"""Keeping passwords out of sight: text without them, and files that others may not read.

Whatever is shown to people goes through ``redacted``: messages, tracebacks, log lines, tables.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HIDDEN = "***"
_SECRET = r"(?:password|secret|token|authMechanismProperties)"
# The password may hold a ':' or a badly quoted '@': it ends at the last '@' before the path.
_LOGIN = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):[^\s/]*@")
_QUERY = re.compile(rf"([?&;][\w.-]*{_SECRET}[\w.-]*=)[^&;\s'\"]+", re.IGNORECASE)


def redacted(value: Any) -> Any:
    """Return text or plain data with the passwords of all URIs in it replaced by ``***``.

    So are values under keys such as ``password``, ``secret`` or ``token``; those that are not
    set stay None.
    """
    if isinstance(value, Mapping):
        return {key: _hidden(item) if is_secret(key) else redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str):
        return value
    return _QUERY.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1:{HIDDEN}@", value))


def is_secret(key: object) -> bool:
    """Say whether what is kept under a key is to be hidden: passwords, secrets, tokens."""
    return re.search(_SECRET, str(key), re.IGNORECASE) is not None


def _hidden(value: Any) -> Any:
    return None if value is None else HIDDEN


def readable_by_others(path: Path) -> bool:
    """Say whether group or others may read a file, or write to it.

    Raises ``OSError`` if there is no such file.
    """
    return bool(path.stat().st_mode & 0o077)


def keep_to_yourself(path: Path) -> str:
    """Return the command that keeps a file from others."""
    return f"chmod 600 {shlex.quote(os.fspath(path))}"


class RedactingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, without the passwords of URIs.

    It is the last line of defence: what is logged should not hold any in the first place.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return str(redacted(super().format(record)))
