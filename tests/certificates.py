"""An authority of our own for tests, and certificates that it signs, by the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def authority(folder: Path, name: str = "authority") -> Path:
    """Make an authority; return its certificate, with its key in ``<name>.key`` beside it."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-subj", f"/O=lab/CN={name}", "-days", "2"]
    _openssl("req", "-x509", *KEY, "-keyout", key, "-out", certificate, *subject)
    return certificate


def signed(by: Path, name: str, host: str = "127.0.0.1") -> Path:
    """Return a file of mode 600 with a key, and a certificate for it that an authority signed."""
    folder = by.parent
    request, key, certificate, both = (folder / f"{name}.{end}" for end in ("csr", "key", "crt", "pem"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={'IP' if host[0].isdigit() else 'DNS'}:{host}\n")
    _openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/O=lab/OU=people/CN={name}")
    signing = ["-CA", by, "-CAkey", by.with_suffix(".key"), "-days", "2", "-extfile", extensions]
    signing += ["-set_serial", str(int.from_bytes(name.encode()[-8:]))]
    _openssl(
        "x509", "-req", "-in", request, *signing, "-out", certificate, "-days", "2", "-extfile", extensions
    )
    both.write_text(key.read_text() + certificate.read_text())
    both.chmod(0o600)
    return both


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
