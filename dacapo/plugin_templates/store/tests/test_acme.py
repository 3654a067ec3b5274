"""What DaCapo asks of every store, and that options lead to this one."""

import pytest

from dacapo.store import create_config_store
from dacapo.testing import stores
from dacapo_acme.backend import AcmeBackend


@pytest.mark.parametrize("check", stores.CHECKS, ids=lambda check: check.__name__)
def test_store(check, tmp_path):
    check(lambda: AcmeBackend(tmp_path))


def test_options_lead_here(tmp_path):
    store = create_config_store(type="acme.AcmeBackend", runs_base_dir=tmp_path)
    assert str(tmp_path / "acme") in repr(store.backend)
