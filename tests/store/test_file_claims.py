"""Claims in files: what is told of them, and by which clock."""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs
import pytest

from dacapo.store.backend import Claim
from dacapo.store.file_claims import FileClaims

HOLDER = {"user": "ann", "host": "gpu7"}


@pytest.fixture
def claims(tmp_path: Path) -> FileClaims:
    return FileClaims(tmp_path / "leases")


def beaten(claims: FileClaims, run: str, number: int, beat: int) -> Claim:
    """Return the claim that another process should see."""
    newest = FileClaims(claims.folder).newest(run)
    assert newest == Claim(number, HOLDER, beat)
    return newest


def test_a_claim_is_told_with_holder_count_and_idle_time(claims):
    assert claims.newest("run") is None
    assert claims.claim("run", Claim(3, HOLDER), None)
    assert 0 <= beaten(claims, "run", 3, 0).idle < 60
    for beat in (1, 2):
        assert claims.renew("run", 3)
        beaten(claims, "run", 3, beat)
    for name, age in (("3.claim", 5000), ("3.beat", 1000)):
        os.utime(claims.folder / "run" / name, (time.time() - age,) * 2)
    assert 990 < claims.newest("run").idle < 1100  # since the last beat
    (claims.folder / "run" / "3.beat").unlink()
    assert 4990 < claims.newest("run").idle < 5100  # since it was taken
    os.utime(claims.folder / "run" / "3.claim", (time.time() + 1000,) * 2)
    assert claims.newest("run").idle is None


def test_only_later_numbers_can_be_taken_and_only_as_read(claims):
    assert claims.claim("run", Claim(3, HOLDER), None)
    for number in (2, 3):
        assert not claims.claim("run", Claim(number, HOLDER), None)
    seen = claims.newest("run")
    assert claims.renew("run", 3)
    assert not claims.claim("run", Claim(4, HOLDER), seen)
    assert claims.claim("run", Claim(4, HOLDER), claims.newest("run"))
    assert not claims.renew("run", 3) and claims.renew("run", 4)
    claims.release("run", 3)  # not the newest: nothing happens
    assert not claims.newest("run").released


def test_what_was_released_stays_so(claims):
    assert claims.claim("run", Claim(0, HOLDER), None)
    assert claims.claim("other", Claim(0, HOLDER), None)
    assert claims.claim("unheld", Claim(7, HOLDER, released=True), None)
    assert claims.newest("unheld") == Claim(7, HOLDER, released=True)
    assert claims.newest("unheld").idle is None
    assert claims.open("") == {"other": claims.newest("other"), "run": claims.newest("run")}
    assert list(claims.open("o")) == ["other"]
    claims.release("run", 0)
    assert claims.newest("run") == Claim(0, HOLDER, released=True) and claims.newest("run").idle is None
    assert not claims.renew("run", 0)
    assert list(claims.open("")) == ["other"]
    assert claims.claim("run", Claim(1, HOLDER), attrs.evolve(claims.newest("run")))


def test_what_is_damaged_is_held_by_somebody_unknown(claims):
    assert claims.claim("run", Claim(0, HOLDER), None)
    assert claims.renew("run", 0)
    (claims.folder / "run" / "0.beat").write_bytes(b"?")
    assert claims.newest("run") == Claim(0, HOLDER, 0)
    (claims.folder / "run" / "0.beat").write_bytes(b"")
    assert claims.newest("run") == Claim(0, HOLDER, 0)
    (claims.folder / "run" / "0.claim").write_bytes(b"holder: {}\n")
    assert claims.newest("run") == Claim(0, {}, 0)
