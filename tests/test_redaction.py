"""Passwords stay out of sight, whatever they are wrapped in."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from dacapo.redaction import RedactingFormatter, keep_to_yourself, readable_by_others, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb+srv://u:p@ss@h/db", "mongodb+srv://u:***@h/db"),
        ("see mongodb://u:p@h and http://h/x", "see mongodb://u:***@h and http://h/x"),
        ("mongodb://h:27017", "mongodb://h:27017"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=hunter2&w=1", "mongodb://h/?tlsCertificateKeyFilePassword=***&w=1"),
        ("m://h/?x=1&proxypassword=hunter2 is", "m://h/?x=1&proxypassword=*** is"),
        ("'m://h/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2'", "'m://h/?authMechanismProperties=***'"),
        ({"password": "x", "list": ["mongodb://:p@h"]}, {"password": "***", "list": ["mongodb://:***@h"]}),
        ({"mongo_db_password": None, "n": 3, "p": Path("a")}, {"mongo_db_password": None, "n": 3, "p": "a"}),
    ],
)  # fmt: skip
def test_passwords_are_replaced(text, shown):
    assert redacted(text) == shown


def test_log_lines_and_their_tracebacks_are_redacted():
    formatter = RedactingFormatter("%(levelname)s: %(message)s")
    try:
        raise ValueError("mongodb://ann:hunter2@lab")
    except ValueError:
        made = logging.LogRecord("x", logging.ERROR, "", 1, "at %s", ("m://ann:hunter2@h/",), sys.exc_info())
    line = formatter.format(made)
    assert line.startswith("ERROR: at m://ann:***@h/\nTraceback") and "hunter2" not in line


def test_files_of_mode_600_are_our_own(tmp_path):
    path = tmp_path / "it is ours"
    path.write_text("")
    for mode, others in ((0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o602, True)):
        path.chmod(mode)
        assert readable_by_others(path) is others
    assert keep_to_yourself(path) == f"chmod 600 '{path}'"
