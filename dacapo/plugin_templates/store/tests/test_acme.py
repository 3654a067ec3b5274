"""What DaCapo asks of every store, and that options lead to this one."""

from dacapo.store import create_config_store
from dacapo.testing import conformance
from dacapo_acme.backend import AcmeBackend

test_conformance = conformance([AcmeBackend])


def test_options_lead_here(tmp_path):
    store = create_config_store(type="acme.AcmeBackend", runs_base_dir=tmp_path)
    assert str(tmp_path / "acme") in repr(store.backend)
