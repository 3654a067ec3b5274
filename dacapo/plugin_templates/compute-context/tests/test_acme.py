"""What DaCapo asks of every compute context, and what this one does to a command."""

from subprocess import CalledProcessError

import pytest

from dacapo.testing import conformance
from dacapo_acme.configs import AcmeContext

test_conformance = conformance([AcmeContext()])


def test_commands_are_nice(tmp_path):
    AcmeContext(niceness=7).execute(["sh", "-c", f"nice > {tmp_path}/niceness"])
    assert int((tmp_path / "niceness").read_text()) >= 7


def test_failures_come_back():
    with pytest.raises(CalledProcessError):
        AcmeContext().execute(["false"])
