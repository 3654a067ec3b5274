"""How tests call the command line: as the console script does, in this process."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from dacapo.cli import cli
from dacapo.documents import from_json


@attrs.frozen
class Called:
    """What one call of the command line printed, and the exit code it left."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        json.loads(self.stdout, parse_constant=lambda constant: pytest.fail(f"{constant} is not strict JSON"))
        return from_json(self.stdout)


@pytest.fixture
def dacapo():
    """Return a function that calls ``dacapo`` with some arguments."""

    def call(*arguments: object, input: str | None = None) -> Called:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)
        return Called(result.exit_code, result.stdout, result.stderr)

    return call
